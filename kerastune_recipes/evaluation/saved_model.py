"""The model of a finished run in its folder: model.keras and labels.txt, written and read back."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
from keras.src.saving.serialization_lib import SafeModeScope

from kerastune_recipes import atomic_files, printable
from kerastune_recipes.data import class_names
from kerastune_recipes.data.pixel_range import PixelRange
from kerastune_recipes.errors import DataError, OutputError, reason
from kerastune_recipes.evaluation import model_file
from kerastune_recipes.model.network import RESIZE
from kerastune_recipes.spec.fields import LARGEST_IMAGE

_MODEL, _LABELS, _REPORT = "model.keras", "labels.txt", "report.json"
# The labels of ImageNet-21k take 700 kB.
_LARGEST_LABELS = 64 * 2**20


@dataclass(frozen=True)
class Saved:
    """The model of a finished run.

    Args:
        model: A model that maps raw images (b, h, w, 3), values 0..255, to probabilities (b, classes).
        class_names: Names of the classes, in the order of the probabilities.
        pixel_range: The stored values of black and white that the run was given; None for those of the format.
    """

    model: keras.Model
    class_names: tuple[str, ...]
    pixel_range: tuple[float, float] | None = None


def save_labels(folder: Path, class_names: Sequence[str]) -> None:
    """Write labels.txt: the class names, one a line, in the order of the probabilities."""
    atomic_files.write(folder / _LABELS, "".join(f"{name}\n" for name in class_names))


def save_model(folder: Path, model: keras.Model) -> None:
    """Write model.keras, whole or not at all."""
    atomic_files.write_by(folder / _MODEL, model.save)


def load(folder: str | Path) -> Saved:
    """Read the model of a finished run. The folder may come from a stranger: nothing in it is run.

    Args:
        folder: A run folder.

    Raises:
        OutputError: The folder holds no finished run, or a file in it is damaged or holds something else.

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
    names = read_labels(folder / _LABELS)
    model = _read_model(folder / _MODEL)
    if len(names) != model.output_shape[-1]:
        raise OutputError(
            f"{folder / _LABELS}: there are {len(names)} labels, but the model beside it has "
            f"{model.output_shape[-1]} classes; restore the file that the run wrote."
        )
    return Saved(model, names, _read_pixel_range(folder / _REPORT))


def read_labels(file: Path) -> tuple[str, ...]:
    """Read labels.txt exactly: only a line feed ends a name.

    Raises:
        OutputError: It cannot be read, or holds what cannot be a name of a class.
    """
    try:
        with file.open("rb") as opened:
            content = opened.read(_LARGEST_LABELS + 1)
        if len(content) > _LARGEST_LABELS:
            raise OutputError(f"{file}: this is too long for labels; restore the file that the run wrote.")
        names = content.decode().removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise OutputError(f"{file}: this file cannot be read: {reason(error)}.") from None
    mistakes = class_names.mistakes(names)
    if mistakes:
        raise OutputError(*(f"{file}: {mistake}; restore the file that the run wrote." for mistake in mistakes))
    return tuple(names)


def _read_pixel_range(file: Path) -> tuple[float, float] | None:
    """Return the range of pixels in report.json; None where there is no report, or it is of an earlier build.

    Raises:
        OutputError: The report is damaged.
    """
    if not file.is_file():
        return None
    try:
        found = PixelRange.of(json.loads(file.read_text(encoding="utf-8"))["data"].get("pixel_range"))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, DataError):
        raise OutputError(f"{file}: this report is damaged; restore the file that the run wrote.") from None
    return None if found is None else (found.low, found.high)


def _read_model(file: Path) -> keras.Model:
    model_file.check(file)
    try:
        # Keras lets a switch of the whole process, enable_unsafe_deserialization, win over `safe_mode`; not over this.
        with SafeModeScope(True):
            model = keras.saving.load_model(file, compile=False, safe_mode=True)
    except Exception as error:  # a damaged file fails in many ways: ValueError, KeyError, OSError, TypeError ...
        why = " ".join(str(error).split()) or type(error).__name__
        # Keras goes on to say how its safe mode is switched off.
        why = printable.shortened(why.split(" If you trust ")[0], most=300).rstrip(".")
        raise OutputError(f"{file}: this model cannot be loaded: {why}.") from error
    if not _maps_images_to_classes(model):
        raise OutputError(
            f"{file}: this is a model, but not one that a run wrote: it does not resize images and map them to "
            "probabilities of classes; use it with Keras."
        )
    return model


def _maps_images_to_classes(model: object) -> bool:
    if not isinstance(model, keras.Model):
        return False
    resizing = next((layer for layer in model.layers if layer.name == RESIZE), None)
    if not isinstance(resizing, keras.layers.Resizing) or max(resizing.height, resizing.width) > LARGEST_IMAGE:
        return False
    images, classes = model.input_shape, model.output_shape
    return images == (None, None, None, 3) and len(classes) == 2 and isinstance(classes[-1], int)
