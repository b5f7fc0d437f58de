"""Stratified splits: a hold-out and cross-validation folds, by image or by group."""

import warnings
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Literal

import numpy as np

from kerastune_recipes.errors import DataError, listed

# The fold of an image that is in every training part.
NEVER_HELD_OUT = -1

# The share to hold out, or "auto" for the rule of `share_to_hold_out`.
HeldOutShare = float | Literal["auto"]
# A fifth is what users expect, and a third was no better (docs/experiments.md). ENOUGH held-out images tell any
# accuracy within one point (95% interval, 1.96 sqrt(0.25 / n)): more of them would only be missing in training. It is
# about the 1% that BiT and ViT hold out of ImageNet (github.com/google-research/big_vision). ENOUGH_OF_A_CLASS keeps
# ten of a class on average where classes are very many.
LARGEST_SHARE, ENOUGH, ENOUGH_OF_A_CLASS = 0.2, 10_000, 10
# Numbers of folds that are tried in search of a hold-out of whole groups.
_MOST_TRIALS = 9


def share_to_hold_out(units: int, classes: int) -> float:
    """Return the share of the training images to hold out where the user states none.

    Args:
        units: Number of training images, or of their groups where images are grouped: as many independent judges there
            are.
        classes: Number of classes.

    Example:
        >>> share_to_hold_out(300, classes=2), share_to_hold_out(100_000, classes=10)
        (0.2, 0.1)
    """
    enough = max(ENOUGH, ENOUGH_OF_A_CLASS * classes)
    return min(LARGEST_SHARE, enough / max(units, 1))


def share_problems(share: object) -> list[str]:
    """Check that a share to hold out is "auto" or a number between 0 and 1.

    Example:
        >>> share_problems(0.1), share_problems("auto")
        ([], [])
    """
    if share == "auto" or (isinstance(share, Real) and not isinstance(share, bool) and 0 < float(share) < 1):
        return []
    return [f"validation_split: give a number between 0 and 1, such as 0.1, or auto; received {share!r}."]


