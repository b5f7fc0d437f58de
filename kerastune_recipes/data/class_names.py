"""What a class may be called: names go into files, plans, pages and terminals, and into labels.txt, one a line."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any

from kerastune_recipes import printable
from kerastune_recipes.errors import listed

# Characters of a name; file systems allow 255 bytes, and the longest name of ImageNet has 121.
LONGEST = 1000

# A whole or decimal number; longer ones are no labels, and take long to read.
_NUMBER = re.compile(r"[+-]?\d{1,18}(\.\d{1,18})?")
# How names can differ for a computer and be the same for a reader, from the least to the most.
_SAME: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("in how a number is written", lambda name: _number_as_text(name)),
    ("in blanks", lambda name: " ".join(name.split())),
    ("in capitals", lambda name: name.casefold()),
    ("in separators", lambda name: re.sub(r"[\s_-]+", " ", name)),
    ("in forms of the same characters", lambda name: unicodedata.normalize("NFKC", name)),
)


def normal(name: str) -> str:
    """Return a name in the one form in which names are kept: letters with accents as one character (NFC).

    Args:
        name: A name as its source writes it; macOS stores accents of file names as characters of their own.

    Example:
        >>> normal("Mo\\u0308we") == "M\\u00f6we"
        True
    """
    return unicodedata.normalize("NFC", name)


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Return names as classes are ordered: numbers by their value, other names as text.

    Args:
        names: Names of classes; if one is not a number, all are text.

    Example:
        >>> in_order({"10", "9"}), in_order({"10", "9", "ants"})
        (('9', '10'), ('10', '9', 'ants'))
    """
    names = list(names)
    if all(map(is_number, names)):
        return tuple(sorted(names, key=lambda name: (Decimal(name), name)))
    return tuple(sorted(names))


def is_number(name: str) -> bool:
    """Return whether a name is a whole or decimal number."""
    return _NUMBER.fullmatch(name) is not None


def problems(names: Sequence[object]) -> list[str]:
    """Return what is wrong with the names of classes, one sentence for each kind of mistake.

    Args:
        names: The names, in label order. Blanks around a name are part of it.

    Example:
        >>> problems(["ants", "bees"])
        []
        >>> problems(["ants", "ants"])
        ['class names that occur more than once: "ants"; give each class its own.']
    """
    return [f"{mistake}; {remedy}." for mistake, remedy in _mistakes(names)]


def mistakes(names: Sequence[object]) -> list[str]:
    """Return the same without what to do, for a place where the names cannot be changed.

    Example:
        >>> mistakes(["ants", "ants"])
        ['class names that occur more than once: "ants"']
    """
    return [mistake for mistake, _ in _mistakes(names)]


def look_alikes(names: Sequence[str]) -> list[str]:
    """Return which names a reader takes for one, one sentence for each way in which they differ.

    Args:
        names: The names of all classes.

    Example:
        >>> look_alikes(["ant", "Cat", "cat", "7", "007"])[1]
        'classes that differ only in capitals: "Cat" and "cat"; if they are one class, give it one name.'
    """
    found: dict[str, list[str]] = defaultdict(list)
    alike = {name: name for name in names}
    for difference, same in _SAME:
        alike = {name: same(form) for name, form in alike.items()}
        groups = defaultdict(list)
        for name, form in alike.items():
            groups[form].append(name)
        for members in groups.values():
            if len(members) > 1:
                found[difference].append(" and ".join(map(_quoted, members)))
                # One of them stands for all, so that they are named once.
                for name in members[1:]:
                    del alike[name]
    return [
        f"classes that differ only {difference}: {listed(pairs)}; if they are one class, give it one name."
        for difference, pairs in found.items()
    ]


def _number_as_text(name: str) -> str:
    if not is_number(name.strip()):
        return name
    # Not `normalize`, which writes 10 as 1E+1.
    value = Decimal(name.strip())
    return f"{value.to_integral_value() if value == value.to_integral_value() else value.normalize():f}"


def _mistakes(names: Sequence[object]) -> list[tuple[str, str]]:
    texts = [name for name in names if isinstance(name, str)]
    undecodable = [name for name in texts if not _is_unicode(name)]
    found: list[tuple[str, list[Any], str]] = [
        ("that are not text", [name for name in names if not isinstance(name, str)], "write them as texts"),
        ("that are blank", [name for name in texts if not name.strip()], "name the class"),
        ("that are not UTF-8", undecodable, "rename the class"),
        (
            "with control characters or line breaks",
            [name for name in printable.unsafe(texts) if name not in undecodable],
            "rename the class",
        ),
        (f"of more than {LONGEST:,} characters", [name for name in texts if len(name) > LONGEST], "rename the class"),
        (
            "that occur more than once",
            [name for name, count in Counter(texts).items() if count > 1],
            "give each class its own",
        ),
    ]
    return [(f"class names {what}: {listed(map(_quoted, wrong))}", remedy) for what, wrong, remedy in found if wrong]


def _is_unicode(name: str) -> bool:
    # Bytes of a file name that are no UTF-8 come as halves of surrogate pairs (PEP 383).
    return not any("\ud800" <= character <= "\udfff" for character in name)


def _quoted(name: object) -> str:
    return f'"{printable.shortened(name)}"' if isinstance(name, str) else printable.shortened(repr(name))
