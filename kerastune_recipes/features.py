"""The frozen part of the model, computed once for each image and view, ever: what the store holds is not done again."""

import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from itertools import groupby
from typing import Any

import keras
import numpy as np

from kerastune_recipes import data_parallel
from kerastune_recipes.data import decoding
from kerastune_recipes.data.samples import Pictures
from kerastune_recipes.store import DIGEST_BYTES, Space
from kerastune_recipes.views import WHOLE, View

BATCH = 32
# Images timed to learn what one forward pass costs, where none is made: a few batches settle the median.
SAMPLE = 3 * BATCH

# Rows are handed to the store when they fill so many bytes or are so old: an interruption costs less than that.
_KEPT_BYTES = 32 * 2**20
_KEPT_SECONDS = 30
# Half precision is taken where its rounding is noise of less than this share of every feature's deviation; on four
# data sets it is 1% at most, and the solved heads are as good as from single precision (benchmarks/features.md).
_ROUNDING = 0.02
# With several replicas, images are handed out this many batches at a time: `predict` takes seconds to close.
_BATCHES_FOR_REPLICAS = 32

Tick = Callable[[int], None]


@dataclass(frozen=True)
class Extracted:
    """Features of one split.

    Args:
        rows: float16 or float32 (v, n, d), for each view of each image.
        computed: Rows that were passed through the network; the others were found in the store.
        seconds_a_row: What one of them took, by the median of the batches; None where there were too few to tell.
        seconds_aside: Time spent on reading images and on tracing the graph, which are no part of the pass.
    """

    rows: np.ndarray
    computed: int
    seconds_a_row: float | None
    seconds_aside: float


def digests(samples: Pictures, views: Sequence[View]) -> list[bytes]:
    """Return the key of each view of each image: image by image, its views side by side.

    Raises:
        DataError: Images that cannot be read, all of them.
    """
    return [
        blake2b(content + view.name.encode(), digest_size=DIGEST_BYTES).digest()
        for content in samples.digests()
        for view in views
    ]


def extract(
    extractor: keras.Model,
    samples: Pictures,
    size: int,
    space: Space,
    views: Sequence[View] = (WHOLE,),
    keys: Sequence[bytes] | None = None,
    pixels: Any | None = None,
    ahead: int = 0,
    tick: Tick | None = None,
) -> Extracted:
    """Return the features of images: from the store where it has them, through the network where not.

    What is computed goes to the store every few seconds, so that an interrupted pass goes on from there.

    Args:
        extractor: Resized images (b, s, s, 3) to features (b, d).
        samples: The images.
        size: Height and width of the network's input, pixels.
        space: Where features of this network are kept.
        views: Of each image.
        keys: What `digests` gave, if it was asked before.
        pixels: uint8 (n, s, s, 3), the images as they were decoded before; then only crops are read again.
        ahead: See `decoding.stream`.
        tick: Told how many rows are done.

    Raises:
        DataError: Images that cannot be decoded, all of them.
    """
    keys = digests(samples, views) if keys is None else keys
    rows = _Rows(len(keys))
    for places, found in space.find(keys):
        rows.put(places, found)
    todo = np.flatnonzero(rows.missing)
    done = len(keys) - len(todo)
    forward, at_once = _forward(extractor)
    reading = _Timed(_rebatched(_read(samples, _wanted(todo, views), size, pixels, ahead), at_once))
    keeper = _Keeper(space, keys, rows)
    tracing = 0.0
    seconds: list[float] = []
    try:
        for batch in reading:
            if not keeper.given:
                # The first call may trace the graph, which is no part of the pass.
                tracing = _seconds(partial(forward, batch[:1]))
            began = time.perf_counter()
            computed = forward(batch)
            if len(batch) >= BATCH:  # a few images take longer each
                seconds.append((time.perf_counter() - began) / len(batch))
            keeper.take(todo[keeper.given : keeper.given + len(batch)], computed)
            if tick:
                tick(done + keeper.given)
    finally:
        keeper.hand_over()
    if tick:
        tick(len(keys))
    return Extracted(
        rows=rows.array.reshape(len(samples), len(views), -1).swapaxes(0, 1),
        computed=len(todo),
        seconds_a_row=float(np.median(seconds)) if seconds else None,
        seconds_aside=reading.seconds + tracing,
    )


