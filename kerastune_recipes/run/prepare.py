"""From a recipe and the user's data to everything a run needs: images, network, facts, plan."""

from dataclasses import dataclass, replace
from typing import Any

import keras

from kerastune_recipes import __version__
from kerastune_recipes.arrays import feature_matrix, memory
from kerastune_recipes.backbones import table
from kerastune_recipes.backbones.facts import BackboneFacts
from kerastune_recipes.backbones.pretrained_classifier import (
    PretrainedClassifier,
    classifier_facts,
    load_classifier,
)
from kerastune_recipes.data import decoding
from kerastune_recipes.data.dataset import Dataset, dataset_digest
from kerastune_recipes.data.facts import DatasetFacts
from kerastune_recipes.data.sources.open import open_dataset
from kerastune_recipes.data.split_images import TEST, TRAIN, UNLABELED, VALIDATION, Images, split_in_words
from kerastune_recipes.data.views import views
from kerastune_recipes.devices.facts import HardwareFacts
from kerastune_recipes.devices.hardware import inspect as inspect_hardware
from kerastune_recipes.devices.workers import SINGLE, Workers
from kerastune_recipes.errors import DataError, RecipeError, RequestError, listed
from kerastune_recipes.planning.check import check
from kerastune_recipes.planning.forecast import feature_count
from kerastune_recipes.planning.plan import Plan
from kerastune_recipes.planning.resolve import resolve
from kerastune_recipes.progress import Display, counts
from kerastune_recipes.records import digest
from kerastune_recipes.reporting.plan_text import describe
from kerastune_recipes.run.networks import at_other_sizes, build_networks
from kerastune_recipes.run.options import RunOptions
from kerastune_recipes.spec.recipe_spec import RecipeSpec
from kerastune_recipes.training import augmentation
from kerastune_recipes.units import format_bytes


@dataclass(frozen=True)
class Prepared:
    """A plan, and everything it was made from.

    Args:
        plan: The plan.
        dataset: The images.
        facts: Facts of the network, and of its companions in an ensemble.
        networks: The network itself, then its companions.
        hardware: What the plan is to run on.
        plan_text: The plan in words.
        classifier: The classifier that the network was pretrained with, where the plan uses it.
    """

    plan: Plan
    dataset: Dataset
    facts: BackboneFacts
    networks: tuple[keras.Model, ...]
    hardware: HardwareFacts
    plan_text: str
    classifier: PretrainedClassifier | None = None


def prepare(
    name: str,
    content: RecipeSpec | Plan,
    ds: Any,
    options: RunOptions,
    *,
    network: keras.Model | None = None,
    dry: bool = False,
    workers: Workers = SINGLE,
) -> Prepared:
    """Open the data, build the network and resolve the plan.

    Args:
        name: Name of the recipe.
        content: The recipe, or a plan that was saved.
        ds: The images, in any form that `open_dataset` takes.
        options: Seed, grouping, unlabelled images, the share to hold out and the range of pixels are taken from them.
        network: A network of the user's own in place of one from the table.
        dry: Leave the network's weights random and read none; only the plan may be used.
        workers: The workers that share the work; before anything is built they are checked to have been asked for the
            same.

    Raises:
        RequestError: Folds are asked for together with a share to hold out; a worker has other data, another recipe,
            another seed or other versions than the main worker; or the plan needs all features in memory at once, and
            they do not fit.
        DataError: The images cannot be used.
        RecipeError: The recipe does not fit the network, or lists augmentations that cannot be used.
        BackboneError: The network is unknown or cannot be built, or its pretrained classifier cannot be loaded.
    """
    if not dry:
        # Before the network is built, whose weights may be random.
        keras.utils.set_random_seed(options.seed)
    if content.folds and options.validation_split != "auto":
        raise RequestError(
            "validation_split (--validation-split): with folds no images are held out apart; leave one of the two out."
        )
    with counts(options.verbose):
        dataset = workers.barrier(lambda: open_dataset(ds, seed=options.seed, **options.of_data()))
    workers.check_same(
        lambda: {
            "data": dataset_digest(dataset),
            "recipe": digest(content),
            "seed": str(options.seed),
            "version of this package": __version__,
            "version of Keras": keras.__version__,
        }
    )
    if content.folds:
        dataset = dataset.pooled()
    data, hardware = dataset.facts(), inspect_hardware()
    networks, facts = build_networks(content, data, network, dry)
    if content.head.pooling == "flatten" and facts.name in table.BACKBONES and not content.ensemble:
        facts = replace(facts, other_sizes=at_other_sizes(facts))
    uses_classifier = any(one.solve and one.solve.head == "pretrained_classifier" for one in content.phases)
    if uses_classifier:
        facts = replace(facts, pretrained_classifier=classifier_facts(facts.name, facts.weights))
    plan = _plan(name, content, data, facts, hardware)
    _check_augmentation(plan)
    _check_memory(plan, data, facts)
    classifier = load_classifier(facts.name) if uses_classifier and not dry else None
    return Prepared(plan, dataset, facts, networks, hardware, describe(plan, data, facts), classifier)


