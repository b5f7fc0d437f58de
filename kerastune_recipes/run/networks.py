"""The backbones that a recipe asks for, built at one image size, with their facts."""

from collections.abc import Sequence
from dataclasses import replace

import keras

from kerastune_recipes.backbones import keras_hub, table
from kerastune_recipes.backbones.build import build
from kerastune_recipes.backbones.facts import BackboneFacts
from kerastune_recipes.backbones.inspect import inspect
from kerastune_recipes.data.facts import DatasetFacts
from kerastune_recipes.devices import replicated
from kerastune_recipes.errors import RecipeError, listed
from kerastune_recipes.planning import rules
from kerastune_recipes.planning.plan import BackbonePlan, Plan
from kerastune_recipes.spec.recipe_spec import GIVEN, BackboneSpec, RecipeSpec


def build_networks(
    content: RecipeSpec | Plan, data: DatasetFacts, own: keras.Model | None, dry: bool
) -> tuple[tuple[keras.Model, ...], BackboneFacts]:
    """Build all backbones for images of one size.

    Args:
        content: The recipe or plan that asks for them.
        data: Facts of the images, which decide on an image size that is left open.
        own: A network of the user's own in place of the first backbone, or None.
        dry: Leave weights random and read none.

    Returns:
        The networks, and the facts of the first, with those of the others as its companions.

    Raises:
        RecipeError: The image size of an ensemble is not known.
        BackboneError: A network is unknown or cannot be built.
    """
    asked = [content.backbone, *(content.ensemble or ())]
    if len(asked) > 1:
        size = _common_size(asked, data, own)
        asked = [each.model_copy(update={"image_size": size}) for each in asked]
    built = [_build(each, data, None if number else own, dry) for number, each in enumerate(asked)]
    (_, facts), *others = built
    return tuple(network for network, _ in built), replace(facts, companions=tuple(each for _, each in others))


def at_other_sizes(facts: BackboneFacts) -> tuple[BackboneFacts, ...]:
    """Return the facts of a network of the table at the other image sizes that a plan shows."""
    entry = table.find(facts.name)
    sizes = {size for size in (*rules.SIZES_SHOWN, entry.default_size) if size >= entry.minimum_size}
    return tuple(
        inspect(build(entry.name, "none", size, dry=True), entry.name, "none", facts.preprocessing, size, entry.stages)
        for size in sorted(sizes - {facts.image_size})
    )


def _common_size(asked: Sequence[BackboneSpec | BackbonePlan], data: DatasetFacts, own: keras.Model | None) -> int:
    """Return the size that a backbone states, or the smallest of the sizes that they would have alone."""
    stated = [each.image_size for each in asked if each.image_size != "auto"]
    if stated:
        return stated[0]
    presets = [each.name for each in asked if each.name.startswith(table.HUB)]
    if presets:
        raise RecipeError(
            f"ensemble: the image size of {listed(presets)} is not known before it is built; give backbone.image_size."
        )
    entries = [table.find(each.name) for each in asked if each.weights != GIVEN]
    sizes = [rules.image_size(entry.default_size, entry.minimum_size, data) for entry in entries]
    if own is not None and own.input_shape[1]:
        return own.input_shape[1]
    return max(min(sizes), *(entry.minimum_size for entry in entries))


def _build(
    asked: BackboneSpec | BackbonePlan, data: DatasetFacts, own: keras.Model | None, dry: bool
) -> tuple[keras.Model, BackboneFacts]:
    size = asked.image_size
    if own is not None:
        if size == "auto":
            size = own.input_shape[1] or rules.UNKNOWN_SIZE
        preprocessing = "identity" if asked.preprocessing == "auto" else asked.preprocessing
        network = build(replicated.copy_into_strategy(own), asked.weights, size)
        return network, inspect(network, asked.name, asked.weights, preprocessing, size)
    if asked.name.startswith(table.HUB):
        preset = keras_hub.load(asked.name, asked.weights, asked.preprocessing, dry)
        if size == "auto":
            size = preset.only_size or rules.image_size(preset.default_size or rules.UNKNOWN_SIZE, 1, data)
        network = build(preset.network, preset.weights, size)
        return network, inspect(network, asked.name, preset.weights, preset.preprocessing, size)
    entry = table.find(asked.name)
    if size == "auto":
        size = rules.image_size(entry.default_size, entry.minimum_size, data)
    preprocessing = entry.preprocessing if asked.preprocessing == "auto" else asked.preprocessing
    network = build(entry.name, asked.weights, size, dry)
    return network, inspect(network, entry.name, asked.weights, preprocessing, size, entry.stages)
