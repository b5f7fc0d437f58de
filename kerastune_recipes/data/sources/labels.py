"""Reads labels: integers, one-hot rows or names."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerastune_recipes.data import checks
from kerastune_recipes.data.sources.parts import Naming

# Longest label that is sorted as a number; Python takes long to read longer ones, and refuses more than 4,300 digits.
_MOST_DIGITS = 18


@dataclass(frozen=True)
class Labels:
    """Labels as positions in a list of class names.

    Args:
        indices: int64 (n,), the position of each label in `class_names`.
        class_names: Name of each class.
        naming: Where the names come from.
        one_hot: True if the labels were given as one-hot rows.
    """

    indices: np.ndarray
    class_names: tuple[str, ...]
    naming: Naming
    one_hot: bool = False


def read_labels(given: np.ndarray, class_names: Sequence[str] | None = None) -> tuple[Labels | None, list[str]]:
    """Convert labels of any form to positions in a list of class names.

    Args:
        given: Integers (n,) or (n, 1), also as floats; one-hot rows (n, classes); or names (n,).
        class_names: Class names of the user in label order, or None.

    Returns:
        The labels, or None if they cannot be used; and the problems.

    Example:
        >>> labels, problems = read_labels(np.array(["wasp", "ant"]))
        >>> labels.class_names, labels.indices.tolist()
        (('ant', 'wasp'), [1, 0])
    """
    if given.ndim == 2 and given.shape[1] == 1:
        given = given[:, 0]
    if given.ndim not in (1, 2):
        return None, [f"labels have shape {given.shape}; give (n,) integers or names, or (n, classes) one-hot rows."]
    if given.dtype.kind in "OSTU" and given.ndim == 1:
        return _names([_text(label) for label in given], class_names)
    if given.dtype.kind not in "biuf":
        return None, [f"labels are of type {given.dtype}; give integers, one-hot rows or names."]
    return _rows(given, class_names) if given.ndim == 2 else _integers(given, class_names)


def read_groups(given: Any, images: int) -> tuple[np.ndarray | None, list[str]]:
    """Convert the groups of images to names.

    Args:
        given: Integers or names (n,), or None for no groups.
        images: Number of images.

    Returns:
        str (n,), or None if there are no groups or they cannot be used; and the problems.

    Example:
        >>> groups, problems = read_groups([7, 7, 9], images=3)
        >>> groups.tolist()
        ['7', '7', '9']
    """
    if given is None:
        return None, []
    labels = np.asarray(given)
    problems = checks.group_labels(given, labels, images)
    return (None if problems else np.array([_text(label) for label in labels], dtype=str)), problems


def collect_names(labels: Sequence[str]) -> Labels:
    """Number the labels by name in sorted order; integers are sorted as numbers.

    Example:
        >>> collect_names(["10", "9", "10"]).class_names
        ('9', '10')
    """
    distinct = set(labels)
    numeric = all(label.isdecimal() and len(label) <= _MOST_DIGITS for label in distinct)
    class_names = tuple(sorted(distinct, key=lambda label: (int(label) if numeric else 0, label)))
    return Labels(_positions(labels, class_names), class_names, "collected")


def _names(labels: list[str], class_names: Sequence[str] | None) -> tuple[Labels | None, list[str]]:
    if class_names is None:
        return collect_names(labels), []
    problems = checks.unknown_labels(labels, class_names)
    if problems:
        return None, problems
    return Labels(_positions(labels, class_names), tuple(class_names), "declared"), []


def _rows(rows: np.ndarray, class_names: Sequence[str] | None) -> tuple[Labels | None, list[str]]:
    problems = checks.one_hot(rows)
    if class_names is not None:
        problems += checks.one_hot_width(rows.shape[1], len(class_names))
    if problems:
        return None, problems
    return _with_names(rows.argmax(axis=1), rows.shape[1], class_names, one_hot=True), []


def _integers(labels: np.ndarray, class_names: Sequence[str] | None) -> tuple[Labels | None, list[str]]:
    problems = checks.whole_numbers(labels)
    if problems:
        return None, problems
    indices = labels.astype(np.int64)
    problems = checks.label_range(indices, None if class_names is None else len(class_names))
    if problems:
        return None, problems
    return _with_names(indices, int(indices.max(initial=-1)) + 1, class_names), []


def _with_names(indices: np.ndarray, classes: int, class_names: Sequence[str] | None, one_hot: bool = False) -> Labels:
    if class_names is None:
        return Labels(indices, tuple(str(number) for number in range(classes)), "numbered", one_hot)
    return Labels(indices, tuple(class_names), "declared", one_hot)


def _positions(labels: Sequence[str], class_names: Sequence[str]) -> np.ndarray:
    position = {name: index for index, name in enumerate(class_names)}
    return np.array([position[label] for label in labels], dtype=np.int64)


def _text(label: object) -> str:
    return label.decode() if isinstance(label, bytes) else str(label)
