"""Feature extraction: each view of each image passes through the frozen network once; the cache has it afterwards."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from itertools import groupby
from typing import Any

import keras
import numpy as np

from kerastune_recipes.arrays.feature_matrix import FeatureMatrix
from kerastune_recipes.arrays.files import AnyArray
from kerastune_recipes.data import decoding
from kerastune_recipes.data.dataset import Pictures
from kerastune_recipes.data.views import WHOLE, View
from kerastune_recipes.devices.workers import SINGLE, Workers
from kerastune_recipes.features.cache import DIGEST_BYTES, NetworkCache
from kerastune_recipes.model.forward import BATCH, forward, timed
from kerastune_recipes.progress import Tick

# Computed rows are written to the cache when they reach this size or age, which bounds what an interruption can lose.
_BUFFER_BYTES = 32 * 2**20
_BUFFER_SECONDS = 30
# Features are stored in half precision where the rounding noise of each is less than this fraction of its standard
# deviation; on four data sets it is 1% at most, and heads are as good as from single precision
# (benchmarks/pages/features.md).
_MAX_ROUNDING_NOISE = 0.02
# Different images that say how much a feature varies; fewer keep single precision.
_DECIDING_IMAGES = 32
# Rows of each worker between two exchanges: few enough that a lost worker costs little, many enough that an exchange,
# which takes a moment, costs nothing next to the forward pass.
_ROWS_PER_EXCHANGE = 128 * BATCH


@dataclass(frozen=True)
class Extractor:
    """A backbone with its present weights, and the cache of its features.

    Args:
        network: Resized images (b, s, s, 3) to features (b, d).
        cache: The cache of this network.
    """

    network: keras.Model
    cache: NetworkCache


@dataclass(frozen=True)
class ExtractionRequest:
    """Images whose features are needed.

    Args:
        samples: The images; the same for all workers.
        size: Height and width of the network's input, pixels.
        views: Views of each image.
        keys: Result of `digests`, if known; computed otherwise.
        pixels: uint8 (n, s, s, 3), the decoded images if available; then only crops are decoded again.
        ahead: Chunks decoded ahead, see `decoding.stream`.
        exact: Whether the features are needed in single precision, whatever half precision would lose.
    """

    samples: Pictures
    size: int
    views: Sequence[View] = (WHOLE,)
    keys: Sequence[bytes] | None = None
    pixels: Any = None
    ahead: int = 0
    exact: bool = False


@dataclass(frozen=True)
class Extracted:
    """Features of one split.

    Args:
        rows: float16 or float32 (v, n, d), for each view of each image; a FileArray where memory has no room for them.
        computed: Number of rows that passed through the network; the others came from the cache.
        seconds_per_row: Median over the batches, or None after too few images to measure it.
        overhead_seconds: Time spent reading images and tracing the graph, which is not part of the forward pass.
    """

    rows: AnyArray
    computed: int
    seconds_per_row: float | None
    overhead_seconds: float

    @property
    def plain(self) -> AnyArray:
        """Features (n, d) of the images themselves, without their other views."""
        return self.rows[0] if isinstance(self.rows, np.ndarray) else self.rows.part(0)


def digests(samples: Pictures, views: Sequence[View]) -> list[bytes]:
    """Return the cache key of each view of each image: image by image, its views side by side.

    Raises:
        DataError: Images that cannot be read, all of them.
    """
    return [
        blake2b(content + view.name.encode(), digest_size=DIGEST_BYTES).digest()
        for content in samples.digests()
        for view in views
    ]


def extract(
    extractor: Extractor, request: ExtractionRequest, tick: Tick | None = None, workers: Workers = SINGLE
) -> Extracted:
    """Return features of images: from the cache where it has them, through the network otherwise.

    Computed rows go to the cache every few seconds, so that an interrupted extraction continues from there. Several
    workers each compute a part of what the main worker's cache lacks, and all receive all rows.

    Args:
        extractor: The network and its cache.
        request: The images.
        tick: Called with the number of rows done.
        workers: The workers that share the work.

    Raises:
        DataError: Images that cannot be decoded, all of them.
    """
    samples, views = request.samples, request.views
    keys = digests(samples, views) if request.keys is None else request.keys
    rows = FeatureMatrix(len(samples), len(views))
    _fill_from_cache(rows, extractor.cache, keys, workers, request.exact)
    missing = np.flatnonzero(rows.missing)
    forward_pass = _ForwardPass(extractor.network)

    def compute(places: np.ndarray) -> None:
        done = len(keys) - int(rows.missing.sum())
        chunks = _read(request, _views_by_image(places, views))
        writer = _RowWriter(places, keys, len(views), rows, extractor.cache, request.exact)
        forward_pass.run(chunks, writer, lambda written: tick(done + written) if tick else None)

    def compute_shard(places: np.ndarray) -> tuple[dict[str, np.ndarray], None]:
        compute(workers.shard(places))
        return {"rows": rows.take(workers.shard(places))}, None

    if workers.size == 1:
        compute(missing)
    else:
        for part in _exchanged_parts(missing, workers):
            for index, (found, _) in enumerate(workers.all_gather(partial(compute_shard, part))):
                places = workers.shard(part, index)
                if index != workers.index and len(places):
                    rows.put(places, found["rows"])
                    if workers.is_main:
                        extractor.cache.add([keys[place] for place in places], found["rows"])
    if tick:
        tick(len(keys))
    return Extracted(
        rows=rows.whole(),
        computed=len(missing),
        seconds_per_row=float(np.median(forward_pass.seconds_per_row)) if forward_pass.seconds_per_row else None,
        overhead_seconds=forward_pass.overhead_seconds,
    )


def _exchanged_parts(places: np.ndarray, workers: Workers) -> list[np.ndarray]:
    """Divide places, int (m,), into the parts that workers exchange one after the other."""
    step = _ROWS_PER_EXCHANGE * workers.size
    return np.split(places, range(step, len(places), step))


def _fill_from_cache(
    rows: FeatureMatrix, cache: NetworkCache, keys: Sequence[bytes], workers: Workers, exact: bool
) -> None:
    """Fill in the rows that are cached; all workers use the main worker's cache, and so agree on what is missing."""
    if workers.is_main:
        for places, found in cache.find(keys, exact):
            rows.put(places, found)
    if workers.size > 1:
        _, count = workers.broadcast(lambda: ({}, int((~rows.missing).sum())))
        filled = np.flatnonzero(~rows.missing)
        step = _ROWS_PER_EXCHANGE * workers.size
        for begin in range(0, count, step):
            received, _ = workers.broadcast(partial(_message, rows, filled[begin : begin + step]))
            if not workers.is_main:
                rows.put(received["places"], received["rows"])


