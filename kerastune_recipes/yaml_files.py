"""YAML for our files: safe, duplicate keys refused, and `1e-3` read as a number."""

import re
from pathlib import Path
from typing import Any

import yaml

from kerastune_recipes.errors import RecipeError


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which also reads YAML 1.2 floats and refuses duplicate keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, list | dict):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key must be a word; put {} or [] in quotes", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f'the key "{key}" appears twice; keep one', key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


# PyYAML follows YAML 1.1, where 1e-3 without a dot is a string.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(?:\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


class _Dumper(yaml.SafeDumper):
    """PyYAML's safe dumper, with short lists kept on one line."""


def _short_lists_inline(dumper: yaml.SafeDumper, items: list) -> yaml.Node:
    flat = all(not isinstance(item, dict | list) for item in items)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=flat)


_Dumper.add_representer(list, _short_lists_inline)


def parse(text: str, where: str) -> Any:
    """Read YAML text.

    Args:
        text: The YAML.
        where: Name of the text for error messages, such as its file.

    Raises:
        RecipeError: The text is not valid YAML, or a key appears twice.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise RecipeError(f"{where}{line}: this is not valid YAML: {error.problem}.") from None
    except yaml.YAMLError as error:
        raise RecipeError(f"{where}: this is not valid YAML: {error}.") from None


def read(path: Path) -> Any:
    """Read a YAML file.

    Raises:
        RecipeError: The file is missing, unreadable, not UTF-8 text, or not valid YAML.
    """
    try:
        return parse(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        raise RecipeError(f"{path}: there is no such file. Check the path.") from None
    except IsADirectoryError:
        raise RecipeError(f"{path}: this is a folder; name a recipe file.") from None
    except PermissionError:
        raise RecipeError(f"{path}: this file cannot be read; change its permissions.") from None
    except UnicodeDecodeError:
        raise RecipeError(f"{path}: this is not text; a recipe is a YAML file in UTF-8.") from None


def dump(data: Any) -> str:
    """Return the data as YAML text; keys keep their order.

    Example:
        >>> dump({"taps": ["stage1", "stage2"], "views": 2})
        'taps: [stage1, stage2]\\nviews: 2\\n'
    """
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
