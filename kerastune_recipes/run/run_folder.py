"""The run folder: when one may be written to, how it begins, and how a finished one is found again."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from kerastune_recipes import yaml_files
from kerastune_recipes.errors import OutputError
from kerastune_recipes.planning.plan import Plan
from kerastune_recipes.run import checkpoint
from kerastune_recipes.spec.recipe_spec import RecipeSpec

# What a run writes; nothing else in a folder is ever removed.
FILES = ("recipe.yaml", "plan.yaml", "report.json", "report.html", "model.keras", "labels.txt", "history.csv")

# What the work in a folder of several runs is known by.
_REQUEST = "request.json"


def prepare(out: str | Path | None, *, resume: bool, overwrite: bool) -> Path | None:
    """Say where a run is written to, if it may be; nothing is made or removed yet, for the data may prove wrong.

    Args:
        out: The folder, or None for none.
        resume: It holds an interrupted run, which goes on.
        overwrite: It holds a run, which is replaced.

    Raises:
        OutputError: The folder exists and neither was asked for, or there is nothing to resume.
    """
    if out is None:
        if resume:
            raise OutputError("Resuming takes the folder of the interrupted run; give it as out (--out DIR).")
        return None
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: this is a file; name a folder.")
    if resume and not (folder / checkpoint.FOLDER).is_dir():
        raise OutputError(f"{folder}: there is no interrupted run here to resume; leave out --resume to start one.")
    if folder.is_dir() and any(folder.iterdir()) and not (resume or overwrite):
        raise OutputError(
            f"{folder}: this folder exists and is not empty; name another, or give --resume to go on with an "
            "interrupted run or --overwrite to replace it."
        )
    return folder


def write_recipe(folder: Path, content: RecipeSpec | Plan) -> None:
    """Begin the run folder with what the run was asked to do, overrides included; an older run's files go.

    Args:
        folder: What `prepare` returned.
        content: The recipe or plan.

    Raises:
        OutputError: The folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            (folder / name).unlink(missing_ok=True)
        (folder / "recipe.yaml").write_text(yaml_files.dump(content.to_data()), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{folder}: the folder cannot be written: {error.strerror}.") from None


def check_same(folder: Path, kind: str, request: Mapping[str, Any]) -> None:
    """See that a folder may be written to: it is new or empty, or holds work on just this request, which then goes on.

    Args:
        folder: Where to.
        kind: What it holds in a word, such as "comparison".
        request: By what the work is known from other work; plain data.

    Raises:
        OutputError: The folder holds something else, or work on another request.
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
            "to go on with it, or name another folder."
        )


def write_request(folder: Path, request: Mapping[str, Any]) -> None:
    """Begin a folder with what its work is known by; see `check_same`.

    Raises:
        OutputError: The folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _REQUEST).write_text(json.dumps(request, indent=2), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{folder}: the folder cannot be written: {error.strerror}.") from None


def digest(content: RecipeSpec | Plan) -> str:
    """Return by what a recipe is known from another."""
    return hashlib.sha256(yaml_files.dump(content.to_data()).encode()).hexdigest()


def plain(options: Mapping[str, Any]) -> dict[str, str]:
    """Return options as text, as far as they can be written."""
    return {key: str(value) if isinstance(value, str | int | Path) else "" for key, value in options.items()}


@dataclass(frozen=True)
class Saved:
    """A finished run, read back.

    Args:
        model: Raw images to probabilities.
        class_names: In the order of the probabilities.
    """

    model: keras.Model
    class_names: tuple[str, ...]


def load(folder: str | Path) -> Saved:
    """Read a finished run.

    Raises:
        OutputError: There is none in the folder, or it is damaged.
    """
    folder = Path(folder)
    missing = [name for name in ("model.keras", "labels.txt") if not (folder / name).is_file()]
    if missing:
        raise OutputError(
            f"{folder}: this is not the folder of a finished run; {' and '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} missing."
        )
    names = (folder / "labels.txt").read_text(encoding="utf-8").splitlines()
    try:
        model = keras.saving.load_model(folder / "model.keras", compile=False)
    except Exception as error:  # a damaged file fails in many ways: ValueError, KeyError, BadZipFile ...
        reason = " ".join(str(error).split()).rstrip(".")
        raise OutputError(f"{folder / 'model.keras'}: this model cannot be loaded: {reason}.") from error
    if len(names) != model.output_shape[-1]:
        raise OutputError(
            f"{folder / 'labels.txt'}: there are {len(names)} labels, and the model beside it has "
            f"{model.output_shape[-1]} classes; put back the file that the run wrote."
        )
    return Saved(model, tuple(names))
