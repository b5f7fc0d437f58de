"""The folder of a comparison or search: its request, and a folder for each run, which is resumed if interrupted."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from kerastune_recipes import atomic_files
from kerastune_recipes.errors import OutputError, writing
from kerastune_recipes.recipe import Recipe
from kerastune_recipes.reporting.report import Report
from kerastune_recipes.run import run_folder
from kerastune_recipes.run.options import RunOptions
from kerastune_recipes.run.run import run

# The file with the request that the runs in the folder belong to.
_REQUEST = "request.json"
# The lock of the process that works in it.
_LOCK = ".lock"
# Key in the request: the arguments that repeat the request.
REPEAT = "repeat"


@contextlib.contextmanager
def alone_in(folder: Path | None) -> Iterator[None]:
    """Let no other process work in a folder while the context lasts; without a folder it does nothing.

    Args:
        folder: A folder with a request, or None.

    Raises:
        OutputError: Another process works in it.
    """
    if folder is None:
        yield
        return
    with run_folder.locked(folder, _LOCK):
        yield
        with contextlib.suppress(OSError):  # Windows removes no open file
            (folder / _LOCK).unlink(missing_ok=True)


def check_same(folder: Path, kind: str, request: Mapping[str, Any], sources: Mapping[str, Any]) -> None:
    """Check that a folder may be written to: it is new or empty, or holds the same request.

    Args:
        folder: The folder.
        kind: "comparison" or "search", for messages.
        request: Everything that distinguishes this request from others, as plain data.
        sources: The user's data, by what messages call it.

    Raises:
        OutputError: The folder holds something else, runs of another request, or lies within the data.
    """
    run_folder.check_apart(folder, sources)
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: this is a file; name a folder.")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    try:
        known = read_request(folder)
    except OutputError:
        raise OutputError(f"{folder}: this folder exists, is not empty and holds no {kind}; name another.") from None
    differing = [key for key in request if known.get(key) != request[key]]
    if differing:
        raise OutputError(
            f"{folder}: the {kind} in this folder was made with other {' and other '.join(differing)}; give the same "
            "to resume it, or name another folder."
        )


def read_request(folder: Path) -> dict[str, Any]:
    """Return the request that `write_request` wrote.

    Raises:
        OutputError: There is none.
    """
    try:
        known = json.loads((folder / _REQUEST).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        known = None
    if not isinstance(known, dict):
        raise OutputError(f"{folder}: there is no comparison or search here.")
    return known


def write_request(folder: Path, request: Mapping[str, Any], repeat: Mapping[str, Any]) -> None:
    """Make the folder and write the request into it.

    Args:
        folder: The folder.
        request: As for `check_same`.
        repeat: The arguments that repeat it, for `kerastune resume`.

    Raises:
        OutputError: The folder cannot be written.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        atomic_files.write(folder / _REQUEST, json.dumps({**request, REPEAT: repeat}, indent=2))


def stated(options: RunOptions) -> dict[str, str]:
    """Return the options that the user gave and that change what a run computes, as text for the request.

    An option that cannot be written as text, such as an array of groups, becomes an empty text.

    Args:
        options: Options of the runs.

    Example:
        >>> stated(RunOptions(folds=5))
        {'folds': '5'}
    """
    given = {"folds": options.folds, "group_by": options.group_by, "unlabeled": options.unlabeled}
    if options.validation_split != "auto":
        given["validation_split"] = options.validation_split
    if options.pixel_range is not None:
        given["pixel_range"] = f"{options.pixel_range[0]:g} {options.pixel_range[1]:g}"
    return {
        key: str(value) if isinstance(value, str | int | float | Path) else ""
        for key, value in given.items()
        if value is not None
    }


def run_in(folder: Path | None, recipe: Recipe, ds: Any, options: RunOptions) -> Report:
    """Run a recipe in a folder: resume the run there if it was interrupted, else replace it.

    A run trains the user's own network in place; afterwards this network has its old weights again.

    Args:
        folder: Folder of the run, or None.
        recipe: The recipe.
        ds: The images, in any form that `Recipe.run` takes.
        options: Options of the run; the folder, `resume` and `overwrite` are set here.
    """
    interrupted = folder is not None and run_folder.is_interrupted(folder)
    options = replace(options, out=folder, resume=interrupted, overwrite=not interrupted)
    weights = None if recipe.network is None else recipe.network.get_weights()
    try:
        return run(recipe.name, recipe.content, ds, options, recipe.network)
    finally:
        if recipe.network is not None:
            recipe.network.set_weights(weights)
