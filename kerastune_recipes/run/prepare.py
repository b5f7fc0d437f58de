"""From a recipe and the user's data to everything a run needs: images, network, facts, plan."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras

from kerastune_recipes import __version__
from kerastune_recipes.arrays import feature_matrix, memory
from kerastune_recipes.backbones import build as networks
from kerastune_recipes.backbones import inspect, keras_hub, table
from kerastune_recipes.backbones.facts import BackboneFacts
from kerastune_recipes.backbones.pretrained_classifier import Source, load_source, source_facts
from kerastune_recipes.data import decoding
from kerastune_recipes.data.dataset import Dataset, mark_of
from kerastune_recipes.data.facts import DatasetFacts
from kerastune_recipes.data.sources.open import open_dataset
from kerastune_recipes.data.split_images import TEST, TRAIN, UNLABELED, VALIDATION, Images
from kerastune_recipes.data.views import views
from kerastune_recipes.devices import hardware, replicated, strategies
from kerastune_recipes.devices.facts import HardwareFacts
from kerastune_recipes.devices.workers import ALONE, Team
from kerastune_recipes.errors import DataError, RecipeError, RequestError, listed
from kerastune_recipes.planning import check as check_module
from kerastune_recipes.planning import resolve, rules
from kerastune_recipes.planning.forecast import feature_count
from kerastune_recipes.planning.plan import BackbonePlan, Plan
from kerastune_recipes.progress import Display
from kerastune_recipes.records import digest
from kerastune_recipes.spec.recipe_spec import GIVEN, BackboneSpec, RecipeSpec
from kerastune_recipes.training import augmentation
from kerastune_recipes.units import format_bytes


@dataclass(frozen=True)
class Prepared:
    """A plan, and all it was made from.

    Args:
        plan: What to do.
        dataset: The images.
        facts: The stages and layers of the network, and of its companions in an ensemble.
        networks: The network itself, then its companions.
        hardware: What it is to run on.
        source: The classifier it was pretrained with, where the plan uses it.
    """

    plan: Plan
    dataset: Dataset
    facts: BackboneFacts
    networks: tuple[keras.Model, ...]
    hardware: HardwareFacts
    source: Source | None = None


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
    team: Team = ALONE,
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
        team: Who shares the work; see that all of them were asked for the same before anything is built.

    Raises:
        RequestError: A worker has other data, another recipe, another seed or other versions than the chief; or the
            plan must have all features in memory at once, which has no room for them.
        DataError: The images cannot be used.
        RecipeError: The recipe does not fit the network, or lists augmentations that cannot be used.
        BackboneError: The network is unknown or cannot be built, or the classifier it was pretrained with not be had.
    """
    if not dry:
        # Before the network is built, whose weights may be random.
        keras.utils.set_random_seed(seed)
    dataset = team.together(lambda: open_dataset(ds, seed=seed, group_by=group_by, unlabeled=unlabeled))
    team.agree(
        lambda: {
            "data": mark_of(dataset),
            "recipe": digest(content),
            "seed": str(seed),
            "version of this package": __version__,
            "version of Keras": keras.__version__,
        }
    )
    if content.folds:
        dataset = dataset.pooled()
    data = dataset.facts()
    networks, facts = _networks(content, data, own, dry)
    at_hand = hardware.inspect()
    if content.head.pooling == "flatten" and facts.name in table.BACKBONES and not content.ensemble:
        facts = replace(facts, elsewhere=_elsewhere(facts))
    reuses = any(phase.solve and phase.solve.head == "source_classifier" for phase in content.phases)
    if reuses:
        facts = replace(facts, source=source_facts(facts.name, facts.weights))
    if isinstance(content, Plan):
        plan = content
        check_module.check(plan, data, facts)
    else:
        plan = resolve.resolve(name, content, data, facts, at_hand)
    _check_augmentation(plan)
    _check_memory(plan, data, facts)
    source = load_source(facts.name) if reuses and not dry else None
    return Prepared(plan, dataset, facts, networks, at_hand, source)


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


def _check_memory(plan: Plan, data: DatasetFacts, facts: BackboneFacts) -> None:
    """Refuse what must have all features in memory at once where they do not fit."""
    whole = [f"phases.{one.name}.solve.pseudo_labels" for one in plan.phases if one.solve and one.solve.pseudo_labels]
    if plan.folds is not None and not plan.fits:
        whole.insert(0, "folds")
    # What is kept may be solved again on the held-out images too.
    images = sum(data.train) + (sum(data.validation) if data.held_out else 0)
    shape = (len(views(plan.features.views, plan.features.flip)), images, feature_count(plan, facts))
    if whole and not feature_matrix.fits(shape):
        raise RequestError(
            f"the features of {images} images take {format_bytes(feature_matrix.solved_bytes(shape))} where "
            f"{format_bytes(memory.matrix_limit_bytes())} may be taken, and {listed(whole)} must have them in memory at "
            f"once; leave that out, take fewer features with features.taps: last, or set {memory.VARIABLE} to more."
        )


