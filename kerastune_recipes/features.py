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
    # The first batch traces the graph, which is no part of the pass; `extract` then finds it traced.
    extractor.predict(Batches(images[:BATCH], BATCH), verbose=0)
    # Whole batches, or the one there is.
    sample = images[: max(BATCH, len(images) // BATCH * BATCH)][: TIMED_BATCHES * BATCH]
    clock = _Clock()
    extractor.predict(Batches(sample, BATCH), verbose=0, callbacks=[clock])
    return float(np.median(clock.seconds)) * count / min(BATCH, len(sample))


class _Clock(keras.callbacks.Callback):
    """Times every batch."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def on_predict_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        self.began = time.perf_counter()

    def on_predict_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.seconds.append(time.perf_counter() - self.began)
