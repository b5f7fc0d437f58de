"""The shipped recipes: their files, their names, and how one is read."""

from collections.abc import Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from kerastune_recipes import yaml_files
from kerastune_recipes.errors import RecipeError, did_you_mean
from kerastune_recipes.spec.overrides import override
from kerastune_recipes.spec.recipe_spec import RecipeSpec

SHIPPED = "kerastune_recipes.shipped"


def folder() -> Traversable:
    """Return the folder of shipped recipes, in an installed package or a bare checkout."""
    try:
        return resources.files(SHIPPED)
    except ModuleNotFoundError:
        return Path(__file__).parents[2] / "recipes"


def names() -> tuple[str, ...]:
    """Return the names of all shipped recipes; a recipe in a subfolder includes it, such as "lore/half_frozen"."""
    return tuple(sorted(_files(folder())))


def text(name: str) -> str:
    """Return the text of a shipped recipe's file, comments included.

    Raises:
        RecipeError: There is no shipped recipe of that name.
    """
    files = _files(folder())
    if name not in files:
        raise RecipeError(
            f'There is no recipe "{name}".{did_you_mean(name, files)} Shipped: {", ".join(sorted(files))}. '
            "To use your own recipe, give its path, ending in .yaml."
        )
    return files[name].read_text(encoding="utf-8")


def load(name: str, overrides: Mapping[str, Any] | None = None) -> RecipeSpec:
    """Read a shipped recipe.

    Args:
        name: One of `names()`.
        overrides: Dotted keys and their values; see `spec.overrides.override`.

    Raises:
        RecipeError: The name is unknown or an override does not fit.

    Example:
        >>> load("small_similar", {"backbone": "VGG16"}).backbone.name
        'VGG16'
    """
    return parse(yaml_files.parse(text(name), name), name, overrides)


def parse(data: Any, where: str, overrides: Mapping[str, Any] | None = None) -> RecipeSpec:
    """Read a recipe from plain data.

    Args:
        data: Mappings, lists, texts and numbers, as read from YAML.
        where: Name of the recipe, for errors.
        overrides: Dotted keys and their values; see `spec.overrides.override`.

    Raises:
        RecipeError: One sentence for each problem.
    """
    if overrides and isinstance(data, Mapping):
        data = override(data, overrides, where)
    return RecipeSpec.from_data(data, where)


def _files(root: Traversable, prefix: str = "") -> dict[str, Traversable]:
    found: dict[str, Traversable] = {}
    for entry in root.iterdir():
        if entry.is_dir() and not entry.name.startswith(("_", ".")):
            found |= _files(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(".yaml"):
            found[prefix + entry.name.removesuffix(".yaml")] = entry
    return found
