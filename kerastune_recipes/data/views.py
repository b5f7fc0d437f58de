"""The views of an image that a head is solved on: the image, its mirror image, random crops.

Each view of a training image adds a row of features for the head. Test-time augmentation averages predictions over the
same views; the `views` of a fit phase are augmented images instead.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

# The smallest area of a crop as a fraction of the image, and the largest change of its aspect ratio. The latter is from
# Szegedy et al. 2015, whose smallest crops, 8%, suit training with many epochs.
SMALLEST_CROP = 0.5
MOST_STRETCHED = 4 / 3

# The mirror images among the views; augmentation has its own `AugmentationFlip`.
Flip = Literal["none", "horizontal"]
# Left, top, right and bottom edge as fractions of width and height.
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class View:
    """One view of an image.

    Args:
        crop: Number of the random crop; 0 is the whole image.
        mirrored: True for the mirror image of it.
    """

    crop: int = 0
    mirrored: bool = False

    @property
    def name(self) -> str:
        """The name of the view in texts and in the cache."""
        shown = f"crop {self.crop} of {SMALLEST_CROP:g} or more" if self.crop else "image"
        return f"{shown}, mirrored" if self.mirrored else shown


WHOLE = View()


def views(count: int, flip: Flip) -> tuple[View, ...]:
    """Return the views that `views: COUNT` means: the image, its mirror image, then crops, every other one mirrored.

    Args:
        count: Number of views, at least 1.
        flip: "none" leaves the mirror images out.

    Example:
        >>> [view.name for view in views(3, "horizontal")]
        ['image', 'image, mirrored', 'crop 1 of 0.5 or more']
    """
    if flip == "none":
        return tuple(View(crop) for crop in range(count))
    return tuple(View(max(0, number - 1), mirrored=bool(number % 2)) for number in range(count))


def box(view: View, digest: bytes) -> Box | None:
    """Return the part of an image that a view shows, or None for the whole image.

    The part depends only on the image's content and the number of the crop, so an image has the same crops in every
    run.

    Args:
        view: The view.
        digest: Digest of the image's content, see `Pictures.digest`.

    Example:
        >>> box(View(crop=0), digest=b"") is None
        True
    """
    if not view.crop:
        return None
    random = np.random.default_rng([int.from_bytes(digest, "little"), view.crop])
    area = random.uniform(SMALLEST_CROP, 1)
    stretch = np.exp(random.uniform(-1, 1) * np.log(MOST_STRETCHED))
    width, height = min(1.0, (area * stretch) ** 0.5), min(1.0, (area / stretch) ** 0.5)
    left, top = random.uniform(0, 1 - width), random.uniform(0, 1 - height)
    return left, top, left + width, top + height