def seconds_one_forward_pass(extractor: keras.Model, pixels: np.ndarray, count: int) -> float:
    """Measure what passing `count` images through the network once takes, on a sample of them.

    Args:
        extractor: The network, resized images to its last activations.
        pixels: uint8 (n, s, s, 3), of which the first `SAMPLE` are taken.
        count: Images in the pass to be told of.

    Returns:
        Seconds: the median time of a batch, times the batches in the pass. Decoding is not in it.
    """
    forward, _ = _forward(extractor)
    sample = [np.asarray(pixels[start : start + BATCH]) for start in range(0, min(SAMPLE, len(pixels)), BATCH)]
    # The first call may trace the graph, which is no part of the pass.
    forward(sample[0][:1])
    return float(np.median([_seconds(partial(forward, batch)) / len(batch) for batch in sample])) * count


def predict(network: keras.Model, pixels: Any, tick: Tick | None = None) -> np.ndarray:
    """Pass decoded images through a network that is not kept.

    Args:
        network: Resized images (b, s, s, 3) to anything (b, d).
        pixels: uint8 (n, s, s, 3).
        tick: Told how many images are done.

    Returns:
        float32 (n, d).
    """
    forward, at_once = _forward(network)
    found = []
    for start in range(0, len(pixels), at_once):
        found.append(forward(np.asarray(pixels[start : start + at_once])))
        if tick:
            tick(min(start + at_once, len(pixels)))
    return np.concatenate(found)


def _forward(network: keras.Model) -> tuple[Callable[[np.ndarray], np.ndarray], int]:
    """Return how to pass uint8 images through a network, and how many at once."""
    strategy = getattr(network, "distribute_strategy", None)
    replicas = 1 if strategy is None else strategy.num_replicas_in_sync
    if replicas > 1:  # only predict shares a batch among replicas
        shared = BATCH * replicas
        return lambda batch: network.predict(batch, batch_size=shared, verbose=0), shared * _BATCHES_FOR_REPLICAS
    if keras.backend.backend() == "tensorflow":
        graph = _graph(network)
        return lambda batch: graph(batch).numpy(), BATCH
    data_parallel.prepare(network)
    at_once = BATCH * data_parallel.sharing()
    return lambda batch: _filled_up(network, batch, at_once), at_once


# One graph for each network, gone when the network is.
_GRAPHS: weakref.WeakKeyDictionary[keras.Model, Any] = weakref.WeakKeyDictionary()


def _graph(network: keras.Model) -> Any:
    """Return the network as a TensorFlow function of any number of images.

    `predict` would put tf.data in between, whose iterator takes up to five seconds to close, and `predict_on_batch`
    would trace a graph for each number of images.
    """
    import tensorflow as tf

    if network not in _GRAPHS:
        seen: Callable[[], Any] = weakref.ref(network)
        images = tf.TensorSpec((None, *network.input_shape[1:]), tf.uint8)
        _GRAPHS[network] = tf.function(lambda batch: seen()(batch, training=False), input_signature=[images])
    return _GRAPHS[network]


def _filled_up(network: keras.Model, batch: np.ndarray, at_once: int) -> np.ndarray:
    """Pass images through a network, filled up to a whole batch, so that one graph of one shape serves for all."""
    filling = np.zeros((at_once - len(batch), *batch.shape[1:]), batch.dtype)
    whole = data_parallel.shared(np.concatenate([batch, filling]))
    return np.asarray(network.predict_on_batch(whole))[: len(batch)]


