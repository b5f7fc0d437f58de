"""Reads labels: integers, one-hot rows or names."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kerastune_recipes.data import checks
from kerastune_recipes.data.class_names import in_order, normal
from kerastune_recipes.data.sources import cells
from kerastune_recipes.data.sources.parts import Naming
from kerastune_recipes.errors import listed

# What NumPy writes for missing values, where it makes text of all.
_WRITTEN = ("nan", "None", "NaT", "<NA>")
_NUMBERS = (int, float, np.bool_, np.integer, np.floating)


@dataclass(frozen=True)
class Labels:
    """Labels as positions in a list of class names.

    Args:
        indices: int64 (n,), the position of each label in `class_names`.
        class_names: Name of each class.
        naming: Where the names come from.
        one_hot: True if the labels were given as one-hot rows.
        numbering: The names by the numbers that were given as labels; None if there were no numbers or no names.
        doubts: What is doubtful about the labels, one sentence each.
    """

    indices: np.ndarray
    class_names: tuple[str, ...]
    naming: Naming
    one_hot: bool = False
    numbering: tuple[str, ...] | None = None
    doubts: tuple[str, ...] = ()


def read_labels(given: Any, class_names: Sequence[str] | None = None) -> tuple[Labels | None, list[str]]:
    """Convert labels of any form to positions in a list of class names.

    Args:
        given: Integers (n,) or (n, 1), also as floats; one-hot rows (n, classes); or names (n,), as text or UTF-8
            bytes; blanks around a name are no part of it. A list, or an array of any library that NumPy can read.
        class_names: Class names of the user in label order, or None.

    Returns:
        The labels, or None if they cannot be used; and the problems.

    Example:
        >>> labels, problems = read_labels(["wasp", "ant"])
        >>> labels.class_names, labels.indices.tolist()
        (('ant', 'wasp'), [1, 0])
    """
    if class_names is not None:
        class_names = [normal(name) if isinstance(name, str) else name for name in class_names]
    if given is None:
        return None, ["there are no labels; give one for each image."]
    array = _as_array(given)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim not in (1, 2):
        what = f"have shape {array.shape}" if array.ndim else f"are a {type(given).__name__}"
        return None, [f"labels {what}; give (n,) integers or names, or (n, classes) one-hot rows."]
    if array.dtype.kind not in "biufOSTU":
        missing = checks.missing_labels(np.flatnonzero([cells.is_missing(value) for value in array]).tolist())
        return None, missing or [f"labels are of type {array.dtype}; give integers, one-hot rows or names."]
    if array.dtype.kind in "biuf":
        return _rows(array, class_names) if array.ndim == 2 else _integers(array, class_names)
    values, positions = cells.distinct(cells.listed_values(array))
    problems = _problems(values, positions)
    if problems:
        return None, problems
    if values and cells.are_numbers(values):
        return _integers(cells.as_numbers(values)[positions], class_names)
    texts = np.array([normal(cells.as_text(value)) for value in values], dtype=object)
    labels, problems = _names(texts[positions].tolist(), class_names)
    if labels is not None and isinstance(given, np.ndarray) and array.dtype.kind == "U":
        written = checks.written_missing(_where((value in _WRITTEN for value in values), positions), array.tolist())
        labels = replace(labels, doubts=tuple(written))
    return labels, problems


def read_groups(given: Any, images: int) -> tuple[np.ndarray | None, list[str]]:
    """Convert the groups of images to names.

    Args:
        given: Integers (also as floats) or names (n,), or None for no groups.
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
    array = _as_array(given)
    problems = checks.group_labels(given, array.shape, images)
    if problems:
        return None, problems
    values, positions = cells.distinct(cells.listed_values(array))
    problems = checks.missing_labels(_where(map(cells.is_missing, values), positions), "groups")
    wrong = [
        cells.shown(value)
        for value in values
        if not cells.is_single(value) or not cells.is_utf8(value) or (isinstance(value, float) and value % 1)
    ]
    if wrong and not problems:
        return None, [f"groups that are neither whole numbers nor names: {listed(wrong)}; give one of these."]
    texts = [] if problems else [normal(cells.as_text(value)) for value in values]
    return (None if problems else np.array(texts, dtype=str)[positions]), problems


