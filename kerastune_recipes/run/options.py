"""The options of one run, as `Recipe.run`, `compare`, `tune` and the shell pass them on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerastune_recipes.data.pixel_range import GivenRange
from kerastune_recipes.data.sources.parts import GroupBy
from kerastune_recipes.data.splits import HeldOutShare

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class RunOptions:
    """How to run a recipe; `Recipe.run` explains each option.

    Args:
        seed: Random seed of the hold-out and of everything random after it.
        out: Folder to write the run to, or None.
        strategy: Name of a strategy, a strategy object, or None for "auto".
        resume: Resume the interrupted run in `out`.
        overwrite: Replace the run in `out`.
        callbacks: Keras callbacks for the fit phases.
        verbose: Show progress.
        cache: Use the cache of features and solved heads on disk.
        folds: Number of cross-validation folds in place of a hold-out; None leaves it to the recipe.
        group_by: Which images belong together.
        unlabeled: Images without labels.
        validation_split: Share of the training images to hold out, or "auto".
        pixel_range: The values of black and white, or None.
    """

    seed: int = 0
    out: str | Path | None = None
    strategy: Any = None
    resume: bool = False
    overwrite: bool = False
    callbacks: Sequence["keras.callbacks.Callback"] = ()
    verbose: bool = True
    cache: bool = True
    folds: int | None = None
    group_by: GroupBy = None
    unlabeled: Any = None
    validation_split: HeldOutShare = "auto"
    pixel_range: GivenRange = None

    def of_data(self) -> dict[str, Any]:
        """Return the options that say how the images are read, as arguments of `open_dataset`."""
        names = ("group_by", "unlabeled", "validation_split", "pixel_range")
        return {name: getattr(self, name) for name in names}
