"""Which images a head is chosen and judged by: folds that keep classes even and groups together."""

from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from kerastune_recipes.errors import DataError, listed

# Of more images than MANY_IMAGES a sample makes the first choice, and a hold-out of all of them has the last word.
MANY_IMAGES, SAMPLE_IMAGES = 4000, 2000
# A temperature that depends on how many images a head has learnt from is found by so many folds, where each class has
# so many images at least (benchmarks/temperature.md).
FINE_FOLDS, FEWEST_OF_CLASS = 10, 4


@dataclass(frozen=True)
class Cut:
    """Images, the first fold behind all others, so that what is learnt from to judge by it is one stretch.

    Args:
        order: int (n,), the images.
        fold: int (n,), the fold of each, in this order; 0 where there are none.
        sample: bool (n,), which of them strengths are tried on, in this order; all of them unless they are many.
        fine: int (n,), the fold of each where only a little may be left out, in this order; None where `fold` must do.
    """

    order: np.ndarray
    fold: np.ndarray
    sample: np.ndarray
    fine: np.ndarray | None = None

    @property
    def whole(self) -> bool:
        """Whether the sample is all of the images."""
        return bool(self.sample.all())


def cut(labels: np.ndarray, folds: int, seed: int, groups: np.ndarray | None = None) -> Cut:
    """Divide images into folds, stratified.

    However small the sample is, a class of as many images as there are folds has one in each.

    Args:
        labels: int (n,).
        folds: How many, 2 or more, or 0 for none.
        seed: Of folds and sample.
        groups: int (n,), the group of each image, or None; images of a group stay in one fold.

    Raises:
        DataError: There are fewer groups than folds, or a class would be missing outside of a fold.
    """
    images = len(labels)
    if not folds:
        return Cut(np.arange(images), np.zeros(images, int), np.ones(images, bool))
    if groups is not None and len(np.unique(groups)) < folds:
        raise DataError(
            f"{folds}-fold cross-validation: there are {len(np.unique(groups))} groups of images; give fewer folds."
        )
    kind = StratifiedKFold if groups is None else StratifiedGroupKFold
    fold = np.empty(images, int)
    for number, (_, inside) in enumerate(kind(folds, shuffle=True, random_state=seed).split(labels, labels, groups)):
        fold[inside] = number
    _check(labels, fold, folds, groups)
    sample = sampled(labels * folds + fold, SAMPLE_IMAGES if images > MANY_IMAGES else images, seed)
    order = np.argsort(fold == 0, kind="stable")
    finer = groups is None and folds < FINE_FOLDS and sample.all() and np.bincount(labels).min() >= FEWEST_OF_CLASS
    return Cut(order, fold[order], sample[order], _fine(labels, seed)[order] if finer else None)


def _fine(labels: np.ndarray, seed: int) -> np.ndarray:
    """Divide images into many folds, int (n,), the images of a class one by one, so that none has all of them."""
    order = np.random.default_rng(seed).permutation(len(labels))
    fold = np.empty(len(labels), int)
    fold[order[np.argsort(labels[order], kind="stable")]] = np.arange(len(labels)) % FINE_FOLDS
    return fold


def _check(labels: np.ndarray, fold: np.ndarray, folds: int, groups: np.ndarray | None) -> None:
    inside = np.zeros((labels.max() + 1, folds), int)
    np.add.at(inside, (labels, fold), 1)
    alone = np.flatnonzero((inside > 0).sum(axis=1) == 1)
    if len(alone):
        by = "images" if groups is None else "groups of images"
        raise DataError(
            f"{folds}-fold cross-validation: all images of the classes numbered {listed(alone)} fall into one fold, so "
            f"that none is left to learn from; each class needs {by} for two folds at least."
        )


def sampled(strata: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Choose some images, so that each stratum has its share of them, and one at least.

    Args:
        strata: int (n,), of each image.
        most: How many to choose; a few more where there are small strata.
        seed: Of the choice.

    Returns:
        bool (n,), all where there are no more.
    """
    images = len(strata)
    if images <= most:
        return np.ones(images, bool)
    random = np.random.default_rng(seed)
    order = random.permutation(images)
    order = order[np.argsort(strata[order], kind="stable")]
    counts = np.bincount(strata)
    rank = np.empty(images, int)  # of each image within its stratum, at random
    rank[order] = np.arange(images) - np.repeat(np.cumsum(counts) - counts, counts)
    # Sorted by their share of the stratum, all strata are spread evenly: any stretch of it is a stratified sample.
    place = np.empty(images, int)
    place[np.argsort((rank + random.random(images)) / counts[strata])] = np.arange(images)
    return (place < most) | (rank < 1)
