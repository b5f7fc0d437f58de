"""The run folder: when one may be written to, how it begins, and how a finished one is found again."""

from pathlib import Path

from kerastune_recipes import yaml_files
from kerastune_recipes.errors import OutputError
from kerastune_recipes.planning.plan import Plan
from kerastune_recipes.run import checkpoint
from kerastune_recipes.spec.recipe_spec import RecipeSpec

# What a run writes; nothing else in a folder is ever removed.
FILES = ("recipe.yaml", "plan.yaml", "report.json", "report.html", "model.keras", "labels.txt", "history.csv")


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
