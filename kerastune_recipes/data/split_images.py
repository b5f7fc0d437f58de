"""The images of one split, with their pixels where a phase trains on them."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from kerastune_recipes.arrays.lazy import Joined, Selected
from kerastune_recipes.data.dataset import Pictures, Samples, concatenate

# The splits; the only keys by which images, features and parts of a source are stored.
TRAIN, VALIDATION, TEST, UNLABELED = "train", "validation", "test", "unlabeled"


def split_in_words(split: str) -> str:
    """Return what messages and progress bars call the images of a split.

    Args:
        split: TRAIN, VALIDATION, TEST or UNLABELED.

    Example:
        >>> split_in_words(TRAIN)
        'training images'
    """
    return "training images" if split == TRAIN else f"{split} images"


@dataclass(frozen=True)
class Images:
    """The images of one split.

    Args:
        samples: The images as their source gives them, not decoded.
        pixels: uint8 (n, s, s, 3), the decoded images; None where only their features are needed.
    """

    samples: Pictures
    pixels: Any = None

    @property
    def labels(self) -> np.ndarray:
        """int64 (n,), the label of each image; unlabelled images have none."""
        assert isinstance(self.samples, Samples)
        return self.samples.labels

    @property
    def groups(self) -> np.ndarray | None:
        """int64 (n,), the group of each image; None where images are not grouped."""
        return self.samples.groups if isinstance(self.samples, Samples) else None

    @property
    def together(self) -> np.ndarray | None:
        """int64 (n,), see `Samples.together`."""
        return self.samples.together if isinstance(self.samples, Samples) else None

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each image."""
        return tuple(map(str, self.samples.names))

    def joined(self, others: "Images") -> "Images":
        """Return these images followed by others; their pixels are not copied."""
        assert isinstance(self.samples, Samples)
        assert isinstance(others.samples, Samples)
        pixels = None if self.pixels is None else Joined(self.pixels, others.pixels)
        return Images(concatenate([self.samples, others.samples]), pixels)

    def select(self, positions: np.ndarray) -> "Images":
        """Return the images at some positions, int (m,); their pixels are not copied."""
        return Images(self.samples.select(positions), None if self.pixels is None else Selected(self.pixels, positions))
