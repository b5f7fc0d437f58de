"""From a recipe and the user's data to everything a run needs: images, network, facts, plan."""

from dataclasses import dataclass, replace
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
from kerastune_recipes.model.source import Source, load_source, source_facts
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
        source: The classifier it was pretrained with, where the plan uses it.
    """

    plan: Plan
    dataset: Dataset
    facts: BackboneFacts
    network: keras.Model
    source: Source | None = None


def prepare(
    name: str, content: RecipeSpec | Plan, ds: Any, *, seed: int, own: keras.Model | None = None, dry: bool = False
) -> Prepared:
    """Open the data, build the network and resolve the plan.

    Args:
        name: Name of the recipe.
        content: What it says: a recipe, or a plan that was saved.
        ds: The images, in any form that `open_dataset` takes.
        seed: Of the hold-out, and of everything random that follows.
        own: A network of the user's own in place of one of the table.
        dry: Leave the network's weights random: nothing is read, nothing but the plan may be used.

    Raises:
        DataError: The images cannot be used.
        RecipeError: The recipe does not fit the network, or lists augmentations that cannot be used.
        BackboneError: The network is unknown or cannot be built, or the classifier it was pretrained with not be had.
    """
    if not dry:
        # Before the network is built, whose weights may be random.
        keras.utils.set_random_seed(seed)
    dataset = open_dataset(ds, seed=seed)
    data = dataset.facts()
    network, facts = _network(content.backbone, data, own, dry)
    reuses = any(phase.solve and phase.solve.head == "source_classifier" for phase in content.phases)
    if reuses:
        facts = replace(facts, source=source_facts(facts.name, facts.weights))
    if isinstance(content, Plan):
        plan = content
        plans.check(plan, data, facts)
    else:
        plan = plans.resolve(name, content, data, facts)
    _check_augmentation(plan)
    return Prepared(plan, dataset, facts, network, load_source(facts.name) if reuses and not dry else None)


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
