"""Features as the classifiers see them: standardised, in few coordinates where few are enough, in one matrix."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
from sklearn.preprocessing import StandardScaler

# Rows converted and standardised at a time.
BLOCK = 512
# How many deviations the furthest image is from the mean, at most. Provisional: 2 to 5 did alike where it was tried,
# and better than no bound; the second table of benchmarks/heads.py is to tell by how much.
FURTHEST = 3.0


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

    def flat(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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
