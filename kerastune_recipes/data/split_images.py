"""The images of one split, with their pixels where a phase trains on them."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from kerastune_recipes.arrays.lazy import Joined, Selected
from kerastune_recipes.data.dataset import Pictures, Samples, concatenate

# The splits, as progress names them too.
TRAIN, VALIDATION, TEST, UNLABELED = "training", "validation", "test", "unlabeled"


@dataclass(frozen=True)
class Images:
    """The images of one split.

    Args:
        samples: As their source gives them.
        pixels: uint8 (n, s, s, 3), decoded, or None where nothing but features is needed of them.
    """

    samples: Pictures
    pixels: Any = None

    @property
    def labels(self) -> np.ndarray:
        """Their labels; unlabelled images have none to be asked for."""
        assert isinstance(self.samples, Samples)
        return self.samples.labels

    @property
    def groups(self) -> np.ndarray | None:
        """Which of them belong together, if anything says so."""
        return self.samples.groups if isinstance(self.samples, Samples) else None

    def joined(self, others: "Images") -> "Images":
        """Return these images and others behind them; their pixels are not copied."""
        assert isinstance(self.samples, Samples)  # labelled ones
        assert isinstance(others.samples, Samples)
        pixels = None if self.pixels is None else Joined(self.pixels, others.pixels)
        return Images(concatenate([self.samples, others.samples]), pixels)

    def select(self, places: np.ndarray) -> "Images":
        """Return some of the images; their pixels are not copied."""
        return Images(self.samples.select(places), None if self.pixels is None else Selected(self.pixels, places))
