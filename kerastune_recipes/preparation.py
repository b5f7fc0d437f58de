"""From a recipe and the user's data to everything a run needs: images, network, facts, plan."""

from dataclasses import dataclass
from typing import Any

import keras

from kerastune_recipes import backbones, rules
from kerastune_recipes import plan as plans
from kerastune_recipes.data import augmentation
from kerastune_recipes.data.samples import Dataset
from kerastune_recipes.data.sources import open_dataset
from kerastune_recipes.errors import RecipeError
from kerastune_recipes.facts import BackboneFacts, DatasetFacts
from kerastune_recipes.model import backbone as networks
from kerastune_recipes.plan import BackbonePlan, Plan
from kerastune_recipes.spec import BackboneSpec, RecipeSpec


@dataclass(frozen=True)
class Prepared:
    """A plan, and all it was made from.

    Args:
        plan: What to do.
        dataset: The images.
        facts: The network's stages and layers.
        network: The network itself.
    """

    plan: Plan
    dataset: Dataset
    facts: BackboneFacts
    network: keras.Model


def prepare(
    name: str,
    content: RecipeSpec | Plan,
    ds: Any,
    *,
    seed: int,
    own: keras.Model | None = None,
    dry: bool = False,
    group_by: Any = None,
    unlabeled: Any = None,
) -> Prepared:
    """Open the data, build the network and resolve the plan.

    Args:
        name: Name of the recipe.
        content: What it says: a recipe, or a plan that was saved.
        ds: The images, in any form that `open_dataset` takes.
        seed: Of the hold-out, and of everything random that follows.
        own: A network of the user's own in place of one of the table.
        dry: Leave the network's weights random: nothing is read, nothing but the plan may be used.
        group_by: As for `open_dataset`.
        unlabeled: As for `open_dataset`.

    Raises:
        DataError: The images cannot be used.
        RecipeError: The recipe does not fit the network, or lists augmentations that cannot be used.
        BackboneError: The network is unknown or cannot be built.
    """
    if not dry:
        # Before the network is built, whose weights may be random.
        keras.utils.set_random_seed(seed)
    dataset = open_dataset(ds, seed=seed, group_by=group_by, unlabeled=unlabeled)
    data = dataset.facts()
    network, facts = _network(content.backbone, data, own, dry)
    if isinstance(content, Plan):
        plan = content
        plans.check(plan, data, facts)
    else:
        plan = plans.resolve(name, content, data, facts)
    _check_augmentation(plan)
    return Prepared(plan, dataset, facts, network)


def _check_augmentation(plan: Plan) -> None:
    problems: list[str] = []
    for phase in plan.phases:
        if phase.fit:
            layers = [layer.model_dump() for layer in phase.fit.augmentation]
            try:
                augmentation.check(layers, f"phases.{phase.name}.fit.augmentation")
            except RecipeError as error:
                problems += error.problems
    if problems:
        raise RecipeError(*problems)


def _network(
    asked: BackboneSpec | BackbonePlan, data: DatasetFacts, own: keras.Model | None, dry: bool
) -> tuple[keras.Model, BackboneFacts]:
    size = asked.image_size
    if own is not None:
        if size == "auto":
            size = own.input_shape[1] or rules.UNKNOWN_SIZE
        convention = "identity" if asked.convention == "auto" else asked.convention
        network = networks.build(own, asked.weights, size)
        return network, networks.inspect(network, asked.name, asked.weights, convention, size)
    entry = backbones.find(asked.name)
    if size == "auto":
        size = rules.image_size(entry.default_size, entry.minimum_size, data)
    convention = entry.convention if asked.convention == "auto" else asked.convention
    network = networks.build(entry.name, asked.weights, size, dry)
    return network, networks.inspect(network, entry.name, asked.weights, convention, size, entry.stages)
