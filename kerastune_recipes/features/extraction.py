"""The frozen part of the model, computed once for each image and view, ever: what the store holds is not done again."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from itertools import groupby
from typing import Any

import keras
import numpy as np

from kerastune_recipes.arrays.feature_matrix import Filled
from kerastune_recipes.arrays.files import Rows
from kerastune_recipes.data import decoding
from kerastune_recipes.data.dataset import Pictures
from kerastune_recipes.data.views import WHOLE, View
from kerastune_recipes.devices.workers import SINGLE, Workers
from kerastune_recipes.features.cache import DIGEST_BYTES, NetworkCache
from kerastune_recipes.model.forward import BATCH, forward, timed
from kerastune_recipes.progress import Tick

# Rows are handed to the store when they fill so many bytes or are so old: an interruption costs less than that.
_KEPT_BYTES = 32 * 2**20
_KEPT_SECONDS = 30
# Half precision is taken where its rounding is noise of less than this share of every feature's deviation; on four
# data sets it is 1% at most, and the solved heads are as good as from single precision (benchmarks/features.md).
_ROUNDING = 0.02
# Several workers tell each other their rows so many of each at a time: often enough that little is lost when one of
# them is, seldom enough that the telling, which takes a moment, costs nothing beside the pass.
_TOLD_AT_ONCE = 128 * BATCH


@dataclass(frozen=True)
class Extracted:
    """Features of one split.

    Args:
        rows: float16 or float32 (v, n, d), for each view of each image; in a file where memory has no room for them.
        computed: Rows that were passed through the network; the others were found in the store.
        seconds_a_row: What one of them took, by the median of the batches; None where there were too few to tell.
        seconds_aside: Time spent on reading images and on tracing the graph, which are no part of the pass.
    """

    rows: Rows
    computed: int
    seconds_a_row: float | None
    seconds_aside: float

    @property
    def plain(self) -> Rows:
        """Features (n, d) of the images themselves."""
        return self.rows[0] if isinstance(self.rows, np.ndarray) else self.rows.part(0)


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
    space: NetworkCache,
    views: Sequence[View] = (WHOLE,),
    keys: Sequence[bytes] | None = None,
    pixels: Any | None = None,
    ahead: int = 0,
    tick: Tick | None = None,
    workers: Workers = SINGLE,
) -> Extracted:
    """Return the features of images: from the store where it has them, through the network where not.

    What is computed goes to the store every few seconds, so that an interrupted pass goes on from there. Several
    workers each compute a part of what the main worker's store has not, and all of them are given all rows.

    Args:
        extractor: Resized images (b, s, s, 3) to features (b, d).
        samples: The images.
        size: Height and width of the network's input, pixels.
        space: Where features of this network are kept.
        views: Of each image.
        keys: What `digests` gave, if it was asked before.
        pixels: uint8 (n, s, s, 3), the images as they were decoded before; then only crops are read again.
        ahead: See `decoding.stream`.
        tick: Message how many rows are done.
        workers: Who shares the work; `samples` are the same for all.

    Raises:
        DataError: Images that cannot be decoded, all of them.
    """
    keys = digests(samples, views) if keys is None else keys
    rows = Filled(len(samples), len(views))
    _find(rows, space, keys, workers)
    todo = np.flatnonzero(rows.missing)
    work = _Pass(extractor)

    def compute(places: np.ndarray) -> None:
        done = len(keys) - int(rows.missing.sum())
        images = _read(samples, _wanted(places, views), size, pixels, ahead)
        work.over(images, places, _Keeper(space, keys, rows), lambda given: tick(done + given) if tick else None)

    def compute_share(part: np.ndarray) -> tuple[dict[str, np.ndarray], None]:
        compute(workers.shard(part))
        return {"rows": rows.take(workers.shard(part))}, None

    if workers.size == 1:
        compute(todo)
    else:
        for part in np.split(todo, range(_TOLD_AT_ONCE * workers.size, len(todo), _TOLD_AT_ONCE * workers.size)):
            for index, (found, _) in enumerate(workers.all_gather(partial(compute_share, part))):
                places = workers.shard(part, index)
                if index != workers.index and len(places):
                    rows.put(places, found["rows"])
                    if workers.is_main:
                        space.add([keys[place] for place in places], found["rows"])
    if tick:
        tick(len(keys))
    return Extracted(
        rows=rows.whole(),
        computed=len(todo),
        seconds_a_row=float(np.median(work.seconds)) if work.seconds else None,
        seconds_aside=work.aside,
    )


def _find(rows: "Filled", space: NetworkCache, keys: Sequence[bytes], workers: Workers) -> None:
    """Fill in what the store has; with several workers the main worker's store, so that they agree on what is missing."""
    if workers.is_main:
        for places, found in space.find(keys):
            rows.put(places, found)
    if workers.size > 1:
        _, count = workers.broadcast(lambda: ({}, int((~rows.missing).sum())))
        there = np.flatnonzero(~rows.missing)
        for begin in range(0, count, _TOLD_AT_ONCE * workers.size):
            part = there[begin : begin + _TOLD_AT_ONCE * workers.size]
            told, _ = workers.broadcast(partial(_told, rows, part))
            if not workers.is_main:
                rows.put(told["places"], told["rows"])


def _told(rows: "Filled", places: np.ndarray) -> tuple[dict[str, np.ndarray], None]:
    return {"places": places, "rows": rows.take(places)}, None


class _Pass:
    """Passes images through a network, and takes the time of it."""

    def __init__(self, network: keras.Model):
        self.forward, self.at_once = forward(network)
        self.seconds: list[float] = []
        self.aside = 0.0

    def over(self, chunks: Iterator[np.ndarray], places: np.ndarray, keeper: "_Keeper", tick: Tick) -> None:
        """Pass the rows of some places, and let them be kept."""
        reading = _Timed(_rebatched(chunks, self.at_once))
        try:
            for batch in reading:
                if not self.seconds and not keeper.given:
                    # The first call may trace the graph, which is no part of the pass.
                    self.aside += timed(partial(self.forward, batch[:1]))
                began = time.perf_counter()
                computed = self.forward(batch)
                if len(batch) >= BATCH:  # a few images take longer each
                    self.seconds.append((time.perf_counter() - began) / len(batch))
                keeper.take(places[keeper.given : keeper.given + len(batch)], computed)
                tick(keeper.given)
        finally:
            keeper.hand_over()
            self.aside += reading.seconds


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


class _Keeper:
    """Collects computed rows and hands them on, to the store and to the result, which thus hold the same."""

    def __init__(self, space: NetworkCache, keys: Sequence[bytes], rows: Filled):
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
            half = _bears_half_precision(rows) if self.rows.dtype is None else self.rows.dtype == np.float16
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
