"""Dotted overrides of a recipe: `phases.fine_tuning.fit.duration`."""

from collections.abc import Mapping
from typing import Any

from kerastune_recipes.errors import RecipeError, did_you_mean


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
            result = _replaced(result, path, value)
        except LookupError as error:
            problems.append(f"{where}: override {key}: {error.args[0]}")
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
        index = names.index(step) if step in names else int(step) if step.isdigit() else -1
        if not 0 <= index < len(data):
            raise LookupError(f'there is no "{step}" here.{did_you_mean(step, names)} Known: {", ".join(names)}.')
        return [*data[:index], _replaced(data[index], rest, value), *data[index + 1 :]]
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise LookupError(f'there is no key "{step}" here: the value is {data!r}.')
    return {**data, step: _replaced(data.get(step), rest, value)}
