"""Strict frozen records read from YAML: every error at once, each with its dotted path."""

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from itertools import islice
from numbers import Integral, Real
from types import UnionType
from typing import Annotated, Any, Self, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError

from kerastune_recipes import printable, yaml_files
from kerastune_recipes.errors import RecipeError, did_you_mean

# Keys and values of older recipes, plans and overrides, and their names today.
RENAMED_KEYS = {"convention": "preprocessing", "source_classes": "pretrained_classes"}
RENAMED_VALUES = {"source_classifier": "pretrained_classifier"}
# Problems of one file that are named; nobody reads more.
_MOST_PROBLEMS = 100


class Record(BaseModel):
    """A frozen, strict record: unknown keys are refused, values are never converted silently, numbers are finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @classmethod
    def from_data(cls, data: Any, where: str) -> Self:
        """Read a record from plain data, as YAML gives it.

        Args:
            data: Nested dictionaries, lists and scalars.
            where: Name of the data for error messages, such as its file.

        Raises:
            RecipeError: One sentence for each problem.
        """
        # Through JSON, because strict validation of Python data does not accept a list for a tuple.
        text = _as_json(data, where)
        data = json.loads(text)
        if not isinstance(data, Mapping):
            received = f"received {_shown(data)}" if data is not None else "and there is nothing"
            raise RecipeError(f"{where}: expected keys and values, {received}.")
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise RecipeError(*_sentences(cls, error.errors(include_url=False), data, where)) from None

    def to_data(self) -> dict[str, Any]:
        """Return plain data that `from_data` reads back to an equal record."""
        return {
            key: _plain(value)
            for key, value in self
            if value is not None or type(self).model_fields[key].default is not None
        }


def _as_json(data: Any, where: str) -> str:
    """Return data as JSON; what YAML could not hold, only Python code, is refused."""
    try:
        text = json.dumps(data, default=_as_plain, ensure_ascii=False)
        text.encode()
        return text
    except RecursionError:
        problem = "values are too deep, one in another"
    except UnicodeError:  # half of a surrogate pair, as in a path that is not UTF-8
        problem = "a text cannot be written as UTF-8"
    except (TypeError, ValueError) as error:  # such as a set, a list in itself, or an integer of 5,000 digits
        problem = printable.shortened(str(error), most=100)
    raise RecipeError(f"{where}: {problem}; give texts, numbers, true, false, lists, and mappings with texts as keys.")


def _as_plain(value: object) -> str | int | float:
    """Return a path, or a number of NumPy, as plain data."""
    if isinstance(value, os.PathLike):
        return str(value)
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    raise TypeError(f"a value is of type {type(value).__name__}")


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.to_data()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _sentences(record: type[BaseModel], problems: Sequence[Any], data: Any, where: str) -> list[str]:
    """Rewrite pydantic's errors in plain words, one sentence for each place."""
    if problems[0]["type"] == "json_invalid":
        return [f"{where}: values are too deep, one in another; a recipe has some ten levels."]
    by_place: dict[tuple[int | str, ...], list[Any]] = {}
    for problem in problems:
        by_place.setdefault(_place(problem, data), []).append(problem)
    # In a union of words and a record, a record with a wrong key is also reported as "none of the words", and a list
    # whose items are all wrong as too short.
    outer = {place[:length] for place in by_place for length in range(len(place))}
    by_place = {place: found for place, found in by_place.items() if place not in outer}
    # A key under its old name is also reported as missing under its new one.
    renamed = {(*place[:-1], RENAMED_KEYS[str(place[-1])]) for place in by_place if place and place[-1] in RENAMED_KEYS}
    by_place = {
        place: found for place, found in by_place.items() if place not in renamed or found[0]["type"] != "missing"
    }
    sentences = [
        f"{where}: {_dotted(place, data) or 'the file'}: {_complaint(record, place, found)}"
        for place, found in islice(by_place.items(), _MOST_PROBLEMS)
    ]
    rest = len(by_place) - len(sentences)
    return [*sentences, f"{where}: there are {rest:,} more problems."] if rest else sentences


