"""Dividing images class by class, and group by group where some belong together."""

import warnings
from collections.abc import Sequence

import numpy as np

from kerastune_recipes.errors import DataError, listed


def stratified_holdout(
    labels: np.ndarray, fraction: float, seed: int, groups: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Divide images at random into a part to keep and a part held out, each with its share of every class.

    Of a class of n images, n x fraction (rounded, halves up) are held out, but never none and never all. With groups,
    the fold of 2 to 1/fraction that comes nearest to that.

    Args:
        labels: int (n,), the class of each image.
        fraction: Share to hold out, between 0 and 1, both excluded.
        seed: The same seed gives the same division.
        groups: int (n,), the group of each image, which is not divided; None where each image stands alone.

    Returns:
        Positions kept and positions held out, each int64 and ascending.

    Raises:
        DataError: The fraction is no share, a class has a single image, or groups cannot be divided so that either
            part has images of every class.

    Example:
        >>> kept, held = stratified_holdout(np.array([0, 0, 0, 1, 1]), fraction=0.2, seed=0)
        >>> len(kept), len(held)
        (3, 2)
    """
    if not 0 < fraction < 1:
        raise DataError(f"the share to hold out is {fraction}; give a number between 0 and 1, such as 0.2.")
    classes, counts = np.unique(labels, return_counts=True)
    if (counts < 2).any():
        raise DataError(f"one image cannot be divided; labels with a single image: {listed(classes[counts < 2])}.")
    if groups is not None:
        held = _whole_groups(labels, fraction, seed, groups)
        return np.flatnonzero(~held), np.flatnonzero(held)
    random = np.random.default_rng(seed)
    held = np.zeros(len(labels), dtype=bool)
    for label, count in zip(classes, counts, strict=True):
        share = int(np.clip(np.floor(count * fraction + 0.5), 1, count - 1))
        held[random.permutation(np.flatnonzero(labels == label))[:share]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def stratified_folds(
    labels: np.ndarray,
    folds: int,
    seed: int,
    groups: np.ndarray | None = None,
    class_names: Sequence[str] | None = None,
) -> np.ndarray:
    """Divide images at random into folds of which each has its share of every class.

    Args:
        labels: int (n,), the class of each image.
        folds: How many, at least 2.
        seed: The same seed gives the same folds.
        groups: int (n,), the group of each image, which is not divided; None where each image stands alone.
        class_names: One per class, to name them in an error by.

    Returns:
        int64 (n,), the fold of each image, from 0 on.

    Raises:
        DataError: There are fewer folds than 2, more than the smallest class has images or than there are groups, or
            one of them takes all images of a class.

    Example:
        >>> np.bincount(stratified_folds(np.array([0, 0, 0, 0, 1, 1]), folds=2, seed=0)).tolist()
        [3, 3]
    """
    if folds < 2:
        raise DataError(f"images cannot be divided into {folds} folds; ask for at least 2.")
    classes, counts = np.unique(labels, return_counts=True)
    names = [str(label) if class_names is None else class_names[label] for label in classes]
    if folds > counts.min():
        raise DataError(
            f'there are {folds} folds, and the smallest class, "{names[counts.argmin()]}", has {counts.min()} '
            "images; ask for no more folds than that, or add images."
        )
    if groups is None:
        return _folds_of_images(labels, folds, seed)
    number = len(np.unique(groups))
    if folds > number:
        raise DataError(f"there are {folds} folds and {number} groups, which are not divided; ask for fewer folds.")
    found = _folds_of_groups(labels, folds, seed, groups)
    whole = (_counts(labels, found, folds) == counts).any(axis=0)
    if whole.any():
        lost = [name for name, alone in zip(names, whole, strict=True) if alone]
        raise DataError(
            f"groups are not divided, so one of {folds} folds takes all images of these classes: {listed(lost)}; "
            "add images of other groups, or ask for another number of folds."
        )
    return found


def _whole_groups(labels: np.ndarray, fraction: float, seed: int, groups: np.ndarray) -> np.ndarray:
    """Return which images to hold out, bool (n,)."""
    totals = np.unique(labels, return_counts=True)[1]
    # scikit-learn wants no more folds than there are groups, or images of the largest class.
    most = min(max(round(1 / fraction), 2), len(np.unique(groups)), totals.max())
    best, least = None, np.inf
    for folds in range(2, most + 1):
        fold = _folds_of_groups(labels, folds, seed, groups)
        counts = _counts(labels, fold, folds)
        sound = ((counts > 0) & (counts < totals)).all(axis=1)
        unequal = np.where(sound, np.abs(counts / totals - fraction).sum(axis=1), np.inf)
        if unequal.min() < least:
            best, least = fold == unequal.argmin(), unequal.min()
    if best is not None:
        return best
    raise DataError(
        "the groups, which are not divided, leave no way to hold out images of every class and to keep others to "
        "train on; give validation images of your own."
    )


def _folds_of_images(labels: np.ndarray, folds: int, seed: int) -> np.ndarray:
    from sklearn.model_selection import StratifiedKFold  # which takes a second to import

    splits = StratifiedKFold(folds, shuffle=True, random_state=seed).split(labels, labels)
    return _numbered([held for _, held in splits], len(labels))


def _folds_of_groups(labels: np.ndarray, folds: int, seed: int, groups: np.ndarray) -> np.ndarray:
    from sklearn.model_selection import StratifiedGroupKFold

    # Shuffled here: scikit-learn took one group for another when it did so, until scikit-learn#32540.
    groups = np.unique(groups, return_inverse=True)[1]
    shuffled = np.random.default_rng(seed).permutation(groups.max() + 1)[groups]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of classes with fewer images than folds
        splits = list(StratifiedGroupKFold(folds).split(labels, labels, shuffled))
    return _numbered([held for _, held in splits], len(labels))


def _numbered(parts: Sequence[np.ndarray], images: int) -> np.ndarray:
    fold = np.empty(images, dtype=np.int64)
    for number, held in enumerate(parts):
        fold[held] = number
    return fold


def _counts(labels: np.ndarray, fold: np.ndarray, folds: int) -> np.ndarray:
    """Return how many images of each class each fold has, int (folds, classes)."""
    classes, positions = np.unique(labels, return_inverse=True)
    counts = np.zeros((folds, len(classes)), dtype=np.int64)
    np.add.at(counts, (fold, positions), 1)
    return counts
