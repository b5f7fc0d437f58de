"""The `# Measured:` line at the top of a recipe: the pages that measured it, from their results."""

import re
from collections.abc import Mapping
from pathlib import Path

from benchmarks.lib import results

_LINE = re.compile(r"^# Measured:.*\n", re.MULTILINE)
# The line comes after `# Run:` and what continues it.
_AFTER = re.compile(r"^# Run:.*\n(?:#  .*\n)*", re.MULTILINE)


def renewed(recipe: Path, places: Mapping[str, str]) -> str:
    """Return the text of a recipe with its line written again, or without one where no page measured it.

    Args:
        recipe: Path of its file.
        places: Path of each page, by the page's name.
    """
    text = _LINE.sub("", recipe.read_text(encoding="utf-8"))
    pages = [place for name, place in places.items() if recipe.stem in _recipes(name)]
    if not pages:
        return text
    line = f"# Measured: {', '.join(sorted(pages))}\n"
    return _AFTER.sub(lambda run: run[0] + line, text, count=1)


def _recipes(name: str) -> set[str]:
    """Return the recipes that a page is about: those its first row lists, or those of each run."""
    listed = results.made(name).get("recipes", [])
    return {*listed, *(row["recipe"] for row in results.read(name) if name == "recipes")}
