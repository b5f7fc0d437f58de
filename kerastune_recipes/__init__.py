"""High-level fine-tuning recipes for Keras 3: from labelled images to a plain Keras model and an honest report."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from kerastune_recipes.errors import (
    BackboneError,
    DataError,
    KerastuneError,
    OutputError,
    RecipeError,
    RequestError,
    WorkError,
)
from kerastune_recipes.recipe import Recipe

if TYPE_CHECKING:
    from kerastune_recipes.comparing import compare
    from kerastune_recipes.comparison import Comparison
    from kerastune_recipes.model.alexnet import AlexNet
    from kerastune_recipes.plan import Plan
    from kerastune_recipes.report import Report
    from kerastune_recipes.tuning import Tuned

__version__ = "0.1.0"

__all__ = [
    "AlexNet",
    "BackboneError",
    "Comparison",
    "DataError",
    "KerastuneError",
    "OutputError",
    "Plan",
    "Recipe",
    "RecipeError",
    "Report",
    "RequestError",
    "Tuned",
    "WorkError",
    "compare",
]

# Keras comes with these, and takes seconds to import: they are fetched when first asked for.
_LATE = {
    "AlexNet": "kerastune_recipes.model.alexnet",
    "Comparison": "kerastune_recipes.comparison",
    "Plan": "kerastune_recipes.plan",
    "Report": "kerastune_recipes.report",
    "Tuned": "kerastune_recipes.tuning",
    "compare": "kerastune_recipes.comparing",
}


def __getattr__(name: str) -> Any:
    if name in _LATE:
        return getattr(import_module(_LATE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
