"""Feature rows that classifiers learn from: standardised, one matrix, in fewer coordinates where those suffice."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from sklearn.preprocessing import StandardScaler

from kerastune_recipes.arrays.feature_matrix import CHUNK_ROWS
from kerastune_recipes.arrays.files import AnyArray, FileArray

# Rows converted and standardised at a time.
BLOCK = 512
# The largest distance of an image from the mean, in deviations. Provisional: 2 to 5 gave the same accuracy in trials,
# and better than no bound; the second table of benchmarks/decisions/heads.py is to show by how much.
MAX_DEVIATIONS = 3.0

# Features float32 (m, d) of views, with the labels and weights of their images.
Block = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class LabelledFeatures:
    """Features of labelled images, raw, as a head is solved on them.

    Args:
        views: float (v, n, d) of any precision, features of each view of each image, the image itself first; an array,
            a memory map or a FileArray.
        labels: int (n,), every class present.
        groups: int (n,), the group of each image; images of a group stay in one fold. None for no groups.
        widths: Number of features of each tap (a layer whose output becomes features), adding up to d; of each backbone
            for co-training. Needed only to choose one tap, or to co-train.
        unseen: bool (n,), the images that the network of the features was not trained on; None for all.
    """

    views: AnyArray
    labels: np.ndarray
    groups: np.ndarray | None = None
    widths: Sequence[int] | None = None
    unseen: np.ndarray | None = None


@dataclass(frozen=True)
class Rows:
    """Images in memory, to learn from or to evaluate on.

    Args:
        features: float32 (n, v, d), standardised features of v views of each image, the image itself first.
        labels: int (n,).
        weights: float32 (n,), sample weight of each image.
        width: Number of features; more than d where `features` are coordinates in the span of the rows.
        judges: bool (n,), the images that may choose a strength and a temperature; None for all.
    """

    features: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    width: int
    judges: np.ndarray | None = None

    def select(self, images: slice | np.ndarray) -> Self:
        """Return some of the images; a slice is not copied."""
        judges = None if self.judges is None else self.judges[images]
        return type(self)(self.features[images], self.labels[images], self.weights[images], self.width, judges)

    @property
    def judge_weights(self) -> np.ndarray:
        """Weight of each image as a judge, float32 (n,)."""
        return self.weights if self.judges is None else self.weights * self.judges

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.labels.max()) + 1

    @property
    def views(self) -> int:
        """Number of views of each image."""
        return self.features.shape[1]

    @property
    def columns(self) -> int:
        """Number of features, or coordinates, of each row."""
        return self.features.shape[2]

    def blocks(self) -> Iterable[Block]:
        """Return all rows as a single block."""
        return [self.flat()]

    def flat(self) -> Block:
        """Return features (n * v, d) of all views, with the labels and weights of their images."""
        views = self.features.shape[1]
        rows = self.features.reshape(-1, self.features.shape[2])
        return rows, np.repeat(self.labels, views), np.repeat(self.weights, views)


@dataclass(frozen=True)
class Scale:
    """Means and deviations, float (d,), that standardise features."""

    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def of(cls, blocks: Iterable[np.ndarray]) -> Self:
        """Return the scale of features, given as blocks of rows (m, d).

        The standard deviation of a nearly constant feature says little about its range, and dividing by it would blow
        the feature up in other images. So a deviation is at least the largest distance from the mean, divided by
        `MAX_DEVIATIONS`.
        """
        scaler, low, high = StandardScaler(), np.inf, -np.inf
        for block in blocks:
            scaler.partial_fit(block)
            low, high = np.minimum(low, block.min(axis=0)), np.maximum(high, block.max(axis=0))
        furthest = np.maximum(high - scaler.mean_, scaler.mean_ - low)
        deviation = np.maximum(np.sqrt(scaler.var_), furthest / MAX_DEVIATIONS)
        # A feature that varies only by rounding carries no information.
        deviation[np.sqrt(scaler.var_) < 1e-6] = 1.0
        return cls(scaler.mean_, deviation)

    def select(self, columns: slice) -> Self:
        """Return the scale of some of the features."""
        return type(self)(self.mean[columns], self.deviation[columns])

    def apply(self, rows: np.ndarray) -> None:
        """Standardise rows (m, d) in place."""
        rows -= self.mean.astype(rows.dtype)
        rows /= self.deviation.astype(rows.dtype)


@dataclass(frozen=True)
class FileRows:
    """Images to learn from whose features are in a file, read again for each pass.

    Args:
        features: float (v, n, d), raw.
        labels: int (n,).
        weights: float32 (n,), sample weight of each image.
        scale: Scale of all d features.
        selected: The features in use.
    """

    features: FileArray
    labels: np.ndarray
    weights: np.ndarray
    scale: Scale
    selected: slice

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.labels.max()) + 1

    @property
    def views(self) -> int:
        """Number of views of each image."""
        return self.features.shape[0]

    @property
    def columns(self) -> int:
        """Number of features of each row."""
        return len(self.scale.mean[self.selected])

    @property
    def width(self) -> int:
        """The same; rows in a file are never coordinates in a span."""
        return self.columns

    def blocks(self) -> Iterator[Block]:
        """Yield all rows, standardised, view by view and block by block."""
        scale = self.scale.select(self.selected)
        for images, rows in read_blocks(self.features, self.selected):
            scale.apply(rows)
            yield rows, self.labels[images], self.weights[images]


AnyRows = Rows | FileRows


def read_blocks(features: FileArray, selected: slice = slice(None)) -> Iterator[tuple[slice, np.ndarray]]:
    """Read features from a file, view by view and block by block.

    Args:
        features: float (v, n, d).
        selected: The features to read.

    Returns:
        Pairs: the images of a block, and their rows, float32 (m, d).
    """
    views, images, _ = features.shape
    for view in range(views):
        for begin in range(0, images, CHUNK_ROWS):
            block = slice(begin, begin + CHUNK_ROWS)
            yield block, features[view, block][:, selected].astype(np.float32)


def class_means(rows: AnyRows) -> np.ndarray:
    """Return the mean of each class, float (k, d)."""
    sums = np.zeros((rows.classes, rows.columns))
    for features, labels, _ in rows.blocks():
        for label in np.unique(labels):
            sums[label] += features[labels == label].sum(axis=0, dtype=float)
    return sums / (rows.views * np.bincount(rows.labels)[:, None])


def standardise(views: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, Scale]:
    """Standardise features over all views and images.

    Works block by block, so that memory holds only the result besides `views`.

    Args:
        views: float (v, n, d), of any precision.
        order: int (n,), the order of images in the result.

    Returns:
        Features float32 (n, v, d), and their scale.
    """
    count, images, width = views.shape
    position = np.empty(images, int)
    position[order] = np.arange(images)
    features = np.empty((images, count, width), np.float32)
    for view in range(count):
        for begin in range(0, images, BLOCK):  # memory maps are fastest in order
            features[position[begin : begin + BLOCK], view] = views[view, begin : begin + BLOCK]
    rows = features.reshape(-1, width)
    scale = Scale.of(blocks(rows))
    for block in blocks(rows):
        scale.apply(block)
    return features, scale


def blocks(rows: np.ndarray) -> Iterable[np.ndarray]:
    """Yield rows (n, d) block by block, not copied."""
    return (rows[begin : begin + BLOCK] for begin in range(0, len(rows), BLOCK))


def row_space(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Return coordinates and an orthonormal basis with `rows = coordinates @ basis.T`, or the rows and None.

    Where the axes do not matter, only the span of the rows does: with fewer rows than features, the problem has as many
    unknowns as rows. Finding the basis is worth its time with at most half as many rows as features.

    Args:
        rows: float32 (n, d).
    """
    if 2 * rows.shape[0] > rows.shape[1]:
        return rows, None
    # By the Gram matrix, in a third of the time of a QR decomposition. Rounding loses the directions in which the rows
    # extend less than a thousandth of their largest extent; under any penalty the weights there are zero.
    squares, axes = np.linalg.eigh(rows @ rows.T)
    kept = squares > 1e-6 * squares[-1]
    extents, axes = np.sqrt(squares[kept]), axes[:, kept]
    return axes * extents, rows.T @ (axes / extents)
