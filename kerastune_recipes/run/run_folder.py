"""The run folder: whether a run may be written there, and its first files."""

import shutil
from pathlib import Path

from kerastune_recipes import yaml_files
from kerastune_recipes.errors import OutputError, writing
from kerastune_recipes.planning.plan import Plan
from kerastune_recipes.spec.recipe_spec import RecipeSpec

# What a run writes; nothing else in a folder is ever removed.
FILES = ("recipe.yaml", "plan.yaml", "report.json", "report.html", "model.keras", "labels.txt", "history.csv")
# While a run lasts, its completed phases.
CHECKPOINTS = "checkpoints"
# Where they were in the first builds of 0.1.0, whose plans had other keys.
_OLD_CHECKPOINTS = "journal"


def prepare(out: str | Path | None, *, resume: bool, overwrite: bool) -> Path | None:
    """Return the folder to write a run to, if it may be used; nothing is made or removed, for the data may prove wrong.

    Args:
        out: The folder, or None for none.
        resume: It holds an interrupted run to resume.
        overwrite: It holds a run to replace.

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
    if resume and not is_interrupted(folder):
        if (folder / _OLD_CHECKPOINTS).is_dir():
            raise OutputError(
                f"{folder}: this run was interrupted under an earlier build of 0.1.0, whose checkpoints this version "
                "cannot read; finish it with that build, or start again with --overwrite."
            )
        raise OutputError(f"{folder}: there is no interrupted run here to resume; leave out --resume to start one.")
    if folder.is_dir() and any(folder.iterdir()) and not (resume or overwrite):
        raise OutputError(
            f"{folder}: this folder exists and is not empty; name another, or give --resume to resume an "
            "interrupted run or --overwrite to replace it."
        )
    return folder


def is_interrupted(folder: Path) -> bool:
    """Return whether a folder holds an interrupted run that can be resumed."""
    return (folder / CHECKPOINTS).is_dir()


def begin(folder: Path, content: RecipeSpec | Plan) -> None:
    """Make the run folder and write what was asked for, overrides included; the files of an older run are removed.

    Args:
        folder: Result of `prepare`.
        content: The recipe or plan.

    Raises:
        OutputError: The folder cannot be written.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            (folder / name).unlink(missing_ok=True)
        shutil.rmtree(folder / _OLD_CHECKPOINTS, ignore_errors=True)
        (folder / "recipe.yaml").write_text(yaml_files.dump(content.to_data()), encoding="utf-8")