def _elsewhere(facts: BackboneFacts) -> tuple[BackboneFacts, ...]:
    """Return the facts of a network at the other image sizes that a plan tells of."""
    entry = table.find(facts.name)
    sizes = {size for size in (*rules.SIZES_SHOWN, entry.default_size) if size >= entry.minimum_size}
    return tuple(
        inspect.inspect(
            networks.build(entry.name, "none", size, dry=True), entry.name, "none", facts.convention, size, entry.stages
        )
        for size in sorted(sizes - {facts.image_size})
    )


def _networks(
    content: RecipeSpec | Plan, data: DatasetFacts, own: keras.Model | None, dry: bool
) -> tuple[tuple[keras.Model, ...], BackboneFacts]:
    """Build all backbones, for images of one size."""
    asked = [content.backbone, *(content.ensemble or ())]
    if len(asked) > 1:
        size = _common_size(asked, data, own)
        asked = [each.model_copy(update={"image_size": size}) for each in asked]
    built = [_network(each, data, None if number else own, dry) for number, each in enumerate(asked)]
    (_, facts), *others = built
    return tuple(network for network, _ in built), replace(facts, companions=tuple(each for _, each in others))


def _common_size(asked: Sequence[BackboneSpec | BackbonePlan], data: DatasetFacts, own: keras.Model | None) -> int:
    """Return the size that one of the backbones states, or else the least of what they would have by themselves."""
    stated = [each.image_size for each in asked if each.image_size != "auto"]
    if stated:
        return stated[0]
    presets = [each.name for each in asked if each.name.startswith(table.HUB)]
    if presets:
        raise RecipeError(
            f"ensemble: the size of {listed(presets)} is not known before it is built; give backbone.image_size."
        )
    entries = [table.find(each.name) for each in asked if each.weights != GIVEN]
    sizes = [rules.image_size(entry.default_size, entry.minimum_size, data) for entry in entries]
    if own is not None and own.input_shape[1]:
        return own.input_shape[1]
    return max(min(sizes), *(entry.minimum_size for entry in entries))


def _network(
    asked: BackboneSpec | BackbonePlan, data: DatasetFacts, own: keras.Model | None, dry: bool
) -> tuple[keras.Model, BackboneFacts]:
    size = asked.image_size
    if own is not None:
        if size == "auto":
            size = own.input_shape[1] or rules.UNKNOWN_SIZE
        convention = "identity" if asked.convention == "auto" else asked.convention
        network = networks.build(replicated.made_here(own), asked.weights, size)
        return network, inspect.inspect(network, asked.name, asked.weights, convention, size)
    if asked.name.startswith(table.HUB):
        preset = keras_hub.load(asked.name, asked.weights, asked.convention, dry)
        if size == "auto":
            size = preset.only_size or rules.image_size(preset.default_size or rules.UNKNOWN_SIZE, 1, data)
        network = networks.build(preset.network, preset.weights, size)
        return network, inspect.inspect(network, asked.name, preset.weights, preset.convention, size)
    entry = table.find(asked.name)
    if size == "auto":
        size = rules.image_size(entry.default_size, entry.minimum_size, data)
    convention = entry.convention if asked.convention == "auto" else asked.convention
    network = networks.build(entry.name, asked.weights, size, dry)
    return network, inspect.inspect(network, entry.name, asked.weights, convention, size, entry.stages)


def check(plan: Plan, strategy: Any | None) -> None:
    """Check a plan against the devices it is to run on.

    Raises:
        RequestError: A batch cannot be shared by the replicas.
    """
    replicas = strategies.replicas(strategy)
    problems = [
        f"phases.{phase.name}.fit.batch_size: a global batch of {phase.fit.batch_size} cannot be shared by "
        f"{replicas} replicas; give at least {replicas}."
        for phase in plan.phases
        if phase.fit and phase.fit.batch_size < replicas
    ]
    if problems:
        raise RequestError(*problems)


def decoded(dataset: Dataset, plan: Plan, display: Display) -> dict[str, Images]:
    """Decode every split once, at the size the network sees, where a phase fits; a head alone needs no pixels kept."""
    found = {TRAIN: Images(dataset.train)}
    if not plan.folds:
        found[VALIDATION] = Images(dataset.validation)
    if dataset.test is not None:
        found[TEST] = Images(dataset.test)
    if dataset.unlabeled is not None and plan.takes_unlabeled:
        found[UNLABELED] = Images(dataset.unlabeled)
    if not plan.fits:
        return found
    problems: list[str] = []
    for split, images in found.items():
        try:
            with display.bar(f"reading {split} images", len(images.samples)) as tick:
                pixels = decoding.load(images.samples, plan.backbone.image_size, progress=tick)
            found[split] = replace(images, pixels=pixels)
        except DataError as error:
            problems += error.problems
    if problems:
        raise DataError(*problems)
    return found