def with_folds(name: str, content: RecipeSpec | Plan, folds: int | None) -> RecipeSpec | Plan:
    """Return a recipe that is judged by cross-validation; without `folds`, the recipe as it is.

    Raises:
        RecipeError: It is a plan, which has settled how it is judged, or the number of folds is not possible.
    """
    if folds is None:
        return content
    if isinstance(content, Plan):
        raise RecipeError(f"{name}: a plan states how it is judged; write folds: {folds} in its file.")
    return RecipeSpec.from_data({**content.to_data(), "folds": folds}, name)


def _plan(
    name: str, content: RecipeSpec | Plan, data: DatasetFacts, facts: BackboneFacts, hardware: HardwareFacts
) -> Plan:
    """Resolve a recipe; a plan that was saved is only checked."""
    if isinstance(content, Plan):
        check(content, data, facts)
        return content
    return resolve(name, content, data, facts, hardware)


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
    """Refuse a plan that needs all features in memory at once where they do not fit."""
    whole = [f"phases.{one.name}.solve.pseudo_labels" for one in plan.phases if one.solve and one.solve.pseudo_labels]
    if plan.folds is not None and not plan.fits:
        whole.insert(0, "folds")
    # A refit solves the head on the held-out images too.
    images = sum(data.train) + (sum(data.validation) if data.held_out else 0)
    shape = (len(views(plan.features.views, plan.features.flip)), images, feature_count(plan, facts))
    if whole and not feature_matrix.fits(shape):
        raise RequestError(
            f"{listed(whole)}: the features of {images} images must be in memory at once; they take "
            f"{format_bytes(feature_matrix.solved_bytes(shape))}, and the limit is "
            f"{format_bytes(memory.matrix_limit_bytes())}. Leave {listed(whole)} out, use fewer features with "
            f"features.taps: last, or set {memory.VARIABLE} higher."
        )


def check_replicas(plan: Plan, replicas: int) -> None:
    """Check that the replicas can share every batch of a plan.

    Raises:
        RequestError: A batch has fewer images than there are replicas.
    """
    problems = [
        f"phases.{phase.name}.fit.batch_size: {replicas} replicas cannot share a global batch of "
        f"{phase.fit.batch_size}; give at least {replicas}."
        for phase in plan.phases
        if phase.fit and phase.fit.batch_size < replicas
    ]
    if problems:
        raise RequestError(*problems)


def decode(dataset: Dataset, plan: Plan, display: Display) -> dict[str, Images]:
    """Return the images of every split; their pixels are decoded, once and at the network's size, where a phase fits.

    Raises:
        DataError: Images that cannot be decoded; all of them are named.
    """
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
            with display.bar(f"reading {split_in_words(split)}", len(images.samples)) as tick:
                pixels = decoding.load(images.samples, plan.backbone.image_size, progress=tick)
            found[split] = replace(images, pixels=pixels)
        except DataError as error:
            problems += error.problems
    if problems:
        raise DataError(*problems)
    return found
