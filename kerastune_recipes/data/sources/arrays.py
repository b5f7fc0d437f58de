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
from kerastune_recipes.data.sources.parts import TRAIN, Found, Part


@dataclass(frozen=True, slots=True)
class Traits:
    """What the checks want to know of one image.

    Args:
        shape: Of the image.
        dtype: Of its pixels.
        low: Smallest value, NaN where it holds one; None where there are no numbers.
        high: Largest value, likewise.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    low: Any
    high: Any

    @classmethod
    def of(cls, image: np.ndarray) -> Self:
        """Look at an image."""
        numbers = image.size > 0 and image.dtype.kind in "biuf"
        return cls(image.shape, image.dtype, image.min() if numbers else None, image.max() if numbers else None)


def read_arrays(
    x: Any, y: Any, class_names: Sequence[str] | None = None, source: str = "arrays", group_by: Any = None
) -> Found:
    """Read images and labels from arrays, which are kept as they are and converted one image at a time.

    Args:
        x: (n, height, width) or (n, height, width, 1, 3 or 4), or a list or object array of images of different
            sizes; uint8, or other numbers from 0 to 255. Arrays of any library that NumPy can read.
        y: Integers (n,) or (n, 1), one-hot rows (n, classes), or names (n,).
        class_names: In label order, if known.
        source: What to call the pair.
        group_by: (n,), numbers or names of the groups of images that belong together, or None.

    Returns:
        Everything under "train", and every problem.
    """
    try:
        stack, given = _as_stack(x), np.asarray(y)
    except (TypeError, ValueError) as error:
        return Found(source, problems=(f"{source}: these cannot be read as NumPy arrays: {checks.quoted(error)}.",))
    return read_images(stack, _traits(stack), given, class_names, source, group_by)


def read_unlabeled_arrays(x: Any, source: str = "arrays") -> Found:
    """Read images without labels from arrays as `read_arrays` takes them."""
    try:
        stack = _as_stack(x)
    except (TypeError, ValueError) as error:
        return Found(source, problems=(f"{source}: these cannot be read as NumPy arrays: {checks.quoted(error)}.",))
    return read_unlabeled_images(stack, _traits(stack), source)


def read_unlabeled_images(
    images: np.ndarray | ArrayList | list[np.ndarray], traits: np.ndarray | Sequence[Traits], source: str
) -> Found:
    """Read images without labels that may lie anywhere; for the arguments see `read_images`."""
    problems = checks.array_shapes(traits) or checks.pixel_range(*_extremes(traits))
    if problems:
        return Found(source, problems=tuple(checks.placed(source, problems)))
    return Found(source, unlabeled=_pictures(images, traits))


def read_images(
    images: np.ndarray | ArrayList | list[np.ndarray],
    traits: np.ndarray | Sequence[Traits],
    given: np.ndarray,
    class_names: Sequence[str] | None,
    source: str,
    group_by: Any = None,
) -> Found:
    """Read images that may lie anywhere, from what is known of them.

    Args:
        images: As `read_arrays` takes them; they are not touched before they are asked for.
        traits: Of each image, or the images themselves where they are one array.
        given: Labels as `read_arrays` takes them.
        class_names: In label order, if known.
        source: What to call the images.
        group_by: As for `read_arrays`.

    Returns:
        Everything under "train", and every problem.
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
        return Found(source, problems=tuple(checks.placed(source, problems)))
    samples = _pictures(images, traits).labelled(labels.indices, labels.class_names)
    return Found(source, {TRAIN: Part(samples, labels.naming, labels.one_hot, groups)})


def _pictures(images: np.ndarray | ArrayList | list[np.ndarray], traits: np.ndarray | Sequence[Traits]) -> Pictures:
    names = [f"image {index}" for index in range(len(traits))]

    def read(index: int, at_least: int | None = None) -> np.ndarray:
        return to_rgb(np.asarray(images[index]), names[index])

    sizes = np.array([image.shape[:2] for image in traits], dtype=np.int64).reshape(-1, 2)
    return Pictures(read, names, sizes)


def _as_stack(x: Any) -> np.ndarray | list[np.ndarray]:
    """One array where all images have one size, a list of arrays where they were given one by one."""
    if isinstance(x, list | tuple) or (isinstance(x, np.ndarray) and x.dtype == object):
        return [np.asarray(image) for image in x]
    return np.asarray(x)


def _traits(stack: np.ndarray | list[np.ndarray]) -> np.ndarray | list[Traits]:
    return stack if isinstance(stack, np.ndarray) else [Traits.of(image) for image in stack]


def _extremes(traits: np.ndarray | Sequence[Traits]) -> tuple[np.ndarray, np.ndarray, np.dtype]:
    """Smallest and largest value of each image (NaN where it holds one), and the type of the pixels."""
    if isinstance(traits, np.ndarray):
        if traits.dtype == np.uint8:  # Nothing can be out of range, so the images need not be read.
            return np.zeros(0), np.zeros(0), traits.dtype
        axes = tuple(range(1, traits.ndim))
        return traits.min(axis=axes), traits.max(axis=axes), traits.dtype
    lows, highs = np.array([image.low for image in traits]), np.array([image.high for image in traits])
    return lows, highs, np.result_type(np.uint8, *{image.dtype for image in traits})
