"""Images and labels in memory: the pair (x, y)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from kerastune_recipes.data import checks
from kerastune_recipes.data.images import to_rgb
from kerastune_recipes.data.samples import Samples
from kerastune_recipes.data.sources.found import TRAIN, Found, Part
from kerastune_recipes.data.sources.labels import read_labels


def read_arrays(x: Any, y: Any, class_names: Sequence[str] | None = None, source: str = "arrays") -> Found:
    """Read images and labels from arrays, which are kept as they are and converted one image at a time.

    Args:
        x: (n, height, width) or (n, height, width, 1, 3 or 4), or a list or object array of images of different
            sizes; uint8, or other numbers from 0 to 255. Arrays of any library that NumPy can read.
        y: Integers (n,) or (n, 1), one-hot rows (n, classes), or names (n,).
        class_names: In label order, if known.
        source: What to call the pair.

    Returns:
        Everything under "train", and every problem.
    """
    try:
        stack, given = _as_stack(x), np.asarray(y)
    except (TypeError, ValueError) as error:
        return Found(source, problems=(f"{source}: these cannot be read as NumPy arrays: {checks.quoted(error)}.",))
    problems = checks.array_shapes(stack)
    labels, label_problems = read_labels(given, class_names)
    if not problems:
        problems = checks.pixel_range(*_extremes(stack))
        if labels is not None:
            problems += checks.lengths(len(stack), len(labels.indices))
    problems += label_problems
    if labels is None or problems:
        return Found(source, problems=tuple(checks.placed(source, problems)))
    names = [f"image {index}" for index in range(len(stack))]

    def read(index: int, at_least: int | None = None) -> np.ndarray:
        return to_rgb(np.asarray(stack[index]), names[index])

    sizes = np.array([image.shape[:2] for image in stack], dtype=np.int64).reshape(-1, 2)
    samples = Samples(read, names, labels.indices, labels.class_names, sizes)
    return Found(source, {TRAIN: Part(samples, labels.naming, labels.one_hot)})


def _as_stack(x: Any) -> np.ndarray | list[np.ndarray]:
    """One array where all images have one size, a list of arrays where they were given one by one."""
    if isinstance(x, list | tuple) or (isinstance(x, np.ndarray) and x.dtype == object):
        return [np.asarray(image) for image in x]
    return np.asarray(x)


def _extremes(stack: np.ndarray | list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.dtype]:
    """Smallest and largest value of each image (NaN where it holds one), and the type of the pixels."""
    if isinstance(stack, np.ndarray):
        if stack.dtype == np.uint8:  # Nothing can be out of range, so the images need not be read.
            return np.zeros(0), np.zeros(0), stack.dtype
        axes = tuple(range(1, stack.ndim))
        return stack.min(axis=axes), stack.max(axis=axes), stack.dtype
    lows = np.array([image.min() for image in stack])
    return lows, np.array([image.max() for image in stack]), np.result_type(np.uint8, *{image.dtype for image in stack})
