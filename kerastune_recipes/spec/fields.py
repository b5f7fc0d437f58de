"""The kinds of values in recipes and plans, each with its bounds: a file comes from a stranger until it is checked."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from kerastune_recipes import printable, units
from kerastune_recipes.data import class_names
from kerastune_recipes.errors import listed

# Pixels a side.
LARGEST_IMAGE = 4096
# The numbers in arguments of layers are pixels, at most 255, sizes, or smaller.
_LARGEST_ARGUMENT, _LARGEST_SEED = LARGEST_IMAGE, 2**32
# Entries of a list; the largest networks of the table have a thousand layers.
MOST_ENTRIES = 1000


def _duration(text: str) -> str:
    units.parse_duration(text)
    return text


def _positive_duration(text: str) -> str:
    if not units.parse_duration(text).amount:
        raise ValueError(f'the duration of a phase must be above zero; received "{text}"')
    return text


def _name(text: str) -> str:
    character = printable.unsafe_character(text)
    if character:
        raise ValueError(f"the character U+{ord(character):04X} has no place in a name; remove it")
    return text


def _phase_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", name):
        received = printable.shortened(name)
        raise ValueError(f'a phase is named by 1 to 64 letters, digits, "_", "-" and "."; received "{received}"')
    return name


def _class_names(names: tuple[str, ...]) -> tuple[str, ...]:
    problems = class_names.problems(names)
    if problems:
        raise ValueError(" ".join(problems))
    return names


def _taps(names: tuple[str, ...]) -> tuple[str, ...]:
    if not names:
        raise ValueError('name at least one stage or layer, or write "all", "early" or "last"')
    return _distinct(names)


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    twice = repeated(names)
    if twice:
        raise ValueError(f"{listed(twice)} is listed twice; list each once")
    return names


def _arguments(arguments: dict[str, Any]) -> dict[str, Any]:
    for key, value in arguments.items():
        most = _LARGEST_SEED if key == "seed" else _LARGEST_ARGUMENT
        for number in _numbers(value):
            if not abs(number) <= most:  # NaN is not, either
                raise ValueError(f"{printable.shortened(key)}: numbers are from -{most} to {most}; received {number}")
    return arguments


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _numbers(item)
    elif isinstance(value, int | float):
        yield value


def repeated(items: Iterable[str]) -> list[str]:
    """Return what occurs more than once, sorted.

    Example:
        >>> repeated(["a", "b", "a"])
        ['a']
    """
    return sorted(item for item, count in Counter(items).items() if count > 1)


Auto = Literal["auto"]
DurationText = Annotated[str, AfterValidator(_duration)]
PhaseDuration = Annotated[DurationText, AfterValidator(_positive_duration)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
Multiplier = Annotated[float, Field(gt=0, le=1000)] | Literal["frozen"]
# Whole numbers of a size that a run can have; the data and the network set narrower bounds.
ImageSize = Annotated[int, Field(ge=8, le=LARGEST_IMAGE)]
FeatureViews = Annotated[int, Field(ge=1, le=64)]
FoldCount = Annotated[int, Field(ge=2, le=100)]
Count = Annotated[int, Field(ge=1, le=10**9)]
# Texts that messages and pages show, and that name layers and files.
Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_name)]
FilePath = Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_name)]
Sentence = Annotated[str, Field(min_length=1, max_length=2000)]
# Plain, because it is also a step of a dotted key.
PhaseName = Annotated[str, AfterValidator(_phase_name)]
ClassNames = Annotated[tuple[str, ...], Field(min_length=2), AfterValidator(_class_names)]
Taps = Annotated[tuple[Name, ...], Field(max_length=MOST_ENTRIES), AfterValidator(_taps)]
Patterns = Annotated[tuple[Name, ...], Field(max_length=MOST_ENTRIES)]
Rules = Annotated[tuple[tuple[Name, Multiplier], ...], Field(min_length=1, max_length=MOST_ENTRIES)]
LayerArguments = Annotated[dict[str, Any], AfterValidator(_arguments)]
