"""The folder of several runs: its request, and each run in a folder of its own, resumed where it was interrupted."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from kerastune_recipes.errors import OutputError
from kerastune_recipes.recipe import Recipe
from kerastune_recipes.reporting.report import Report
from kerastune_recipes.run import run_folder
from kerastune_recipes.run.options import RunOptions
from kerastune_recipes.run.run import run

# In the folder, the request that its runs belong to.
_REQUEST = "request.json"


def check_same(folder: Path, kind: str, request: Mapping[str, Any]) -> None:
    """Check that a folder may be written to: it is new or empty, or its runs belong to the same request.

    Args:
        folder: The folder.
        kind: What it holds in a word, such as "comparison".
        request: What tells this request from another; plain data.

    Raises:
        OutputError: The folder holds something else, or runs of another request.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: this is a file; name a folder.")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    try:
        known = json.loads((folder / _REQUEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise OutputError(f"{folder}: this folder exists, is not empty and holds no {kind}; name another.") from None
    differing = [key for key in request if known.get(key) != request[key]]
    if differing:
        raise OutputError(
            f"{folder}: the {kind} in this folder was made with other {' and other '.join(differing)}; give the same "
            "to resume it, or name another folder."
        )


def write_request(folder: Path, request: Mapping[str, Any]) -> None:
    """Make the folder and write the request into it; see `check_same`.

    Raises:
        OutputError: The folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _REQUEST).write_text(json.dumps(request, indent=2), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{folder}: the folder cannot be written: {error.strerror}.") from None


def stated(options: RunOptions) -> dict[str, str]:
    """Return the options that decide what a run computes, where the user gave them, as text.

    An option that cannot be written, such as an array of groups, is an empty text.
    """
    given = {"folds": options.folds, "group_by": options.group_by, "unlabeled": options.unlabeled}
    return {
        key: str(value) if isinstance(value, str | int | Path) else ""
        for key, value in given.items()
        if value is not None
    }


def run_in(folder: Path | None, recipe: Recipe, ds: Any, options: RunOptions) -> Report:
    """Run a recipe in a folder of its own: resume the run there if it was interrupted, else replace it.

    A network of the user's own, which a run trains in place, gets its weights back.

    Args:
        folder: The folder of the run, or None.
        recipe: The recipe.
        ds: The images.
        options: Options of the run, apart from its folder.
    """
    interrupted = folder is not None and run_folder.is_interrupted(folder)
    options = replace(options, out=folder, resume=interrupted, overwrite=not interrupted)
    weights = None if recipe.network is None else recipe.network.get_weights()
    try:
        return run(recipe.name, recipe.content, ds, options, recipe.network)
    finally:
        if recipe.network is not None:
            recipe.network.set_weights(weights)
