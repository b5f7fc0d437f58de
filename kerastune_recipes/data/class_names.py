"""What a class may be called: names go into files, plans, pages and terminals, and into labels.txt, one a line."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from kerastune_recipes import printable
from kerastune_recipes.errors import listed

# Characters of a name; file systems allow 255 bytes, and the longest name of ImageNet has 121.
LONGEST = 1000


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


def _mistakes(names: Sequence[object]) -> list[tuple[str, str]]:
    texts = [name for name in names if isinstance(name, str)]
    found: list[tuple[str, list[Any], str]] = [
        ("that are not text", [name for name in names if not isinstance(name, str)], "write them as texts"),
        ("that are blank", [name for name in texts if not name.strip()], "name the class"),
        ("with control characters or line breaks", printable.unsafe(texts), "rename the class"),
        (f"of more than {LONGEST:,} characters", [name for name in texts if len(name) > LONGEST], "rename the class"),
        (
            "that occur more than once",
            [name for name, count in Counter(texts).items() if count > 1],
            "give each class its own",
        ),
    ]
    return [(f"class names {what}: {listed(map(_quoted, wrong))}", remedy) for what, wrong, remedy in found if wrong]


def _quoted(name: object) -> str:
    return f'"{printable.shortened(name)}"' if isinstance(name, str) else printable.shortened(repr(name))