def _message(rows: FeatureMatrix, places: np.ndarray) -> tuple[dict[str, np.ndarray], None]:
    return {"places": places, "rows": rows.take(places)}, None


class _RowWriter:
    """Buffers computed rows, and writes them to the cache and to the result, which thus hold the same values.

    Args:
        places: int (m,), where in the result the rows belong, in the order in which they are added.
        keys: Cache keys of all rows of the result.
        views: Views of each image.
        rows: The result.
        cache: The cache.
        exact: Whether single precision is asked for.
    """

    def __init__(
        self,
        places: np.ndarray,
        keys: Sequence[bytes],
        views: int,
        rows: FeatureMatrix,
        cache: NetworkCache,
        exact: bool = False,
    ):
        self.added = 0
        self._exact = exact
        self._places, self._keys, self._views, self._rows, self._cache = places, keys, views, rows, cache
        self._buffer: list[np.ndarray] = []
        self._last_flush = time.perf_counter()

    def add(self, rows: np.ndarray) -> None:
        """Add the next rows (b, d)."""
        self.added += len(rows)
        self._buffer.append(rows)
        full = sum(part.nbytes for part in self._buffer) >= _BUFFER_BYTES
        due = full or time.perf_counter() - self._last_flush > _BUFFER_SECONDS
        if due and (self._exact or self._rows.dtype is not None or self._enough_to_decide()):
            self.flush()

    def flush(self) -> None:
        """Write the rows in the buffer."""
        if self._buffer:
            rows = np.concatenate(self._buffer)
            places = self._places[self.added - len(rows) : self.added]
            # The first rows decide the precision of all; cached ones were the first once.
            if self._exact:
                half = False
            elif self._rows.dtype is None:
                half = self._enough_to_decide() and _fits_half_precision(rows)
            else:
                half = self._rows.dtype == np.float16
            rows = _halved(rows) if half else rows.astype(np.float32, copy=False)
            self._cache.add([self._keys[place] for place in places], rows)
            self._rows.put(places, rows)
            self._buffer = []
        self._last_flush = time.perf_counter()

    def _enough_to_decide(self) -> bool:
        """Return whether the buffer holds enough different images to say how much each feature varies."""
        buffered = self._places[self.added - sum(map(len, self._buffer)) : self.added]
        return len({self._keys[place - place % self._views] for place in buffered}) >= _DECIDING_IMAGES


