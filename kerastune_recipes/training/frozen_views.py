"""Outputs of the frozen part for a few views of each image, computed once before training."""

import math
from collections.abc import Callable, Iterable
from functools import partial

import keras
import numpy as np

from kerastune_recipes.arrays import files
from kerastune_recipes.devices.workers import SINGLE, Workers
from kerastune_recipes.model.forward import forward
from kerastune_recipes.training.batches import LabelledBatches, LabelledViews

# Several workers tell each other so many bytes at a time, or a batch: telling takes a moment each time.
_TOLD_AT_ONCE = 64 * 2**20


def compute(
    fixed: keras.Model,
    batches: LabelledBatches,
    views: int,
    progress: Callable[[], None] = lambda: None,
    budget_bytes: int | None = None,
    workers: Workers = SINGLE,
) -> LabelledViews:
    """Pass views of all images through the fixed part, once; several workers each pass a part of every batch.

    Args:
        fixed: As `split` gives it.
        batches: The images. View v of each is what they give in epoch v.
        views: How many.
        progress: Called after each batch.
        budget_bytes: As for `arrays.allocate`.
        workers: Who shares the work.

    Returns:
        Batches for the rest, in the order of the images' own epochs, the same on every worker.

    Raises:
        WorkError: The disk has no room for the temporary file.
    """
    shapes = [tuple(tensor.shape[1:]) for tensor in fixed.outputs]
    images, width = len(batches.labels), _width(fixed)
    values = files.allocate(
        (views, images, width),
        np.float32,
        budget_bytes,
        what=f"{views} views of {images} images at the end of the frozen part",
        otherwise='give fewer views or write "fresh"',
    )
    labels = np.empty((views, *batches.labels.shape), np.float32)
    at_once = max(1, _TOLD_AT_ONCE // (4 * width * batches.batch_size)) if workers.size > 1 else 1
    for view in range(views):
        batches.start(view)
        for first in range(0, len(batches), at_once):
            some = range(first, min(first + at_once, len(batches)))
            for piece, (found, _) in enumerate(workers.all_gather(partial(_shares, fixed, batches, some, workers))):
                chosen = np.concatenate([batches.chosen(index)[piece :: workers.size] for index in some])
                values[view, chosen], labels[view, chosen] = found["values"], found["labels"]
            for _ in some:
                progress()
    return LabelledViews(values, shapes, labels, batches.batch_size, batches.seed)


def _shares(
    fixed: keras.Model, batches: LabelledBatches, some: Iterable[int], workers: Workers
) -> tuple[dict[str, np.ndarray], None]:
    """Return what the fixed part makes of a worker's parts of some batches, and their labels."""
    parts = [batches.part(index, workers.index, workers.size) for index in some]
    values = [_passed(fixed, pixels) for pixels, _ in parts]
    return {"values": np.concatenate(values), "labels": np.concatenate([labels for _, labels in parts])}, None


def _passed(fixed: keras.Model, pixels: np.ndarray) -> np.ndarray:
    """Return the tensors of a batch side by side (b, d)."""
    pass_on, at_once = forward(fixed, pixels.dtype.name)
    rows = [np.empty((0, _width(fixed)), np.float32)]
    for start in range(0, len(pixels), at_once):
        some = pixels[start : start + at_once]
        tensors = keras.tree.flatten(pass_on(some))
        rows.append(np.concatenate([one.reshape(len(some), -1).astype(np.float32) for one in tensors], axis=1))
    return np.concatenate(rows)


def _width(fixed: keras.Model) -> int:
    return sum(math.prod(tensor.shape[1:]) for tensor in fixed.outputs)
