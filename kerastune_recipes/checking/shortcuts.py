"""Shortcuts: what gives the label away without a look at the picture, such as the camera or the size of the file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kerastune_recipes.checking.traits import ImageTraits
from kerastune_recipes.data.splits import NEVER_HELD_OUT, folds_where_possible

FOLDS = 5
# Part of the way from chance to certainty that the lower end of the interval of the balanced accuracy has to exceed:
# classes do differ a little in size and colour.
CLEAR = 0.25
# Classes of fewer images say nothing.
FEWEST_IMAGES = 10


@dataclass(frozen=True)
class Shortcut:
    """A trait that gives labels away.

    Args:
        trait: Its name.
        balanced_accuracy: Of a small tree on this trait alone, cross-validated, 0..1.
        chance: Balanced accuracy by chance, 0..1.
        images: Number of images that were predicted.
    """

    trait: str
    balanced_accuracy: float
    chance: float
    images: int


def measure(traits: Sequence[ImageTraits]) -> list[Shortcut]:
    """Return the balanced accuracy of each trait alone.

    A decision tree of depth 4 learns from the trait, and predicts images of other folds; groups stay whole. Classes of
    fewer than 10 images are left out.

    Args:
        traits: ImageTraits of the training images.
    """
    used = [one for one in traits if not one.problem]
    names, labels = np.unique([one.label for one in used], return_inverse=True)
    kept = np.bincount(labels, minlength=len(names))[labels] >= FEWEST_IMAGES
    used = [one for one, keep in zip(used, kept, strict=True) if keep]
    classes, labels = np.unique(labels[kept], return_inverse=True)
    if len(classes) < 2:
        return []
    groups = None if any(one.group is None for one in used) else np.array([one.group for one in used])
    fold = folds_where_possible(labels, FOLDS, 0, groups)
    return [
        Shortcut(name, _balanced_accuracy(columns, labels, fold), 1 / len(classes), int((fold != NEVER_HELD_OUT).sum()))
        for name, columns in _columns(used).items()
        if len(np.unique(columns, axis=0)) > 1 and fold.max() > 0
    ]


def clear(shortcut: Shortcut) -> bool:
    """Return whether a trait gives more away than chance and the usual differences between classes do."""
    error = np.sqrt(shortcut.balanced_accuracy * (1 - shortcut.balanced_accuracy) / shortcut.images)
    return bool(shortcut.balanced_accuracy - 2 * error > shortcut.chance + CLEAR * (1 - shortcut.chance))


def _columns(traits: Sequence[ImageTraits]) -> Mapping[str, np.ndarray]:
    """Return the columns of each trait, float (n, columns)."""
    sizes = np.array([one.size for one in traits], float)
    headers = [one.header for one in traits]
    return {
        "file size": np.log([[one.stored_bytes] for one in traits]),
        "resolution": sizes,
        "aspect ratio": np.log(sizes[:, :1] / sizes[:, 1:]),
        "colour mode": _coded([f"{one.mode} {one.format}" if one else "" for one in headers]),
        "border colour": np.array([[*one.border, one.spread] for one in traits]),
        "camera": _coded([one.camera if one else "" for one in headers]),
    }


def _coded(words: Sequence[str]) -> np.ndarray:
    return np.eye(len(set(words)))[np.unique(list(words), return_inverse=True)[1]]


def _balanced_accuracy(columns: np.ndarray, labels: np.ndarray, fold: np.ndarray) -> float:
    from sklearn.tree import DecisionTreeClassifier

    predicted = np.full(len(labels), -1)
    for number in range(fold.max() + 1):
        tree = DecisionTreeClassifier(max_depth=4, min_samples_leaf=3, class_weight="balanced", random_state=0)
        tree.fit(columns[fold != number], labels[fold != number])
        predicted[fold == number] = tree.predict(columns[fold == number])
    judged = fold != NEVER_HELD_OUT
    right = predicted == labels
    return float(np.mean([right[judged & (labels == label)].mean() for label in np.unique(labels[judged])]))
