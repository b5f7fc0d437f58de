"""The frozen part of the model, computed once for each image and view."""

import time
from collections.abc import Sequence

import keras
import numpy as np

from kerastune_recipes.data.batches import Batches

BATCH = 32
# Batches timed to learn what one forward pass costs; a few settle the median.
TIMED_BATCHES = 5


def extract(
    extractor: keras.Model, images: np.ndarray, views: int = 1, callbacks: Sequence[keras.callbacks.Callback] = ()
) -> np.ndarray:
    """Pass images through the frozen part of a model.

    Args:
        extractor: Resized images (b, s, s, 3) to features (b, d).
        images: uint8 (n, s, s, 3).
        views: 1 for the images alone, 2 for their mirror images as well.
        callbacks: Told of each batch, for progress.

    Returns:
        float32 (views, n, d).
    """
    passes = [Batches(images, BATCH, mirrored=bool(view)) for view in range(views)]
    strategy = getattr(extractor, "distribute_strategy", None)
    if strategy is not None and strategy.num_replicas_in_sync > 1:
        # Only predict shares a batch among replicas.
        return np.stack([extractor.predict(one, verbose=0, callbacks=list(callbacks)) for one in passes])
    return np.stack([_pass(extractor, one, callbacks) for one in passes])


def _pass(extractor: keras.Model, batches: Batches, callbacks: Sequence[keras.callbacks.Callback]) -> np.ndarray:
    """Pass batch after batch, the last filled up, so that one graph of one shape serves for all.

    `predict` would put tf.data in between, whose iterator takes up to five seconds to close.
    """
    found = []
    for index in range(len(batches)):
        (batch,) = batches[index]
        found.append(np.asarray(extractor.predict_on_batch(_filled(batch)))[: len(batch)])
        for callback in callbacks:
            callback.on_predict_batch_end(index)
    return np.concatenate(found)


def _filled(batch: np.ndarray) -> np.ndarray:
    return np.concatenate([batch, np.zeros((BATCH - len(batch), *batch.shape[1:]), batch.dtype)])


def seconds_one_forward_pass(extractor: keras.Model, images: np.ndarray, count: int) -> float:
    """Measure what passing `count` images through the network once takes, on a sample of them.

    Args:
        extractor: The network, resized images to its last activations.
        images: uint8 (n, s, s, 3), the sample is taken from them.
        count: Images in the pass to be told of.

    Returns:
        Seconds: the median time of a batch, times the batches in the pass. Decoding is not in it.
    """
    batches = Batches(images, BATCH)
    # The first call traces the graph, which is no part of the pass; `extract` finds it traced.
    extractor.predict_on_batch(_filled(*batches[0]))
    seconds = []
    for index in range(min(TIMED_BATCHES, len(batches))):
        batch = _filled(*batches[index])
        began = time.perf_counter()
        extractor.predict_on_batch(batch)
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds)) * count / BATCH