def _place(problem: Any, data: Any) -> tuple[int | str, ...]:
    """Return the problem's path as the user wrote it, without the union members that pydantic adds."""
    place: list[int | str] = []
    last = len(problem["loc"]) - 1
    for position, step in enumerate(problem["loc"]):
        if isinstance(data, list) and isinstance(step, int):
            data = data[step] if step < len(data) else None
        elif isinstance(data, Mapping) and step in data:
            data = data[step]
        elif not (problem["type"] == "missing" and position == last):
            continue
        place.append(step)
    return tuple(place)


def _dotted(place: Sequence[int | str], data: Any) -> str:
    """Write a path as an override would: a list item with a name appears as its name."""
    steps = []
    for step in place:
        keys = range(len(data)) if isinstance(data, list) else data if isinstance(data, Mapping) else ()
        data = data[step] if step in keys else None
        named = isinstance(step, int) and isinstance(data, Mapping) and isinstance(data.get("name"), str)
        steps.append(printable.shortened(data["name"] if named else str(step)))
    return ".".join(steps)


def _complaint(record: type[BaseModel], place: tuple[int | str, ...], problems: list[Any]) -> str:
    kinds = {problem["type"]: problem for problem in problems}
    if "extra_forbidden" in kinds:
        known, key = _keys_at(record, place[:-1]), str(place[-1])
        if RENAMED_KEYS.get(key) in known:
            return f'there is no key "{key}" here; it is now called "{RENAMED_KEYS[key]}".'
        return (
            f'there is no key "{printable.shortened(key)}" here.{did_you_mean(key, known)} Known: {", ".join(known)}.'
        )
    if "missing" in kinds:
        return "this key is missing." if isinstance(place[-1], str) else "this item of the list is missing."
    if "value_error" in kinds:
        message = str(kinds["value_error"]["ctx"]["error"])
        return message if message.endswith(("?", ".")) else f"{message}."
    received = problems[0]["input"]
    words = _literal_words(problems)
    if isinstance(received, str) and RENAMED_VALUES.get(received) in words:
        return f'"{received}" is now called "{RENAMED_VALUES[received]}".'
    rules = [_rule(problem) for problem in problems if problem["type"] != "literal_error"]
    expected = " or ".join([*rules, *(f'"{word}"' for word in words)])
    hint = did_you_mean(received, words) if isinstance(received, str) else ""
    return f"expected {expected}; received {_shown(received)}.{hint}"


def _literal_words(problems: list[Any]) -> list[str]:
    texts = [problem["ctx"]["expected"] for problem in problems if problem["type"] == "literal_error"]
    return [word for text in texts for word in re.findall(r"'([^']*)'", text)]


def _rule(problem: Any) -> str:
    sizes = {
        "too_short": "a list of at least {min_length}",
        "too_long": "a list of at most {max_length}",
        "string_too_short": "a text",
        "string_too_long": "a text of at most {max_length} characters",
    }
    if problem["type"] in sizes:
        return sizes[problem["type"]].format(**problem["ctx"])
    text = problem["msg"].removeprefix("Input ").removeprefix("should be ").removeprefix("should ")
    return text.replace("valid array", "list").replace("valid dictionary", "mapping").replace("an object", "a mapping")


def _shown(value: object) -> str:
    text = type(value).__name__ if isinstance(value, BaseModel) else json.dumps(value, ensure_ascii=False)
    return printable.shortened(text)


def _keys_at(record: type[BaseModel], path: Sequence[int | str]) -> list[str]:
    """Return the known keys at a path."""
    for step in path:
        if isinstance(step, int):
            continue
        field = record.model_fields.get(str(step))
        inner = _record_in(field.annotation) if field else None
        if inner is None:
            return []
        record = inner
    return list(record.model_fields)


def _record_in(annotation: Any) -> type[BaseModel] | None:
    """Find the record inside an annotation such as `tuple[Phase, ...] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (tuple, list, dict, Union, UnionType, Annotated):
        for inner in get_args(annotation):
            found = _record_in(inner)
            if found:
                return found
    return None


def digest(record: Record) -> str:
    """Return the SHA-256 of a record as YAML; equal records have equal digests."""
    return hashlib.sha256(yaml_files.dump(record.to_data()).encode()).hexdigest()