def stratified_holdout(
    labels: np.ndarray, fraction: float, seed: int, groups: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Split images at random into a part to keep and a held-out part, stratified by class.

    Of a class of n images, n x fraction (rounded, halves up) are held out, but never none and never all. With groups,
    the held-out part is the fold, among divisions into 2 to 1/fraction folds, that comes nearest to that.

    Args:
        labels: int (n,), the class of each image.
        fraction: Fraction to hold out, strictly between 0 and 1.
        seed: Random seed of the split.
        groups: int (n,), the group of each image; a group is never split. None splits image by image.

    Returns:
        Positions kept and positions held out, each int64 and ascending.

    Raises:
        DataError: The fraction is out of range, a class has a single image, or no assignment of whole groups gives
            both parts images of every class.

    Example:
        >>> kept, held = stratified_holdout(np.array([0, 0, 0, 1, 1]), fraction=0.2, seed=0)
        >>> len(kept), len(held)
        (3, 2)
    """
    if not 0 < fraction < 1:
        raise DataError(f"the fraction to hold out is {fraction}; give a number between 0 and 1, such as 0.2.")
    classes, counts = np.unique(labels, return_counts=True)
    if (counts < 2).any():
        raise DataError(f"a single image cannot be split; labels with a single image: {listed(classes[counts < 2])}.")
    if groups is not None:
        held = _whole_groups(labels, fraction, seed, groups)
        return np.flatnonzero(~held), np.flatnonzero(held)
    random = np.random.default_rng(seed)
    held = np.zeros(len(labels), dtype=bool)
    for label, count in zip(classes, counts, strict=True):
        size = int(np.clip(np.floor(count * fraction + 0.5), 1, count - 1))
        held[random.permutation(np.flatnonzero(labels == label))[:size]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def stratified_folds(
    labels: np.ndarray,
    folds: int,
    seed: int,
    groups: np.ndarray | None = None,
    class_names: Sequence[str] | None = None,
) -> np.ndarray:
    """Split images at random into cross-validation folds, stratified by class.

    A class may have fewer images than there are folds; then some folds have none of it.

    Args:
        labels: int (n,), the class of each image.
        folds: Number of folds, 2 or more.
        seed: Random seed of the folds.
        groups: int (n,), the group of each image; a group is never split. None splits image by image.
        class_names: Names of the classes for error messages; None shows their numbers.

    Returns:
        int64 (n,), the fold of each image, 0 to `folds` - 1.

    Raises:
        DataError: There are fewer than 2 folds, more folds than groups, more folds than the largest class has images,
            or a fold holds all images of a class, so that none is left to train on.

    Example:
        >>> np.bincount(stratified_folds(np.array([0, 0, 0, 0, 1, 1]), folds=2, seed=0)).tolist()
        [3, 3]
    """
    if folds < 2:
        raise DataError(f"images cannot be split into {folds} folds; ask for at least 2.")
    classes, counts = np.unique(labels, return_counts=True)
    if groups is not None and folds > (number := len(np.unique(groups))):
        raise DataError(f"there are {folds} folds but only {number} groups, which stay whole; ask for fewer folds.")
    if folds > counts.max():
        raise DataError(
            f"there are {folds} folds, but even the largest class has only {counts.max()} images; "
            "ask for fewer folds, or add images."
        )
    fold = _folds_of_images(labels, folds, seed) if groups is None else _folds_of_groups(labels, folds, seed, groups)
    in_one_fold = (_counts(labels, fold, folds) == counts).any(axis=0)
    if in_one_fold.any():
        names = [str(label) if class_names is None else class_names[label] for label in classes[in_one_fold]]
        raise DataError(
            f"{folds} folds: all images of these classes fall into one fold, so none is left to train on: "
            f"{listed(names)}; add images{'' if groups is None else ' of other groups'}, or ask for another number of "
            "folds."
        )
    return fold


def folds_where_possible(labels: np.ndarray, folds: int, seed: int, groups: np.ndarray | None = None) -> np.ndarray:
    """Split images into stratified folds as far as that is possible; the other images are always trained on.

    Never held out are the images of a class with a single image, or a single group; and, with groups, those of a class
    whose groups fell into one fold. There are fewer folds where fewer groups, or images of the largest class, are left.

    Args:
        labels: int (n,), the class of each image.
        folds: Number of folds wanted, 2 or more.
        seed: Random seed of the folds.
        groups: int (n,), the group of each image; a group is never split. None splits image by image.

    Returns:
        int64 (n,), the fold of each image, from 0; `NEVER_HELD_OUT` for images that are in no fold.

    Example:
        >>> folds_where_possible(np.array([0, 0, 0, 0, 1]), folds=2, seed=0).tolist().count(NEVER_HELD_OUT)
        1
    """
    units = np.arange(len(labels)) if groups is None else groups
    fold = np.full(len(labels), NEVER_HELD_OUT)
    inside = ~np.isin(units, units[_units_by_class(labels, units)[labels] < 2])
    if not inside.any():
        return fold
    most = min(folds, len(np.unique(units[inside])), np.bincount(labels[inside]).max())
    if most < 2:
        return fold
    own = None if groups is None else groups[inside]
    fold[inside] = (
        _folds_of_images(labels[inside], most, seed)
        if own is None
        else _folds_of_groups(labels[inside], most, seed, own)
    )
    for label in np.unique(labels[inside]):
        if len(np.unique(fold[labels == label])) < 2:
            fold[np.isin(units, units[labels == label])] = NEVER_HELD_OUT
    numbers = np.unique(fold[fold != NEVER_HELD_OUT])
    if len(numbers) < 2:
        return np.full(len(labels), NEVER_HELD_OUT)
    # A fold may have lost all its images.
    return np.where(fold == NEVER_HELD_OUT, fold, np.searchsorted(numbers, fold))


def on_originals(assign: Callable[[np.ndarray], np.ndarray], labels: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Assign each image to what its original is assigned to, so that copies stay together.

    Args:
        assign: From the labels of the originals, int (m,), to what each is assigned to, (m,).
        labels: int (n,), the class of each image; copies count as the class of the first.
        numbers: int (n,), the same for copies.

    Example:
        >>> on_originals(lambda labels: 10 * labels, np.array([0, 1, 1]), np.array([0, 0, 2])).tolist()
        [0, 0, 10]
    """
    _, first, original = np.unique(numbers, return_index=True, return_inverse=True)
    return assign(labels[first])[original]


def dealt_folds(labels: np.ndarray, folds: int, seed: int, groups: np.ndarray | None = None) -> np.ndarray:
    """Deal images, or whole groups, out to folds in turn, class by class, so that every image is in a fold.

    Args:
        labels: int (n,), the class of each image.
        folds: Number of folds; there are fewer where there are fewer images, or groups.
        seed: Random seed of the folds.
        groups: int (n,), the group of each image; a group is never split. None deals image by image.

    Returns:
        int64 (n,), the fold of each image, from 0.

    Example:
        >>> np.bincount(dealt_folds(np.array([0, 0, 0, 0, 1, 1]), folds=3, seed=0)).tolist()
        [2, 2, 2]
    """
    _, first, unit = np.unique(
        np.arange(len(labels)) if groups is None else groups, return_index=True, return_inverse=True
    )
    order = np.random.default_rng(seed).permutation(len(first))
    order = order[np.argsort(labels[first][order], kind="stable")]
    fold = np.empty(len(first), np.int64)
    fold[order] = np.arange(len(first)) % folds
    return fold[unit]


def _units_by_class(labels: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Return the number of images, or groups, of each class, int (classes,)."""
    pairs = np.unique(np.stack([labels, units]), axis=1)
    return np.bincount(pairs[0], minlength=labels.max() + 1)


def _whole_groups(labels: np.ndarray, fraction: float, seed: int, groups: np.ndarray) -> np.ndarray:
    """Return which images to hold out, bool (n,)."""
    totals = np.unique(labels, return_counts=True)[1]
    # scikit-learn refuses more folds than groups, or than images of the largest class.
    most = min(max(round(1 / fraction), 2), len(np.unique(groups)), totals.max())
    best, least = None, np.inf
    # The nearest number is not always possible; all would take long where the share is small.
    numbers = np.geomspace(2, most, _MOST_TRIALS).round().astype(int) if most > 1 else np.empty(0, int)
    for folds in np.unique(numbers).tolist():
        fold = _folds_of_groups(labels, folds, seed, groups)
        counts = _counts(labels, fold, folds)
        usable = ((counts > 0) & (counts < totals)).all(axis=1)
        deviation = np.where(usable, np.abs(counts / totals - fraction).sum(axis=1), np.inf)
        if deviation.min() < least:
            best, least = fold == deviation.argmin(), deviation.min()
    if best is not None:
        return best
    raise DataError(
        "groups stay whole, and no choice of groups to hold out leaves images of every class on both sides; "
        "give validation images of your own."
    )


def _folds_of_images(labels: np.ndarray, folds: int, seed: int) -> np.ndarray:
    from sklearn.model_selection import StratifiedKFold  # takes a second to import

    return _fold_numbers(StratifiedKFold(folds, shuffle=True, random_state=seed), labels)


def _folds_of_groups(labels: np.ndarray, folds: int, seed: int, groups: np.ndarray) -> np.ndarray:
    from sklearn.model_selection import StratifiedGroupKFold

    # Groups are shuffled here: with shuffle=True scikit-learn mixed up the groups, and so mis-stratified the folds,
    # before the fix of scikit-learn#32540.
    groups = np.unique(groups, return_inverse=True)[1]
    shuffled = np.random.default_rng(seed).permutation(groups.max() + 1)[groups]
    return _fold_numbers(StratifiedGroupKFold(folds), labels, shuffled)


def _fold_numbers(splitter, labels: np.ndarray, groups: np.ndarray | None = None) -> np.ndarray:
    """Return the fold of each image, int64 (n,), from a scikit-learn splitter."""
    fold = np.empty(len(labels), dtype=np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class with fewer images than folds
        for number, (_, held) in enumerate(splitter.split(labels, labels, groups)):
            fold[held] = number
    return fold


def _counts(labels: np.ndarray, fold: np.ndarray, folds: int) -> np.ndarray:
    """Return the number of images by fold and class, int (folds, classes)."""
    classes, positions = np.unique(labels, return_inverse=True)
    counts = np.zeros((folds, len(classes)), dtype=np.int64)
    np.add.at(counts, (fold, positions), 1)
    return counts


def joined_groups(groups: np.ndarray | None, numbers: np.ndarray | None) -> np.ndarray | None:
    """Return groups of images that stay together: those of the user, joined where they share a copy.

    Args:
        groups: int (n,), or None for none.
        numbers: int (n,), the same for copies, or None for none.

    Example:
        >>> joined_groups(np.array([0, 0, 1, 1, 2]), np.array([0, 1, 1, 3, 4])).tolist()
        [0, 0, 0, 0, 1]
    """
    if groups is None or numbers is None:
        return numbers if groups is None else groups
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    of_group, of_number = (np.unique(each, return_inverse=True)[1] for each in (groups, numbers))
    count = of_group.max() + 1
    size = count + of_number.max() + 1
    edges = coo_matrix((np.ones(len(groups)), (of_group, count + of_number)), shape=(size, size))
    return connected_components(edges, directed=False)[1][of_group]
