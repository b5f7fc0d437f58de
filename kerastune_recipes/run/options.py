"""The options of one run, as `Recipe.run`, `compare`, `tune` and the shell pass them on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerastune_recipes.data.sources.parts import GroupBy

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
