"""Dotted overrides of a recipe: `phases.fine_tuning.fit.duration`."""

from collections.abc import Mapping
from typing import Any

from kerastune_recipes import printable
from kerastune_recipes.errors import RecipeError, did_you_mean

# Steps of a dotted key; the longest in the format has seven.
_MOST_STEPS = 20


def override(data: Mapping[str, Any], changes: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return recipe data with dotted keys replaced.

    Args:
        data: The recipe as plain data.
        changes: Dotted keys and their values, such as `{"backbone.name": "VGG16"}`. A phase is named by its name or its
            position: `phases.fine_tuning.fit.learning_rate`. `{"backbone": "VGG16"}` is short for `backbone.name`.
        where: Name of the recipe, for errors.

    Raises:
        RecipeError: A dotted key leads nowhere.

    Example:
        >>> override({"features": {"views": 1}}, {"features.views": 2}, "recipe")
        {'features': {'views': 2}}
    """
    result: Any = dict(data)
    problems = []
    for key, value in changes.items():
        path = ["backbone", "name"] if key == "backbone" and isinstance(value, str) else key.split(".")
        try:
            if len(path) > _MOST_STEPS:
                raise LookupError(f"the key has {len(path)} steps; the format has seven at most.")
            result = _replaced(result, path, value)
        except LookupError as error:
            problems.append(f"{where}: override {printable.shortened(key, most=100)}: {error.args[0]}")
    if problems:
        raise RecipeError(*problems)
    return result


def _replaced(data: Any, path: list[str], value: Any) -> Any:
    """Return a copy of the data with the value at a path replaced; LookupError where the path leads nowhere."""
    if not path:
        return value
    step, rest = path[0], path[1:]
    if isinstance(data, list):
        names = [str(item.get("name", "")) if isinstance(item, dict) else "" for item in data]
        index, rest = _found(path, names)
        return [*data[:index], _replaced(data[index], rest, value), *data[index + 1 :]]
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise LookupError(
            f'there is no key "{printable.shortened(step)}" here: the value is {printable.shortened(repr(data))}.'
        )
    return {**data, step: _replaced(data.get(step), rest, value)}


def _found(path: list[str], names: list[str]) -> tuple[int, list[str]]:
    """Return the position in a list that a path begins with, as a name (with dots) or a number, and the other steps."""
    for length in range(1, len(path) + 1):
        name = ".".join(path[:length])
        if name and name in names:
            return names.index(name), path[length:]
    positions = [str(position) for position in range(len(names))]
    if path[0] in positions:
        return positions.index(path[0]), path[1:]
    step, known = printable.shortened(path[0]), ", ".join(map(printable.shortened, names))
    raise LookupError(f'there is no "{step}" here.{did_you_mean(path[0], names)} Known: {known}.')
