"""The views of an image that a head may be solved on: the image, its mirror image, random crops."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

# A crop shows this share of the image at least, and its sides are stretched against one another by this factor at most
# (the latter is that of Szegedy et al. 2015, whose smallest crops, 8%, are made for training with many epochs).
SMALLEST_CROP = 0.5
MOST_STRETCHED = 4 / 3

Flip = Literal["none", "horizontal"]
# Left, top, right and bottom edge as shares of width and height.
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class View:
    """One way to look at an image.

    Args:
        crop: Number of the random crop; 0 is the whole image.
        mirrored: True for the mirror image.
    """

    crop: int = 0
    mirrored: bool = False

    @property
    def name(self) -> str:
        """What it is called, and known by in the cache."""
        shown = f"crop {self.crop} of {SMALLEST_CROP:g} or more" if self.crop else "image"
        return f"{shown}, mirrored" if self.mirrored else shown


WHOLE = View()


def views(count: int, flip: Flip) -> tuple[View, ...]:
    """Return what `views: COUNT` stands for: the image, its mirror image, then crops, every other one mirrored.

    Args:
        count: How many, at least 1.
        flip: "none" leaves the mirror images out.

    Example:
        >>> [view.name for view in views(3, "horizontal")]
        ['image', 'image, mirrored', 'crop 1 of 0.5 or more']
    """
    if flip == "none":
        return tuple(View(crop) for crop in range(count))
    return tuple(View(max(0, number - 1), mirrored=bool(number % 2)) for number in range(count))


def box(view: View, digest: bytes) -> Box | None:
    """Return the part of an image that a view shows, or None for all of it.

    It depends on the image's content and the crop's number alone, so the same image gives the same crops in every run.

    Args:
        view: Which.
        digest: That of the image's content.
    """
    if not view.crop:
        return None
    random = np.random.default_rng([int.from_bytes(digest, "little"), view.crop])
    area = random.uniform(SMALLEST_CROP, 1)
    stretch = np.exp(random.uniform(-1, 1) * np.log(MOST_STRETCHED))
    width, height = min(1.0, (area * stretch) ** 0.5), min(1.0, (area / stretch) ** 0.5)
    left, top = random.uniform(0, 1 - width), random.uniform(0, 1 - height)
    return left, top, left + width, top + height