def collect_names(labels: Sequence[str]) -> Labels:
    """Number the labels by name in sorted order; numbers are sorted by value.

    Example:
        >>> collect_names(["10", "9", "10"]).class_names
        ('9', '10')
    """
    labels = [normal(label) for label in labels]
    class_names = in_order(set(labels))
    return Labels(_positions(labels, class_names), class_names, "collected")


def _names(labels: list[str], class_names: Sequence[str] | None) -> tuple[Labels | None, list[str]]:
    if class_names is None:
        return collect_names(labels), []
    problems = checks.unknown_labels(labels, class_names)
    if problems:
        return None, problems
    return Labels(_positions(labels, class_names), tuple(class_names), "declared"), []


def _as_array(given: Any) -> np.ndarray:
    """Return what is given for each image as an array; values that NumPy would change or refuse as Python objects.

    NumPy makes "nan" of a missing value among names, drops masks, and refuses lists of different lengths.
    """
    if isinstance(given, np.ma.MaskedArray):
        given = given.tolist()  # with None where the mask is
    if not isinstance(given, list | tuple):
        return np.asarray(given)
    if given and all(issubclass(kind, _NUMBERS) for kind in set(map(type, given))):
        numbers = np.asarray(given)
        return numbers if numbers.dtype.kind in "biuf" else cells.as_numbers(given)
    values = [cells.plain(value) for value in given]
    if not any(map(cells.has_several, values)):
        return _objects(values)
    try:
        rows = np.asarray(values)
        return rows if rows.dtype.kind in "biuf" else np.asarray(values, dtype=object)
    except ValueError:  # of different lengths
        return _objects(values)


def _objects(values: Sequence[Any]) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    for index, value in enumerate(values):
        array[index] = value
    return array


def _where(wrong: Iterable[bool], positions: np.ndarray) -> list[int]:
    """Return the images that have a wrong value.

    Args:
        wrong: For each different value, whether it is.
        positions: int (n,), the value of each image among them.
    """
    return np.flatnonzero(np.array(list(wrong), dtype=bool)[positions]).tolist()


def _problems(values: Sequence[Any], positions: np.ndarray) -> list[str]:
    """Return what is wrong with labels that are not the numbers of an array; for the arguments see `cells.distinct`."""
    problems = checks.missing_labels(_where(map(cells.is_missing, values), positions))
    several = _where(map(cells.has_several, values), positions)
    problems += checks.several_labels(several, [cells.shown(values[positions[index]]) for index in several])
    others = {
        type(value).__name__
        for value in values
        if not (cells.is_missing(value) or cells.has_several(value) or cells.is_single(value))
    }
    if others:
        problems.append(f"labels are of type {listed(sorted(others))}; give integers, one-hot rows or names.")
    return problems + checks.not_utf8(_where((not cells.is_utf8(value) for value in values), positions))


def _rows(rows: np.ndarray, class_names: Sequence[str] | None) -> tuple[Labels | None, list[str]]:
    problems = checks.missing_labels(np.flatnonzero(np.isnan(rows).any(axis=1)).tolist()) or checks.one_hot(rows)
    if class_names is not None:
        problems += checks.one_hot_width(rows.shape[1], len(class_names))
    if problems:
        return None, problems
    return _with_names(rows.argmax(axis=1), rows.shape[1], class_names, one_hot=True), []


def _integers(labels: np.ndarray, class_names: Sequence[str] | None) -> tuple[Labels | None, list[str]]:
    problems = checks.missing_labels(np.flatnonzero(np.isnan(labels)).tolist()) + checks.whole_numbers(labels)
    # Before the conversion to 64 bits, into which not all numbers fit.
    problems = problems or checks.label_range(labels, None if class_names is None else len(class_names))
    if not problems and class_names is None:
        problems = checks.label_ids(labels)
    if problems:
        return None, problems
    indices = labels.astype(np.int64)
    return _with_names(indices, int(indices.max(initial=-1)) + 1, class_names), []


def _with_names(indices: np.ndarray, classes: int, class_names: Sequence[str] | None, one_hot: bool = False) -> Labels:
    if class_names is None:
        return Labels(indices, tuple(str(number) for number in range(classes)), "numbered", one_hot)
    return Labels(indices, tuple(class_names), "declared", one_hot, numbering=tuple(class_names))


def _positions(labels: Sequence[str], class_names: Sequence[str]) -> np.ndarray:
    position = {name: index for index, name in enumerate(class_names)}
    return np.array([position[label] for label in labels], dtype=np.int64)
