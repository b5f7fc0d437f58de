"""Images and labels in memory: the pair (x, y)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from PIL import Image

from kerastune_recipes.arrays.files import ArrayList
from kerastune_recipes.data import checks, scales
from kerastune_recipes.data.dataset import Pictures
from kerastune_recipes.data.images import from_pillow, to_rgb
from kerastune_recipes.data.pixel_range import PixelRange
from kerastune_recipes.data.scales import Extremes
from kerastune_recipes.data.sources.labels import read_groups, read_labels
from kerastune_recipes.data.sources.parts import Part, ReadResult
from kerastune_recipes.data.split_images import TRAIN
from kerastune_recipes.errors import DataError


@dataclass(frozen=True, slots=True)
class Traits:
    """Facts about one image that the checks need.

    Args:
        shape: Shape of the image.
        dtype: Type of its pixels.
        low: Smallest value, NaN if there is a NaN; None if the pixels are not numbers.
        high: Largest value, NaN if there is a NaN; None if the pixels are not numbers.
        scaled: See `scales.looks_scaled`.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    low: float | None
    high: float | None
    scaled: bool = False

    @classmethod
    def of(cls, image: np.ndarray) -> Self:
        """Return the traits of an image."""
        if not (image.size > 0 and image.dtype.kind in "biuf"):
            return cls(image.shape, image.dtype, None, None)
        low, high = float(image.min()), float(image.max())
        return cls(image.shape, image.dtype, low, high, scales.looks_scaled(image, low, high))


@dataclass(frozen=True)
class ImagesInMemory:
    """Images in memory or in a file, of any form that `read_arrays` accepts.

    Args:
        images: The images, or the images as uint8 in 0..255; they are indexed only when an image is read.
        traits: Traits of each image, or the images themselves if they are one array.
        pixel_range: The range of the values that the user states, or None for 0..255.
        as_bytes: Whether `images` are uint8 in 0..255 already, while `traits` are of the images as they were given.
        positions: The position of each image among all that are given, which names it; None where these are all.
    """

    images: np.ndarray | ArrayList | list[np.ndarray]
    traits: np.ndarray | Sequence[Traits]
    pixel_range: PixelRange | None = None
    as_bytes: bool = False
    positions: Sequence[int] | None = None

    @classmethod
    def of(cls, x: Any, pixel_range: PixelRange | None = None) -> Self:
        """Take images as a user gives them; for the arguments see `read_arrays`.

        Raises:
            TypeError, ValueError: NumPy cannot read them.
            DataError: An image of Pillow cannot be read.
        """
        if isinstance(x, list | tuple) or (isinstance(x, np.ndarray) and x.dtype == object):
            images = [_as_array(image, f"image {number}", pixel_range) for number, image in enumerate(x)]
            return cls(images, [Traits.of(image) for image in images], pixel_range)
        stack = _as_array(x, "images", pixel_range)
        return cls(stack, stack, pixel_range)

    def judge(self) -> tuple[list[str], list[str]]:
        """Return what is wrong with shapes, types and values, and what is doubtful about the values."""
        problems = checks.array_shapes(self.traits, self.positions)
        if problems:
            return problems, []
        extremes = self.extremes()
        problems = scales.problems(extremes, self.pixel_range)
        return problems, [] if problems else scales.warnings(extremes, self.pixel_range)

    def extremes(self) -> Extremes:
        """Return the extreme values of images that have the shape and type of images."""
        if isinstance(self.traits, np.ndarray):
            return Extremes.of(self.traits, self.pixel_range)
        return Extremes(
            lows=np.array([image.low for image in self.traits], dtype=np.float64),
            highs=np.array([image.high for image in self.traits], dtype=np.float64),
            scaled=np.array([image.scaled for image in self.traits], dtype=bool),
            bytes_only=all(image.dtype == np.uint8 for image in self.traits),
            positions=self.positions,
        )

    def pictures(self) -> Pictures:
        """Return the images, each converted when it is read."""
        names = [f"image {number}" for number in self.positions or range(len(self.traits))]
        pixel_range = None if self.as_bytes else self.pixel_range

        def read(index: int, at_least: int | None = None) -> np.ndarray:
            return to_rgb(np.asarray(self.images[index]), names[index], pixel_range)

        sizes = np.array([image.shape[:2] for image in self.traits], dtype=np.int64).reshape(-1, 2)
        return Pictures(read, names, sizes)


