"""Caching the outputs of the frozen part for a few augmented views of each image, before training."""

import math
from collections.abc import Callable, Iterable
from functools import partial

import keras
import numpy as np

from kerastune_recipes.arrays import files
from kerastune_recipes.devices.workers import SINGLE, Workers
from kerastune_recipes.model.forward import forward
from kerastune_recipes.training.batches import LabelledBatches, LabelledViews

# Bytes that several workers gather at once, at least a batch: each gather has a fixed cost.
_GATHER_BYTES = 64 * 2**20


def compute(
    frozen: keras.Model,
    batches: LabelledBatches,
    views: int,
    progress: Callable[[], None] = lambda: None,
    budget_bytes: int | None = None,
    workers: Workers = SINGLE,
) -> LabelledViews:
    """Compute the outputs of the frozen part for views of all images; each worker computes its shard of every batch.

    Args:
        frozen: The frozen part of a network, from `model.frozen_part.split`.
        batches: The images; epoch v gives view v of each.
        views: Number of views.
        progress: Called after each batch.
        budget_bytes: Largest array kept in memory, bytes; None as for `arrays.files.allocate`.
        workers: The workers that share the work.

    Returns:
        Batches for the rest of the network, shuffled like the images, the same on every worker.

    Raises:
        WorkError: The disk has no room for the temporary file.
    """
    shapes = [tuple(tensor.shape[1:]) for tensor in frozen.outputs]
    images, width = len(batches.labels), _width(frozen)
    values = files.allocate(
        (views, images, width),
        np.float32,
        budget_bytes,
        what=f"{views} views of {images} images at the end of the frozen part",
        otherwise='give fewer views or write "fresh"',
    )
    labels = np.empty((views, *batches.labels.shape), np.float32)
    step = max(1, _GATHER_BYTES // (4 * width * batches.batch_size)) if workers.size > 1 else 1
    for view in range(views):
        batches.start(view)
        for first in range(0, len(batches), step):
            indices = range(first, min(first + step, len(batches)))
            shards = workers.all_gather(partial(_shards, frozen, batches, indices, workers))
            for worker, (arrays, _) in enumerate(shards):
                positions = np.concatenate([batches.positions(index)[worker :: workers.size] for index in indices])
                values[view, positions], labels[view, positions] = arrays["values"], arrays["labels"]
            for _ in indices:
                progress()
    return LabelledViews(values, shapes, labels, batches.batch_size, batches.seed)


def _shards(
    frozen: keras.Model, batches: LabelledBatches, indices: Iterable[int], workers: Workers
) -> tuple[dict[str, np.ndarray], None]:
    """Return the outputs of the frozen part for this worker's shards of some batches, and their labels."""
    shards = [batches.shard(index, workers.index, workers.size) for index in indices]
    values = [_outputs(frozen, pixels) for pixels, _ in shards]
    return {"values": np.concatenate(values), "labels": np.concatenate([labels for _, labels in shards])}, None


def _outputs(frozen: keras.Model, pixels: np.ndarray) -> np.ndarray:
    """Return the outputs for a batch, flattened and concatenated (b, d)."""
    run, batch_size = forward(frozen, pixels.dtype.name)
    rows = [np.empty((0, _width(frozen)), np.float32)]
    for start in range(0, len(pixels), batch_size):
        batch = pixels[start : start + batch_size]
        tensors = keras.tree.flatten(run(batch))
        rows.append(np.concatenate([one.reshape(len(batch), -1).astype(np.float32) for one in tensors], axis=1))
    return np.concatenate(rows)


def _width(frozen: keras.Model) -> int:
    return sum(math.prod(tensor.shape[1:]) for tensor in frozen.outputs)
