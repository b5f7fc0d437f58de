"""A finished run, read back from its folder."""

from dataclasses import dataclass
from pathlib import Path

import keras

from kerastune_recipes.errors import OutputError


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
