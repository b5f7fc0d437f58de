"""Single values of labels and groups, whatever holds them: missing ones, bytes, whole floats, lists."""

import math
import sys
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from kerastune_recipes import printable

# Types that hold several values.
_CONTAINERS = (list, tuple, set, frozenset, np.ndarray)
# Types of most values, which are as Python has them.
_PLAIN = (str, int, float, bytes, bool, type(None))


def listed_values(given: Any) -> list[Any]:
    """Return what is given for each image, as Python's own values; a masked value becomes None.

    Args:
        given: A list, or an array of any library with one axis.

    Raises:
        TypeError: It is not one value for each image.

    Example:
        >>> listed_values(np.array([b"ant", b"bee"]))
        [b'ant', b'bee']
    """
    if isinstance(given, np.ndarray):  # of masked values `tolist` makes None
        return [plain(value) for value in given.tolist()]
    return [plain(value) for value in given]


def distinct(values: Iterable[Any]) -> tuple[list[Any], np.ndarray]:
    """Return the different values in the order of their first occurrence, and the position of each value among them.

    Args:
        values: Values of any types; lists and the like count as different.

    Returns:
        The values, and int64 (n,).

    Example:
        >>> distinct(["ant", "bee", "ant"])
        (['ant', 'bee'], array([0, 1, 0]))
    """
    known: dict[Any, int] = {}
    found: list[Any] = []
    positions: list[int] = []
    for value in values:
        key = (value.__class__, value)  # True equals 1
        try:
            position = known.setdefault(key, len(found))
        except TypeError:  # not hashable
            position = len(found)
        if position == len(found):
            found.append(value)
        positions.append(position)
    return found, np.array(positions, dtype=np.int64)


def plain(value: Any) -> Any:
    """Return a single value as Python has it: out of an array or tensor without axes, and of a list of one.

    Example:
        >>> plain(np.array(b"ant")), plain(np.int8(3)), plain(["ant"])
        (b'ant', 3, 'ant')
    """
    if type(value) in _PLAIN:
        return value
    if value is np.ma.masked:
        return None
    if hasattr(value, "numpy") and not isinstance(value, np.ndarray):  # a tensor
        value = value.numpy()
    if isinstance(value, np.ndarray) and value.size == 1 and value.ndim <= 1:
        return plain(value.reshape(-1)[0])
    if isinstance(value, list | tuple | set | frozenset) and len(value) == 1:
        return plain(next(iter(value)))
    return value.item() if isinstance(value, np.generic) else value


def is_missing(value: Any) -> bool:
    """Return whether a value says that there is none: None, NaN, NaT, pandas.NA, or a text of blanks.

    Example:
        >>> [is_missing(value) for value in (None, float("nan"), " ", "ant", 0)]
        [True, True, True, False, False]
    """
    if value is None:
        return True
    if isinstance(value, str | bytes):
        return not value.strip()
    if isinstance(value, float | np.floating):
        return math.isnan(value)
    if isinstance(value, np.datetime64 | np.timedelta64):
        return bool(np.isnat(value))
    pandas = sys.modules.get("pandas")
    return pandas is not None and (value is pandas.NA or value is pandas.NaT)


def has_several(value: Any) -> bool:
    """Return whether a value holds several, or none, where there must be one.

    Example:
        >>> has_several(["ant", "bee"]), has_several("ant")
        (True, False)
    """
    return isinstance(value, _CONTAINERS)


def is_single(value: Any) -> bool:
    """Return whether a value can be a label or a group: a text, bytes or a number that is not complex."""
    return isinstance(value, str | bytes | Real)


def is_utf8(value: Any) -> bool:
    """Return whether a value is no bytes, or bytes of a text."""
    if not isinstance(value, bytes):
        return True
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def shown(value: Any) -> str:
    """Return a value as an error shows it.

    Example:
        >>> shown(np.array([b"ant", b"bee"]))
        "['ant', 'bee']"
    """
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list):
        value = [each.decode(errors="backslashreplace") if isinstance(each, bytes) else each for each in value]
    return printable.shortened(repr(value))


def as_text(value: Any) -> str:
    """Return a value as text without blanks around it; a whole float as a whole number, bytes that are no text escaped.

    Example:
        >>> as_text(b" ant"), as_text(1.0), as_text(0.5)
        ('ant', '1', '0.5')
    """
    if isinstance(value, bytes):
        value = value.decode(errors="backslashreplace")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def are_numbers(values: Iterable[Any]) -> bool:
    """Return whether all values are numbers."""
    return all(isinstance(value, Real) for value in values)


def as_numbers(values: Sequence[Any]) -> np.ndarray:
    """Return numbers as an array: integers where all are, and no larger than 64 bits hold.

    Example:
        >>> as_numbers([True, 3]), as_numbers([0, 10**30]).dtype
        (array([1, 3]), dtype('float64'))
    """
    if all(isinstance(value, Integral) and -(2**63) <= int(value) < 2**63 for value in values):
        return np.array([int(value) for value in values], dtype=np.int64)
    return np.array([_float(value) for value in values])


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer of more than 308 digits
        return math.inf if value > 0 else -math.inf
