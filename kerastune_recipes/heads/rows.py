"""Features as the classifiers see them: standardised, in few coordinates where few are enough, in one matrix."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from sklearn.preprocessing import StandardScaler

from kerastune_recipes.arrays.feature_matrix import AT_ONCE
from kerastune_recipes.arrays.files import FileArray

# Rows converted and standardised at a time.
BLOCK = 512
# How many deviations the furthest image is from the mean, at most. Provisional: 2 to 5 did alike where it was tried,
# and better than no bound; the second table of benchmarks/heads.py is to tell by how much.
FURTHEST = 3.0

# Features float32 (m, d) of views, with the labels and weights of their images.
Block = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Rows:
    """Images to learn from, or to judge by.

    Args:
        features: float32 (n, v, d), standardised, of v views of each image, the image itself first.
        labels: int (n,).
        weights: float32 (n,), what each image weighs.
        width: How many features there are; more than d where `features` are coordinates in the span of the rows.
    """

    features: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    width: int

    def part(self, chosen: slice | np.ndarray) -> Self:
        """Return some of the images; copied unless they are one stretch."""
        return type(self)(self.features[chosen], self.labels[chosen], self.weights[chosen], self.width)

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return int(self.labels.max()) + 1

    @property
    def views(self) -> int:
        """How many views there are of each image."""
        return self.features.shape[1]

    @property
    def columns(self) -> int:
        """How many features, or coordinates, each row has."""
        return self.features.shape[2]

    def blocks(self) -> Iterable[Block]:
        """Give all rows, all of them at once."""
        return [self.flat()]

    def flat(self) -> Block:
        """Return features (n * v, d) of all views, with the labels and weights of their images."""
        views = self.features.shape[1]
        rows = self.features.reshape(-1, self.features.shape[2])
        return rows, np.repeat(self.labels, views), np.repeat(self.weights, views)


@dataclass(frozen=True)
class Scale:
    """Means and deviations, float (d,), by which features are standardised."""

    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def of(cls, blocks: Iterable[np.ndarray]) -> Self:
        """Return the scale of features, given as blocks of rows (m, d).

        The deviation of a feature that is nearly always the same does not tell how far it may go, and would make much
        of little in images to come; so it is what puts the furthest image `FURTHEST` deviations away, if that is more.
        """
        scaler, low, high = StandardScaler(), np.inf, -np.inf
        for block in blocks:
            scaler.partial_fit(block)
            low, high = np.minimum(low, block.min(axis=0)), np.maximum(high, block.max(axis=0))
        furthest = np.maximum(high - scaler.mean_, scaler.mean_ - low)
        deviation = np.maximum(np.sqrt(scaler.var_), furthest / FURTHEST)
        # A feature that never changes but by rounding tells nothing, and must not be blown up.
        deviation[np.sqrt(scaler.var_) < 1e-6] = 1.0
        return cls(scaler.mean_, deviation)

    def part(self, columns: slice) -> Self:
        """Return the scale of some of the features."""
        return type(self)(self.mean[columns], self.deviation[columns])

    def apply(self, rows: np.ndarray) -> None:
        """Standardise rows (m, d) in place."""
        rows -= self.mean.astype(rows.dtype)
        rows /= self.deviation.astype(rows.dtype)


@dataclass(frozen=True)
class FiledRows:
    """Images to learn from whose features are in a file, and are read anew for each pass.

    Args:
        features: float (v, n, d), as they are.
        labels: int (n,).
        weights: float32 (n,), what each image weighs.
        scale: What features are standardised by.
        chosen: Which of them are looked at.
    """

    features: FileArray
    labels: np.ndarray
    weights: np.ndarray
    scale: Scale
    chosen: slice

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return int(self.labels.max()) + 1

    @property
    def views(self) -> int:
        """How many views there are of each image."""
        return self.features.shape[0]

    @property
    def columns(self) -> int:
        """How many features each row has."""
        return len(self.scale.mean[self.chosen])

    @property
    def width(self) -> int:
        """The same; they are not coordinates in any span."""
        return self.columns

    def blocks(self) -> Iterator[Block]:
        """Give all rows, view by view, some at a time."""
        scale = self.scale.part(self.chosen)
        for some, rows in read(self.features, self.chosen):
            scale.apply(rows)
            yield rows, self.labels[some], self.weights[some]


AnyRows = Rows | FiledRows


def read(features: FileArray, chosen: slice = slice(None)) -> Iterator[tuple[slice, np.ndarray]]:
    """Give features in a file view by view, some images at a time: which images, and rows float32 (m, d) of them.

    Args:
        features: float (v, n, d).
        chosen: Which features.
    """
    views, images, _ = features.shape
    for view in range(views):
        for begin in range(0, images, AT_ONCE):
            some = slice(begin, begin + AT_ONCE)
            yield some, features[view, some][:, chosen].astype(np.float32)


def class_means(rows: AnyRows) -> np.ndarray:
    """Return the mean of each class, float (k, d)."""
    sums = np.zeros((rows.classes, rows.columns))
    for features, labels, _ in rows.blocks():
        for label in np.unique(labels):
            sums[label] += features[labels == label].sum(axis=0, dtype=float)
    return sums / (rows.views * np.bincount(rows.labels)[:, None])


def standardised(views: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, Scale]:
    """Return features as float32 (n, v, d) in the given order of images, standardised, and what by.

    Block by block, so that there is never more than the one matrix in memory besides `views`.

    Args:
        views: float (v, n, d), of any precision.
        order: int (n,).
    """
    count, images, width = views.shape
    place = np.empty(images, int)
    place[order] = np.arange(images)
    features = np.empty((images, count, width), np.float32)
    for view in range(count):
        for begin in range(0, images, BLOCK):  # read in order, for the sake of memory maps
            features[place[begin : begin + BLOCK], view] = views[view, begin : begin + BLOCK]
    rows = features.reshape(-1, width)
    scale = Scale.of(blocks(rows))
    for block in blocks(rows):
        scale.apply(block)
    return features, scale


def blocks(rows: np.ndarray) -> Iterable[np.ndarray]:
    """Give rows (n, d) block by block, not copied."""
    return (rows[begin : begin + BLOCK] for begin in range(0, len(rows), BLOCK))


def row_space(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Return coordinates and an orthonormal basis with `rows = coordinates @ basis.T`, or the rows and None.

    Where the axes do not matter, only the span of the rows does: with fewer rows than features the problem is one of
    as many unknowns as there are rows. Finding the basis pays from half as many on.

    Args:
        rows: float32 (n, d).
    """
    if 2 * rows.shape[0] > rows.shape[1]:
        return rows, None
    # From the products of the rows: a third of the time of a QR decomposition. Directions in which the rows have less
    # than a thousandth of their greatest extent are lost to rounding; any penalty keeps the weights there at nothing.
    squares, axes = np.linalg.eigh(rows @ rows.T)
    kept = squares > 1e-6 * squares[-1]
    extents, axes = np.sqrt(squares[kept]), axes[:, kept]
    return axes * extents, rows.T @ (axes / extents)
