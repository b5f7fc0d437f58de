"""What a search tries for the fields that a recipe leaves to `auto`: values around what the rules choose.

Only numbers that a rule guesses are searched. Left to their rules are `regularization`, which is cross-validated
anyway, and whatever is no guess, such as the preprocessing of a backbone.
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

# A learning rate is looked for within a decade of the rule's to either side: the rates that Salman et al. 2020 and our
# field trials found best for one data set or another lie within one.
RATES = 10.0
# Half and double: of less the validation images would tell nothing, and what takes four times as long has to be asked
# for by name.
FACTORS = (0.5, 1, 2)
# A quarter less and a quarter more, on the grid of most networks, which halve the resolution five times.
SIZES, GRID, SMALL_GRID = (0.75, 1, 1.25), 32, 8
# From statistics that hardly outlast a batch to Keras's default.
MOMENTA = (0.8, 0.9, 0.95, 0.99)


@dataclass(frozen=True)
class Dimension:
    """One field that is searched.

    Args:
        key: Its dotted key, as an override names it.
        default: What the rule chooses, as a recipe says it.
        values: What is tried, the default among them; none where there is a range.
        bounds: The least and the greatest value of a range that is searched by its logarithm.
    """

    key: str
    default: Value
    values: tuple[Value, ...] = ()
    bounds: tuple[float, float] | None = None


@dataclass(frozen=True)
class Trial:
    """Values that were tried, and what came of it.

    Args:
        number: From 1 on; the first is what the rules choose.
        values: By dotted key.
        log_loss: On the validation images; None where the trial failed, as the other figures.
        accuracy: On the validation images.
        seconds: Of the whole run.
        problem: Why it failed, or nothing.
    """

    number: int
    values: Mapping[str, Value]
    log_loss: float | None
    accuracy: float | None
    seconds: float | None
    problem: str = ""


def space(spec: RecipeSpec, plan: Plan, data: DatasetFacts) -> tuple[Dimension, ...]:
    """Return what is searched.

    Args:
        spec: The recipe.
        plan: What the rules make of it.
        data: The images at hand.

    Example:
        >>> [dimension.key for dimension in space(spec, plan, dataset.facts())]
        ['backbone.image_size', 'phases.fine_tuning.fit.learning_rate', 'phases.fine_tuning.fit.duration']
    """
    found = [*_image_size(spec, plan)]
    for phase, planned in zip(spec.phases, plan.phases, strict=True):
        if phase.fit and planned.fit:
            found += _fit(f"phases.{phase.name}.fit", phase.fit, planned.fit, data)
    return tuple(dimension for dimension in found if dimension.bounds or len(dimension.values) > 1)


# How fast a recipe runs, and not how well it learns, hangs on these.
_OF_THE_MACHINE = ("precision", "jit_compile")


def open_keys(spec: RecipeSpec) -> tuple[str, ...]:
    """Return the dotted keys of all fields that a recipe leaves to `auto`, but for those that the machine decides."""
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
    except BackboneError:  # of a network that is not in the table nobody knows what else it takes
        return
    size = plan.backbone.image_size
    grid = GRID if size >= 2 * GRID else SMALL_GRID
    tried = {size if factor == 1 else grid * round(factor * size / grid) for factor in SIZES}
    yield _choice("backbone.image_size", size, (each for each in tried if each >= smallest))


def _fit(where: str, spec: FitSpec, plan: FitPlan, data: DatasetFacts) -> Iterator[Dimension]:
    epochs = plan.steps / steps_per_epoch(data.train_images, plan.batch_size)
    batches: tuple[int, ...] = (plan.batch_size,)
    if spec.learning_rate == "auto":
        yield Dimension(
            f"{where}.learning_rate",
            plan.learning_rate,
            bounds=(plan.learning_rate / RATES, plan.learning_rate * RATES),
        )
    lasting = [spec.duration]
    if spec.duration == "auto":
        lasting = [f"{max(1, round(factor * epochs))} epochs" for factor in FACTORS]
        yield Dimension(f"{where}.duration", lasting[1], tuple(dict.fromkeys(lasting)))
    if spec.batch_size == "auto":
        tried = {round(factor * plan.batch_size) for factor in FACTORS}
        batches = tuple(sorted(size for size in tried if 1 <= size <= data.train_images))
        yield _choice(f"{where}.batch_size", plan.batch_size, batches)
    if spec.batch_norm == "trained" and spec.batch_norm_momentum == "auto" and plan.batch_norm_momentum:
        yield _choice(f"{where}.batch_norm_momentum", plan.batch_norm_momentum, MOMENTA)
    if spec.views == "auto" and plan.views and plan.views > 1:
        # Each epoch sees one view, so there may be no more of them than the shortest trial has epochs.
        fewest = min(_epochs(each, batch, epochs, data) for each in lasting for batch in batches)
        tried = {round(factor * plan.views) for factor in FACTORS}
        yield _choice(f"{where}.views", plan.views, (views for views in tried if 1 <= views <= math.ceil(fewest)))


def _epochs(duration: str, batch: int, by_rule: float, data: DatasetFacts) -> float:
    per_epoch = steps_per_epoch(data.train_images, batch)
    return units.parse_duration(duration).steps(per_epoch, whole=round(by_rule * per_epoch)) / per_epoch


def _choice(key: str, default: Value, values: Any) -> Dimension:
    return Dimension(key, default, tuple(sorted({default, *values})))
