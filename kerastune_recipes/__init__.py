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
    from kerastune_recipes.backbones.alexnet import AlexNet
    from kerastune_recipes.checking.check import check
    from kerastune_recipes.checking.findings import DataCheck
    from kerastune_recipes.planning.plan import Plan
    from kerastune_recipes.reporting.report import Report
    from kerastune_recipes.studies.compare import compare
    from kerastune_recipes.studies.comparison import Comparison
    from kerastune_recipes.studies.tuned import Tuned

__version__ = "0.1.0"

__all__ = [
    "AlexNet",
    "BackboneError",
    "Comparison",
    "DataCheck",
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
    "check",
    "compare",
    "resume",
    "tune",
]

# Keras comes with these, and takes seconds to import: they are fetched when first asked for.
_LATE = {
    "AlexNet": "kerastune_recipes.backbones.alexnet",
    "Comparison": "kerastune_recipes.studies.comparison",
    "DataCheck": "kerastune_recipes.checking.findings",
    "Plan": "kerastune_recipes.planning.plan",
    "Report": "kerastune_recipes.reporting.report",
    "Tuned": "kerastune_recipes.studies.tuned",
    "check": "kerastune_recipes.checking.check",
    "compare": "kerastune_recipes.studies.compare",
    "resume": "kerastune_recipes.studies.resume",
    "tune": "kerastune_recipes.studies.tune",
}


def __getattr__(name: str) -> Any:
    if name in _LATE:
        return getattr(import_module(_LATE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
