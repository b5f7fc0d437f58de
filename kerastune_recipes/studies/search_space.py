"""The search space of tuning: for fields that a recipe leaves to `auto`, values around those of the rules.

Only numbers that a rule guesses are searched. Not searched are `regularization`, which cross-validation chooses, and
fields that are known exactly, such as the preprocessing of a backbone.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kerastune_recipes import units
from kerastune_recipes.backbones import table
from kerastune_recipes.data.facts import DatasetFacts
from kerastune_recipes.errors import BackboneError
from kerastune_recipes.planning.costs import steps_per_epoch
from kerastune_recipes.planning.plan import FitPlan, Plan
from kerastune_recipes.spec.recipe_spec import FitSpec, RecipeSpec

Value = int | float | str

# Learning rates from a tenth to ten times the rate of the rule: the best rates of Salman et al. 2020 and of our field
# trials are in this range.
RATES = 10.0
# Half and double: validation images cannot resolve smaller steps, and a run that takes four times as long should be the
# user's own choice.
FACTORS = (0.5, 1, 2)
# A quarter less and a quarter more, in multiples of the grid: most networks halve the resolution five times.
SIZES, GRID, SMALL_GRID = (0.75, 1, 1.25), 32, 8
# From statistics that follow the last few batches to Keras's default.
MOMENTA = (0.8, 0.9, 0.95, 0.99)
# Speed depends on these fields, not accuracy; the rules choose them for the hardware.
_OF_THE_MACHINE = ("precision", "jit_compile")


@dataclass(frozen=True)
class Dimension:
    """One dimension of the search space.

    Args:
        key: Dotted key of the field, as in overrides.
        default: Value that the rule chooses, as a recipe writes it.
        values: Candidates, the default included; empty where `bounds` is given.
        bounds: Lower and upper bound of a range that is searched on a logarithmic scale, or None.
    """

    key: str
    default: Value
    values: tuple[Value, ...] = ()
    bounds: tuple[float, float] | None = None


@dataclass(frozen=True)
class Trial:
    """One trial of a search.

    Args:
        number: Number of the trial, from 1; the first has the values of the rules.
        values: Values by dotted key.
        log_loss: Log loss on the validation images, nats; None for a trial that failed, as the next two.
        accuracy: Accuracy on the validation images, 0..1.
        seconds: Wall time of the whole run.
        problem: Why the trial failed, or an empty text.
    """

    number: int
    values: Mapping[str, Value]
    log_loss: float | None
    accuracy: float | None
    seconds: float | None
    problem: str = ""


def space(spec: RecipeSpec, plan: Plan, data: DatasetFacts) -> tuple[Dimension, ...]:
    """Return the search space of a recipe.

    Args:
        spec: The recipe.
        plan: The plan that the rules make of it.
        data: Facts of the images.

    Example:
        >>> [dimension.key for dimension in space(spec, plan, dataset.facts())]
        ['backbone.image_size', 'phases.fine_tuning.fit.learning_rate', 'phases.fine_tuning.fit.duration']
    """
    found = [*_image_size(spec, plan)]
    for phase, planned in zip(spec.phases, plan.phases, strict=True):
        if phase.fit and planned.fit:
            found += _fit(f"phases.{phase.name}.fit", phase.fit, planned.fit, data)
    return tuple(dimension for dimension in found if dimension.bounds or len(dimension.values) > 1)


def open_keys(spec: RecipeSpec) -> tuple[str, ...]:
    """Return the dotted keys of all fields that a recipe leaves to `auto`, except those that set only the speed."""
    return tuple(key for key in _open(spec.to_data(), ()) if key not in _OF_THE_MACHINE)


def _open(data: Any, path: tuple[str, ...]) -> Iterator[str]:
    if data == "auto":
        yield ".".join(path)
    elif isinstance(data, Mapping):
        for key, value in data.items():
            yield from _open(value, (*path, key))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            name = value.get("name", index) if isinstance(value, Mapping) else index
            yield from _open(value, (*path, str(name)))


def _image_size(spec: RecipeSpec, plan: Plan) -> Iterator[Dimension]:
    if spec.backbone.image_size != "auto":
        return
    try:
        smallest = table.find(spec.backbone.name).minimum_size
    except BackboneError:  # the sizes that a network outside the table accepts are unknown
        return
    size = plan.backbone.image_size
    grid = GRID if size >= 2 * GRID else SMALL_GRID
    candidates = {size if factor == 1 else grid * round(factor * size / grid) for factor in SIZES}
    yield _choice("backbone.image_size", size, (each for each in candidates if each >= smallest))


def _fit(where: str, spec: FitSpec, plan: FitPlan, data: DatasetFacts) -> Iterator[Dimension]:
    epochs = plan.steps / steps_per_epoch(data.train_images, plan.batch_size)
    batches: tuple[int, ...] = (plan.batch_size,)
    if spec.learning_rate == "auto":
        yield Dimension(
            f"{where}.learning_rate",
            plan.learning_rate,
            bounds=(plan.learning_rate / RATES, plan.learning_rate * RATES),
        )
    durations = [spec.duration]
    if spec.duration == "auto":
        durations = [f"{max(1, round(factor * epochs))} epochs" for factor in FACTORS]
        yield Dimension(f"{where}.duration", durations[1], tuple(dict.fromkeys(durations)))
    if spec.batch_size == "auto":
        candidates = {round(factor * plan.batch_size) for factor in FACTORS}
        batches = tuple(sorted(size for size in candidates if 1 <= size <= data.train_images))
        yield _choice(f"{where}.batch_size", plan.batch_size, batches)
    if spec.batch_norm == "trained" and spec.batch_norm_momentum == "auto" and plan.batch_norm_momentum:
        yield _choice(f"{where}.batch_norm_momentum", plan.batch_norm_momentum, MOMENTA)
    if spec.views == "auto" and plan.views and plan.views > 1:
        # Each epoch uses one view, so there may be no more views than epochs in the shortest trial.
        fewest = min(_epochs(each, batch, epochs, data) for each in durations for batch in batches)
        candidates = {round(factor * plan.views) for factor in FACTORS}
        yield _choice(f"{where}.views", plan.views, (views for views in candidates if 1 <= views <= math.ceil(fewest)))


def _epochs(duration: str, batch: int, by_rule: float, data: DatasetFacts) -> float:
    per_epoch = steps_per_epoch(data.train_images, batch)
    return units.parse_duration(duration).steps(per_epoch, total=round(by_rule * per_epoch)) / per_epoch


def _choice(key: str, default: Value, values: Any) -> Dimension:
    return Dimension(key, default, tuple(sorted({default, *values})))
