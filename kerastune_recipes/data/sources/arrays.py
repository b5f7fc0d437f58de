"""Images and labels in memory: the pair (x, y)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from kerastune_recipes.arrays.files import ArrayList
from kerastune_recipes.data import checks
from kerastune_recipes.data.dataset import Pictures
from kerastune_recipes.data.images import to_rgb
from kerastune_recipes.data.sources.labels import read_groups, read_labels
from kerastune_recipes.data.sources.parts import Part, ReadResult
from kerastune_recipes.data.split_images import TRAIN


@dataclass(frozen=True, slots=True)
class Traits:
    """Facts about one image that the checks need.

    Args:
        shape: Shape of the image.
        dtype: Type of its pixels.
        low: Smallest value, NaN if there is a NaN; None if the pixels are not numbers.
        high: Largest value, NaN if there is a NaN; None if the pixels are not numbers.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    low: Any
    high: Any

    @classmethod
    def of(cls, image: np.ndarray) -> Self:
        """Return the traits of an image."""
        numbers = image.size > 0 and image.dtype.kind in "biuf"
        return cls(image.shape, image.dtype, image.min() if numbers else None, image.max() if numbers else None)


def read_arrays(
    x: Any, y: Any, class_names: Sequence[str] | None = None, source: str = "arrays", group_by: Any = None
) -> ReadResult:
    """Read images and labels from arrays, which are kept as they are and converted image by image.

    Args:
        x: (n, height, width) or (n, height, width, 1, 3 or 4), or a list or object array of images of different
            sizes; uint8, or other numbers from 0 to 255. Arrays of any library that NumPy can read.
        y: Integers (n,) or (n, 1), one-hot rows (n, classes), or names (n,).
        class_names: Class names in label order, or None.
        source: Name of the pair for error messages.
        group_by: (n,), integers or names, the group of each image; None for no groups.

    Returns:
        All images as training images, and every problem.

    Example:
        >>> result = read_arrays(np.zeros((4, 8, 8), np.uint8), [0, 1, 0, 1])
        >>> result.parts["train"].samples.counts
        (2, 2)
    """
    try:
        stack = _as_stack(x)
    except (TypeError, ValueError) as error:
        return ReadResult(source, problems=(f"{source}: cannot be read as NumPy arrays: {checks.quoted(error)}.",))
    return read_images(stack, _traits(stack), y, class_names, source, group_by)


def read_unlabeled_arrays(x: Any, source: str = "arrays") -> ReadResult:
    """Read images without labels from arrays; for the arguments see `read_arrays`."""
    try:
        stack = _as_stack(x)
    except (TypeError, ValueError) as error:
        return ReadResult(source, problems=(f"{source}: cannot be read as NumPy arrays: {checks.quoted(error)}.",))
    return read_unlabeled_images(stack, _traits(stack), source)


def read_unlabeled_images(
    images: np.ndarray | ArrayList | list[np.ndarray], traits: np.ndarray | Sequence[Traits], source: str
) -> ReadResult:
    """Read images without labels from their traits; for the arguments see `read_images`."""
    problems = checks.array_shapes(traits) or checks.pixel_range(*_extremes(traits))
    if problems:
        return ReadResult(source, problems=tuple(checks.located(source, problems)))
    return ReadResult(source, unlabeled=_pictures(images, traits))


def read_images(
    images: np.ndarray | ArrayList | list[np.ndarray],
    traits: np.ndarray | Sequence[Traits],
    given: Any,
    class_names: Sequence[str] | None,
    source: str,
    group_by: Any = None,
) -> ReadResult:
    """Read images in memory or in a file from their traits.

    Args:
        images: Images of any shape that `read_arrays` accepts; they are indexed only when an image is read.
        traits: Traits of each image, or the images themselves if they are one array.
        given: Labels in any form that `read_arrays` accepts.
        class_names: Class names in label order, or None.
        source: Name of the images for error messages.
        group_by: See `read_arrays`.

    Returns:
        All images as training images, and every problem.
    """
    problems = checks.array_shapes(traits)
    labels, label_problems = read_labels(given, class_names)
    groups = None
    if not problems:
        problems = checks.pixel_range(*_extremes(traits))
        if labels is not None:
            problems += checks.lengths(len(traits), len(labels.indices))
        groups, group_problems = read_groups(group_by, len(traits))
        label_problems += group_problems
    problems += label_problems
    if labels is None or problems:
        return ReadResult(source, problems=tuple(checks.located(source, problems)))
    samples = _pictures(images, traits).labelled(labels.indices, labels.class_names)
    return ReadResult(source, {TRAIN: Part(samples, labels.naming, labels.one_hot, groups, labels.numbering)})


def _pictures(images: np.ndarray | ArrayList | list[np.ndarray], traits: np.ndarray | Sequence[Traits]) -> Pictures:
    names = [f"image {index}" for index in range(len(traits))]

    def read(index: int, at_least: int | None = None) -> np.ndarray:
        return to_rgb(np.asarray(images[index]), names[index])

    sizes = np.array([image.shape[:2] for image in traits], dtype=np.int64).reshape(-1, 2)
    return Pictures(read, names, sizes)


def _as_stack(x: Any) -> np.ndarray | list[np.ndarray]:
    """Return one array if the images have one size, a list of arrays if they were given one by one."""
    if isinstance(x, list | tuple) or (isinstance(x, np.ndarray) and x.dtype == object):
        return [np.asarray(image) for image in x]
    return np.asarray(x)


def _traits(stack: np.ndarray | list[np.ndarray]) -> np.ndarray | list[Traits]:
    return stack if isinstance(stack, np.ndarray) else [Traits.of(image) for image in stack]


def _extremes(traits: np.ndarray | Sequence[Traits]) -> tuple[np.ndarray, np.ndarray, np.dtype]:
    """Return the smallest and largest value of each image (NaN if it has a NaN), and the type of the pixels."""
    if isinstance(traits, np.ndarray):
        if traits.dtype == np.uint8:  # never out of range, so the images need not be read
            return np.zeros(0), np.zeros(0), traits.dtype
        axes = tuple(range(1, traits.ndim))
        return traits.min(axis=axes), traits.max(axis=axes), traits.dtype
    lows, highs = np.array([image.low for image in traits]), np.array([image.high for image in traits])
    return lows, highs, np.result_type(np.uint8, *{image.dtype for image in traits})