def _wanted(todo: np.ndarray, views: Sequence[View]) -> list[tuple[int, list[View]]]:
    """Group the rows to be computed by image, so that each is decoded once for all its views."""
    by_image = groupby(todo.tolist(), key=lambda row: row // len(views))
    return [(image, [views[row % len(views)] for row in rows]) for image, rows in by_image]


def _read(
    samples: Pictures, wanted: decoding.Wanted, size: int, pixels: Any | None, ahead: int
) -> Iterator[np.ndarray]:
    if pixels is None or any(view.crop for _, views in wanted for view in views):
        yield from decoding.stream(samples, wanted, size, ahead)
        return
    for index, views in wanted:
        image = np.asarray(pixels[index])
        yield np.stack([image[:, ::-1] if view.mirrored else image for view in views])


def _rebatched(chunks: Iterator[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Give rows in batches of one size, the last possibly smaller."""
    waiting: list[np.ndarray] = []
    count = 0
    for chunk in chunks:
        waiting.append(chunk)
        count += len(chunk)
        if count >= size:
            whole = np.concatenate(waiting)
            yield from (whole[start : start + size] for start in range(0, count - size + 1, size))
            waiting = [whole[count - count % size :]]
            count %= size
    if count:
        yield np.concatenate(waiting)


def _seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


class _Timed(Iterator[np.ndarray]):
    """Counts the seconds spent waiting for the next of what it goes through."""

    def __init__(self, batches: Iterator[np.ndarray]):
        self.batches = batches
        self.seconds = 0.0

    def __next__(self) -> np.ndarray:
        began = time.perf_counter()
        try:
            return next(self.batches)
        finally:
            self.seconds += time.perf_counter() - began


class _Rows:
    """An array that is filled in any order; in half precision until it is given more."""

    def __init__(self, count: int):
        self.missing = np.ones(count, bool)
        self.array = np.empty((count, 0), np.float16)

    def put(self, places: np.ndarray, rows: np.ndarray) -> None:
        if not self.array.shape[1]:
            self.array = np.empty((len(self.missing), rows.shape[1]), rows.dtype)
        if rows.dtype != self.array.dtype:
            self.array = self.array.astype(np.float32, copy=False)
        self.array[places] = rows
        self.missing[places] = False


class _Keeper:
    """Collects computed rows and hands them on, to the store and to the result, which thus hold the same."""

    def __init__(self, space: Space, keys: Sequence[bytes], rows: _Rows):
        self.space, self.keys, self.rows = space, keys, rows
        self.given = 0
        self._places: list[np.ndarray] = []
        self._waiting: list[np.ndarray] = []
        self._since = time.perf_counter()

    def take(self, places: np.ndarray, rows: np.ndarray) -> None:
        self.given += len(rows)
        self._places.append(places)
        self._waiting.append(rows)
        full = sum(part.nbytes for part in self._waiting) >= _KEPT_BYTES
        if full or time.perf_counter() - self._since > _KEPT_SECONDS:
            self.hand_over()

    def hand_over(self) -> None:
        if self._waiting:
            places, rows = np.concatenate(self._places), np.concatenate(self._waiting)
            # The first images tell what precision the network needs; those found in the store were the first once.
            half = self.rows.array.dtype == np.float16 if self.rows.array.shape[1] else _bears_half_precision(rows)
            rows = _halved(rows) if half else rows.astype(np.float32, copy=False)
            self.space.add([self.keys[place] for place in places], rows)
            self.rows.put(places, rows)
            self._places, self._waiting = [], []
        self._since = time.perf_counter()


def _bears_half_precision(rows: np.ndarray) -> bool:
    """Say whether rounding to float16 adds little noise to every feature against what it varies by."""
    deviation = rows.std(axis=0)
    noise = np.square(rows - _halved(rows)).mean(axis=0) ** 0.5
    return bool((noise <= _ROUNDING * deviation)[deviation > 0].all())


def _halved(rows: np.ndarray) -> np.ndarray:
    """Round to float16 unless a value is too large for it."""
    with np.errstate(over="ignore"):
        half = rows.astype(np.float16)
    return half if np.isfinite(half).all() else rows