class _ForwardPass:
    """Passes images through a network, and measures the time."""

    def __init__(self, network: keras.Model):
        self.seconds_per_row: list[float] = []
        self.overhead_seconds = 0.0
        self._forward, self._batch_size = forward(network)

    def run(self, chunks: Iterator[np.ndarray], writer: _RowWriter, tick: Tick) -> None:
        """Pass images through the network, and give their rows to the writer."""
        batches = TimedIterator(_rebatched(chunks, self._batch_size))
        try:
            for batch in batches:
                if not self.seconds_per_row and not writer.added:
                    # The first call may trace the graph, which is not part of the pass.
                    self.overhead_seconds += timed(partial(self._forward, batch[:1]))
                began = time.perf_counter()
                computed = self._forward(batch)
                if len(batch) >= BATCH:  # small batches take longer per image
                    self.seconds_per_row.append((time.perf_counter() - began) / len(batch))
                writer.add(computed)
                tick(writer.added)
        finally:
            writer.flush()
            self.overhead_seconds += batches.seconds


class TimedIterator(Iterator[np.ndarray]):
    """Measures the time spent waiting for the next item."""

    def __init__(self, batches: Iterator[np.ndarray]):
        self.batches = batches
        self.seconds = 0.0

    def __next__(self) -> np.ndarray:
        began = time.perf_counter()
        try:
            return next(self.batches)
        finally:
            self.seconds += time.perf_counter() - began


def _views_by_image(places: np.ndarray, views: Sequence[View]) -> list[tuple[int, list[View]]]:
    """Group rows by image, so that each image is decoded once for all its views."""
    by_image = groupby(places.tolist(), key=lambda row: row // len(views))
    return [(image, [views[row % len(views)] for row in rows]) for image, rows in by_image]


def _read(request: ExtractionRequest, views_by_image: decoding.ViewsByImage) -> Iterator[np.ndarray]:
    if request.pixels is None or any(view.crop for _, views in views_by_image for view in views):
        yield from decoding.stream(request.samples, views_by_image, request.size, request.ahead)
        return
    for index, views in views_by_image:
        image = np.asarray(request.pixels[index])
        yield np.stack([image[:, ::-1] if view.mirrored else image for view in views])


def _rebatched(chunks: Iterator[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Yield rows in batches of one size; the last may be smaller."""
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


def _fits_half_precision(rows: np.ndarray) -> bool:
    """Return whether rounding to float16 adds little noise to every feature, compared with its deviation."""
    deviation = rows.std(axis=0)
    noise = np.square(rows - _halved(rows)).mean(axis=0) ** 0.5
    return bool((noise <= _MAX_ROUNDING_NOISE * deviation)[deviation > 0].all())


def _halved(rows: np.ndarray) -> np.ndarray:
    """Round to float16, unless a value is too large for it."""
    with np.errstate(over="ignore"):
        half = rows.astype(np.float16)
    return half if np.isfinite(half).all() else rows
