"""YAML as our files use it: plain values within bounds, duplicate keys refused, and `1e-3` read as a number.

Texts come from strangers too. So nothing in one is built but mappings, lists, texts, numbers, true, false and null; and
a text is refused before it costs much time or memory.
"""

import math
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kerastune_recipes import printable
from kerastune_recipes.errors import RecipeError, reason

# A recipe has some 2,000 characters and 100 values. A plan for the 21,841 classes of ImageNet-21k has 700,000
# characters and, with pretrained classes, 90,000 values. PyYAML reads at least 20,000 values a second.
MOST_CHARACTERS = 2**20
MOST_VALUES = 100_000
# A recipe has 7 levels, arguments of augmentation layers a few more; Python's own limit is near 1,000 calls.
MOST_LEVELS = 50
# Digits of the longest number; Python takes quadratic time to read digits, and refuses more than 4,300.
_LONGEST_NUMBER = 40

_PREFIX = "tag:yaml.org,2002:"
_BOOL = re.compile(r"(?:yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF)$")
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9_]*|0b[01][01_]*|0x[0-9a-fA-F][0-9a-fA-F_]*)$")
# PyYAML follows YAML 1.1, where 1e-3 without a dot is a text.
_FLOAT = re.compile(
    r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?$"
    r"|[-+]?\.(?:inf|Inf|INF)$|\.(?:nan|NaN|NAN)$"
)
# What a plain word may mean, with its first characters. Left out of YAML 1.1 are dates, numbers to the base 60 (1:30)
# and octal numbers (0224 is 148): all of them are texts here.
_MEANINGS = (
    ("bool", _BOOL, "yYnNtTfFoO"),
    ("null", re.compile(r"(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""]),
    ("int", _INT, "-+0123456789"),
    ("float", _FLOAT, "-+0123456789."),
    ("merge", re.compile(r"<<$"), "<"),
)


class _RefusedError(yaml.MarkedYAMLError):
    """Valid YAML that our files do not use."""


@dataclass(frozen=True)
class _Extent:
    """What a node holds, itself included, as if every alias in it were written out."""

    values: int
    characters: int
    levels: int


class _Loader(yaml.SafeLoader):
    """Reads plain values only, within bounds."""

    def __init__(self, text: str):
        super().__init__(text)
        self._values = self._characters = self._level = 0
        self._extents: dict[int, _Extent] = {}

    def compose_node(self, parent: Any, index: int) -> Any:
        event = self.peek_event()
        mark: Any = event.start_mark
        values, characters = self._values, self._characters
        self._level += 1
        self._check(self._level, mark)
        node: Any = super().compose_node(parent, index)
        self._level -= 1
        if isinstance(event, yaml.AliasEvent):
            extent = self._extents.get(id(node))
            if extent is None:
                raise _RefusedError(problem=f"*{event.anchor} contains itself", problem_mark=mark)
            self._values += extent.values
            self._characters += extent.characters
        else:
            self._values += 1
            self._characters += len(node.value) if isinstance(node, yaml.ScalarNode) else 0
            levels = 1 + max((self._extents[id(each)].levels for each in _inner(node)), default=0)
            self._extents[id(node)] = _Extent(self._values - values, self._characters - characters, levels)
        self._check(self._extents[id(node)].levels, mark)
        return node

    def _check(self, levels: int, mark: Any) -> None:
        if levels > MOST_LEVELS:
            raise _RefusedError(problem=f"there are more than {MOST_LEVELS} levels, one in another", problem_mark=mark)
        if self._values > MOST_VALUES or self._characters > MOST_CHARACTERS:
            raise _RefusedError(
                problem=f"there are more than {MOST_VALUES:,} values or {MOST_CHARACTERS:,} characters, counting what "
                "is behind an alias (*) each time",
                problem_mark=mark,
            )

    def construct_mapping(self, node: Any, deep: bool = False) -> dict:
        if not isinstance(node, yaml.MappingNode):
            return super().construct_mapping(node, deep)  # which raises the error
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = _key(key_node)
            if key in result:
                raise yaml.constructor.ConstructorError(
                    None, None, f'the key "{printable.shortened(key)}" appears twice; keep one', key_node.start_mark
                )
            result[key] = self.construct_object(value_node, deep)
        return result


def _inner(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [each for pair in node.value for each in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else []


def _key(node: yaml.Node) -> str:
    """Return a key as it is written: a class may be called 1, no or 2026-01-01."""
    if not isinstance(node, yaml.ScalarNode):
        raise yaml.constructor.ConstructorError(
            None, None, "a key must be a word; put {} or [] in quotes", node.start_mark
        )
    if node.tag == f"{_PREFIX}merge":
        raise _RefusedError(
            problem="merge keys (<<) are not used here; write the keys out", problem_mark=node.start_mark
        )
    if node.tag not in _CONSTRUCTORS:
        raise _unknown_tag(node)
    return node.value


def _whole_number(loader: _Loader, node: Any) -> int:
    text = _number_text(loader, node, _INT, "whole number")
    return int(text.replace("_", ""), 0)


def _number(loader: _Loader, node: Any) -> float:
    text = _number_text(loader, node, _FLOAT, "number")
    value = float(text.replace("_", "").replace(".inf", "inf").replace(".nan", "nan"))
    if math.isinf(value) and "inf" not in text:
        raise _RefusedError(problem=f"{text} is too large for a number", problem_mark=node.start_mark)
    return value


def _number_text(loader: _Loader, node: Any, form: re.Pattern[str], what: str) -> str:
    """Return a number's text in small letters, checked before Python reads its digits."""
    text = loader.construct_scalar(node)
    if len(text) > _LONGEST_NUMBER:
        problem = f"a number of {len(text):,} characters is too long; {_LONGEST_NUMBER} are the most"
        raise _RefusedError(problem=problem, problem_mark=node.start_mark)
    if not form.match(text):
        raise _RefusedError(problem=f'"{printable.shortened(text)}" is not a {what}', problem_mark=node.start_mark)
    return text.lower()


def _truth(loader: _Loader, node: Any) -> bool:
    text = loader.construct_scalar(node).lower()
    if text not in loader.bool_values:
        raise _RefusedError(problem=f'"{printable.shortened(text)}" is not true or false', problem_mark=node.start_mark)
    return loader.bool_values[text]


def _unknown_tag(node: yaml.Node) -> _RefusedError:
    tag = printable.shortened(node.tag.replace(_PREFIX, "!!"))
    return _RefusedError(problem=f"the tag {tag} is not used here; write the plain value", problem_mark=node.start_mark)


def _refuse_tag(loader: _Loader, node: yaml.Node) -> None:
    raise _unknown_tag(node)


_Loader.yaml_implicit_resolvers = {}
for _name, _form, _first in _MEANINGS:
    _Loader.add_implicit_resolver(f"{_PREFIX}{_name}", _form, list(_first))

_CONSTRUCTORS: dict[str | None, Callable] = {
    f"{_PREFIX}null": yaml.SafeLoader.construct_yaml_null,
    f"{_PREFIX}bool": _truth,
    f"{_PREFIX}int": _whole_number,
    f"{_PREFIX}float": _number,
    f"{_PREFIX}str": yaml.SafeLoader.construct_yaml_str,
    f"{_PREFIX}seq": yaml.SafeLoader.construct_yaml_seq,
    f"{_PREFIX}map": yaml.SafeLoader.construct_yaml_map,
    None: _refuse_tag,
}
_Loader.yaml_constructors = {}
for _tag, _constructor in _CONSTRUCTORS.items():
    _Loader.add_constructor(_tag, _constructor)


class _Dumper(yaml.SafeDumper):
    """PyYAML's safe dumper, with short lists kept on one line, and escapes for what would not show as it is."""

    def write_double_quoted(self, text: str, split: bool = True) -> None:
        allowed = self.allow_unicode
        self.allow_unicode = allowed and not printable.unsafe_character(text)
        super().write_double_quoted(text, split)
        self.allow_unicode = allowed


# A text that looks like a number to `_Loader` is written in quotes.
_Dumper.add_implicit_resolver(f"{_PREFIX}float", _FLOAT, list("-+0123456789."))


def _short_lists_inline(dumper: yaml.SafeDumper, items: list) -> yaml.Node:
    flat = all(not isinstance(item, dict | list) for item in items)
    return dumper.represent_sequence(f"{_PREFIX}seq", items, flow_style=flat)


def _escaped_where_unsafe(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    unsafe = printable.unsafe_character(text.replace("\n", ""))
    return dumper.represent_scalar(f"{_PREFIX}str", text, style='"' if unsafe else None)


_Dumper.add_representer(list, _short_lists_inline)
_Dumper.add_representer(str, _escaped_where_unsafe)


def parse(text: str, where: str) -> Any:
    """Read YAML text.

    Args:
        text: The YAML, at most `MOST_CHARACTERS`.
        where: Name of the text for error messages, such as its file.

    Returns:
        Mappings with texts as keys, lists, texts, numbers, booleans and None. Dates are texts.

    Raises:
        RecipeError: The text is too long or not valid YAML, a key appears twice, or it holds something else than plain
            values, such as a tag, a merge key or a second document.
    """
    _check_characters(text, where)
    loader = None
    try:
        loader = _Loader(text)
        return loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise RecipeError(f"{where}{line}: {_sentence(error)}.") from None
    finally:
        if loader:
            loader.dispose()


def _check_characters(text: str, where: str) -> None:
    """Check the length of a text and that each character may be shown, before PyYAML sees it."""
    if len(text) > MOST_CHARACTERS:
        raise RecipeError(f"{where}: {_TOO_LONG}.")
    for number, line in enumerate(text.split("\n"), 1):
        character = printable.unsafe_character(line.replace("\t", ""))
        if character:
            raise RecipeError(
                f"{where}, line {number}: the character U+{ord(character):04X} does not belong in a text; remove it."
            )


_TOO_LONG = f"this text has more than {MOST_CHARACTERS:,} characters; a recipe has some thousand"


def _sentence(error: yaml.MarkedYAMLError) -> str:
    problem = printable.shortened(str(error.problem), most=200)
    if isinstance(error, _RefusedError):
        return problem
    if "found another document" in problem:
        return "a second document begins here; keep one, without --- between"
    hint = "; indent with spaces, not tabs" if "'\\t'" in problem else ""
    return f"this is not valid YAML: {problem}{hint}"


def read(path: Path) -> Any:
    """Read a YAML file.

    Raises:
        RecipeError: The file is missing, unreadable, no plain file, not UTF-8 text, or for the reasons of `parse`.
    """
    return parse(read_text(path), str(path))


def read_text(path: Path) -> str:
    """Read the text of a YAML file.

    Raises:
        RecipeError: The file is missing, unreadable, no plain file, longer than `MOST_CHARACTERS`, or not UTF-8 text.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise RecipeError(f"{path}: this is a folder; name a recipe file.")
        if not stat.S_ISREG(mode):
            raise RecipeError(f"{path}: this is a pipe or a device; name a recipe file.")
        with path.open(encoding="utf-8") as file:
            text = file.read(MOST_CHARACTERS + 1)
    except FileNotFoundError:
        raise RecipeError(f"{path}: there is no such file. Check the path.") from None
    except PermissionError:
        raise RecipeError(f"{path}: this file cannot be read; change its permissions.") from None
    except UnicodeDecodeError:
        raise RecipeError(f"{path}: this is not text; a recipe is a YAML file in UTF-8.") from None
    except (OSError, ValueError) as error:  # such as a name that is too long, or that holds a NUL
        raise RecipeError(f"{path}: this file cannot be read: {reason(error)}.") from None
    if len(text) > MOST_CHARACTERS:
        raise RecipeError(f"{path}: {_TOO_LONG}.")
    return text


def dump(data: Any) -> str:
    """Return the data as YAML text; keys keep their order.

    Example:
        >>> dump({"taps": ["stage1", "stage2"], "views": 2})
        'taps: [stage1, stage2]\\nviews: 2\\n'
    """
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