def read_arrays(
    x: Any,
    y: Any,
    class_names: Sequence[str] | None = None,
    source: str = "arrays",
    group_by: Any = None,
    pixel_range: PixelRange | None = None,
) -> ReadResult:
    """Read images and labels from arrays, which are kept as they are and converted image by image.

    Args:
        x: (n, height, width) or (n, height, width, 1, 3 or 4), or a list or object array of images of different
            sizes; uint8, or other numbers from 0 to 255. Arrays of any library that NumPy can read.
        y: Integers (n,) or (n, 1), one-hot rows (n, classes), or names (n,).
        class_names: Class names in label order, or None.
        source: Name of the pair for error messages.
        group_by: (n,), integers or names, the group of each image; None for no groups.
        pixel_range: The values of black and white, or None for 0 and 255.

    Returns:
        All images as training images, and every problem.

    Example:
        >>> result = read_arrays(np.zeros((4, 8, 8), np.uint8), [0, 1, 0, 1])
        >>> result.parts["train"].samples.counts
        (2, 2)
    """
    given, problems = _in_memory(x, pixel_range)
    if given is None:
        return ReadResult(source, problems=tuple(checks.located(source, problems)))
    return read_images(given, y, class_names, source, group_by)


def read_unlabeled_arrays(x: Any, source: str = "arrays", pixel_range: PixelRange | None = None) -> ReadResult:
    """Read images without labels from arrays; for the arguments see `read_arrays`."""
    given, problems = _in_memory(x, pixel_range)
    if given is None:
        return ReadResult(source, problems=tuple(checks.located(source, problems)))
    return read_unlabeled_images(given, source)


def read_unlabeled_images(given: ImagesInMemory, source: str) -> ReadResult:
    """Read images without labels.

    Args:
        given: The images.
        source: Name of the images for error messages.
    """
    problems, warnings = given.judge()
    if problems:
        return ReadResult(source, problems=tuple(checks.located(source, problems)))
    return ReadResult(source, unlabeled=given.pictures(), warnings=tuple(checks.located(source, warnings)))


def read_images(
    given: ImagesInMemory,
    labels_given: Any,
    class_names: Sequence[str] | None,
    source: str,
    group_by: Any = None,
) -> ReadResult:
    """Read images and labels in memory or in a file.

    Args:
        given: The images.
        labels_given: Labels in any form that `read_arrays` accepts.
        class_names: Class names in label order, or None.
        source: Name of the images for error messages.
        group_by: See `read_arrays`.

    Returns:
        All images as training images, and every problem.
    """
    labels, label_problems = read_labels(labels_given, class_names)
    problems, warnings = given.judge()
    groups = None
    if not checks.array_shapes(given.traits):
        if labels is not None:
            problems += checks.lengths(len(given.traits), len(labels.indices))
        groups, group_problems = read_groups(group_by, len(given.traits))
        label_problems += group_problems
    problems += label_problems
    if labels is None or problems:
        return ReadResult(source, problems=tuple(checks.located(source, problems)))
    samples = given.pictures().labelled(labels.indices, labels.class_names)
    part = Part(samples, labels.naming, labels.one_hot, groups, labels.numbering)
    return ReadResult(source, {TRAIN: part}, warnings=tuple(checks.located(source, [*warnings, *labels.doubts])))


def _in_memory(x: Any, pixel_range: PixelRange | None) -> tuple[ImagesInMemory | None, list[str]]:
    try:
        return ImagesInMemory.of(x, pixel_range), []
    except DataError as error:
        return None, list(error.problems)
    except Exception as error:  # each library of arrays has its own
        return None, [f"cannot be read as NumPy arrays: {checks.quoted(error)}."]


def _as_array(image: Any, name: str, pixel_range: PixelRange | None) -> np.ndarray:
    """Return an image, or all in one array.

    NumPy itself would drop a mask without a word, and take the numbers of a palette, or of inks, for colours.

    Raises:
        ValueError: Pixels are masked.
        DataError: An image of Pillow cannot be read.
    """
    if isinstance(image, np.ma.MaskedArray) and image.mask.any():
        raise ValueError("pixels are masked; fill them")
    if isinstance(image, Image.Image) and (pixel_range is None or not image.mode.startswith(("I", "F"))):
        return from_pillow(image, name)
    return np.asarray(image)
