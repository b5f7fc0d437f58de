"""The model of a finished run in its folder: model.keras and labels.txt, written and read back."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras

from kerastune_recipes.errors import OutputError

_MODEL, _LABELS = "model.keras", "labels.txt"


@dataclass(frozen=True)
class Saved:
    """The model of a finished run.

    Args:
        model: A model that maps raw images (b, h, w, 3), values 0..255, to probabilities (b, classes).
        class_names: Names of the classes, in the order of the probabilities.
    """

    model: keras.Model
    class_names: tuple[str, ...]


def save_labels(folder: Path, class_names: Sequence[str]) -> None:
    """Write labels.txt: the class names, one a line, in the order of the probabilities."""
    (folder / _LABELS).write_text("".join(f"{name}\n" for name in class_names), encoding="utf-8")


def save_model(folder: Path, model: keras.Model) -> None:
    """Write model.keras."""
    model.save(folder / _MODEL)


def load(folder: str | Path) -> Saved:
    """Read the model of a finished run.

    Args:
        folder: A run folder.

    Raises:
        OutputError: The folder holds no finished run, or a file in it is damaged.

    Example:
        >>> load("runs/first").class_names
        ('ants', 'bees')
    """
    folder = Path(folder)
    missing = [name for name in (_MODEL, _LABELS) if not (folder / name).is_file()]
    if missing:
        raise OutputError(
            f"{folder}: this is not the folder of a finished run; {' and '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} missing."
        )
    names = (folder / _LABELS).read_text(encoding="utf-8").splitlines()
    try:
        model = keras.saving.load_model(folder / _MODEL, compile=False)
    except Exception as error:  # a damaged file fails in many ways: ValueError, KeyError, BadZipFile ...
        reason = " ".join(str(error).split()).rstrip(".")
        raise OutputError(f"{folder / _MODEL}: this model cannot be loaded: {reason}.") from error
    if len(names) != model.output_shape[-1]:
        raise OutputError(
            f"{folder / _LABELS}: there are {len(names)} labels, but the model beside it has "
            f"{model.output_shape[-1]} classes; restore the file that the run wrote."
        )
    return Saved(model, tuple(names))
