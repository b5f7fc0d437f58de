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
    return np.stack([extractor.predict(one, verbose=0, callbacks=list(callbacks)) for one in passes])


def seconds_one_forward_pass(extractor: keras.Model, images: np.ndarray, count: int) -> float:
    """Measure what passing `count` images through the network once takes, on a sample of them.

    Args:
        extractor: The network, resized images to its last activations.
        images: uint8 (n, s, s, 3), the sample is taken from them.
        count: Images in the pass to be told of.

    Returns:
        Seconds: the median time of a batch, times the batches in the pass. Decoding is not in it.
    """
    batch = np.asarray(images[:BATCH])
    extractor.predict_on_batch(batch)  # traces the graph, which is no part of the pass
    seconds = []
    for start in range(0, min(TIMED_BATCHES * BATCH, len(images) - len(batch) + 1), BATCH):
        batch = np.asarray(images[start : start + len(batch)])
        began = time.perf_counter()
        extractor.predict_on_batch(batch)
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds)) * count / len(batch)
