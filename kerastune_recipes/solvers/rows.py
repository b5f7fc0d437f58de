"""Features as the classifiers see them: standardised, in few coordinates where few are enough, in one matrix."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.preprocessing import StandardScaler

# Rows converted and standardised at a time.
BLOCK = 512


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

    def part(self, chosen: slice | np.ndarray) -> "Rows":
        """Return some of the images; not copied where they are one stretch."""
        return Rows(self.features[chosen], self.labels[chosen], self.weights[chosen], self.width)

    def flat(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return features (n * v, d) of all views, with the labels and weights of their images."""
        views = self.features.shape[1]
        rows = self.features.reshape(-1, self.features.shape[2])
        return rows, np.repeat(self.labels, views), np.repeat(self.weights, views)

    def splits(self, ends: Sequence[int]) -> Iterator[tuple["Rows", "Rows"]]:
        """Give for each fold the images outside it and those in it, where fold i ends at `ends[i]`.

        The first folds stand once more behind the last, so that the images outside a fold are one stretch and need not
        be copied for each.
        """
        begins, images = [0, *ends[:-1]], len(self.labels)
        wrapped = self.part(np.arange(images + begins[-2]) % images)
        for begin, end in zip(begins, ends, strict=True):
            first = end % images
            yield wrapped.part(slice(first, first + images - (end - begin))), self.part(slice(begin, end))


@dataclass(frozen=True)
class Scale:
    """Means and deviations (d,) of features."""

    mean: np.ndarray
    deviation: np.ndarray

    def part(self, chosen: slice) -> "Scale":
        return Scale(self.mean[chosen], self.deviation[chosen])


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
    scaler = StandardScaler(copy=False)
    for view in range(count):
        for begin in range(0, images, BLOCK):  # read in order, for the sake of memory maps
            block = views[view, begin : begin + BLOCK].astype(np.float32)
            scaler.partial_fit(block)
            features[place[begin : begin + BLOCK], view] = block
    # A feature that never changes but by rounding tells nothing, and must not be blown up.
    scaler.scale_[np.sqrt(scaler.var_) < 1e-6] = 1.0
    rows = features.reshape(-1, width)
    for begin in range(0, len(rows), BLOCK):
        rows[begin : begin + BLOCK] = scaler.transform(rows[begin : begin + BLOCK])
    return features, Scale(scaler.mean_, scaler.scale_)


def row_space(features: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Return coordinates and an orthonormal basis with `features = coordinates @ basis.T`, or features and None.

    Where the axes do not matter, only the span of the rows does: with fewer rows than features the problem is one of
    as many unknowns as there are rows. Finding the basis pays from half as many on.
    """
    rows = features.reshape(-1, features.shape[-1])
    if 2 * rows.shape[0] > rows.shape[1]:
        return features, None
    # From the products of the rows: a third of the time of a QR decomposition. Directions in which the rows have less
    # than a thousandth of their greatest extent are lost to rounding; any penalty keeps the weights there at nothing.
    squares, axes = np.linalg.eigh(rows @ rows.T)
    kept = squares > 1e-6 * squares[-1]
    extents, axes = np.sqrt(squares[kept]), axes[:, kept]
    return (axes * extents).reshape(*features.shape[:2], -1), rows.T @ (axes / extents)
