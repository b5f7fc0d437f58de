"""The straight line at work: images decoded once, each phase run in turn, one of them chosen, the report written."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerastune_recipes import distribution, features, metrics, rules, solvers, training
from kerastune_recipes.data import arrays
from kerastune_recipes.data.samples import Dataset
from kerastune_recipes.errors import DataError, RequestError
from kerastune_recipes.facts import BackboneFacts
from kerastune_recipes.journal import Journal, Outcome
from kerastune_recipes.model.assemble import Network, assemble
from kerastune_recipes.plan import FitPlan, PhasePlan, Plan, SolvePlan
from kerastune_recipes.preparation import Prepared
from kerastune_recipes.progress import Display, EpochLines, Ticks
from kerastune_recipes.report import Cost, Report, Split


@dataclass(frozen=True)
class Images:
    """Decoded images with their labels.

    Args:
        pixels: uint8 (n, s, s, 3).
        labels: int (n,).
    """

    pixels: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Decoded:
    """The images of every split.

    Args:
        train: To train on.
        validation: To choose with.
        test: To judge with, or None.
    """

    train: Images
    validation: Images
    test: Images | None


@dataclass(frozen=True)
class Bench:
    """All that the phases of one run work with.

    Args:
        plan: What to do.
        facts: The part of the backbone in use.
        network: The model.
        train: Images to train on.
        validation: Images to choose with.
        seed: Of shuffling, folds and augmentation.
        display: Where progress is shown.
        callbacks: The user's own Keras callbacks.
    """

    plan: Plan
    facts: BackboneFacts
    network: Network
    train: Images
    validation: Images
    seed: int
    display: Display
    callbacks: tuple[keras.callbacks.Callback, ...]


def decode(dataset: Dataset, plan: Plan, display: Display) -> Decoded:
    """Decode every split once, at the size the network sees.

    Args:
        dataset: The images.
        plan: What they are for.
        display: Where progress is shown.

    Raises:
        DataError: Images that cannot be decoded; all of them are named.
    """
    splits = {"training": dataset.train, "validation": dataset.validation, "test": dataset.test}
    found: dict[str, Images] = {}
    problems: list[str] = []
    for split, samples in splits.items():
        if samples is None:
            continue
        try:
            with display.bar(f"reading {split} images", len(samples)) as tick:
                pixels = arrays.load(samples, plan.backbone.image_size, progress=lambda done, total: tick(done))
            found[split] = Images(pixels, samples.labels)
        except DataError as error:
            problems += error.problems
    if problems:
        raise DataError(*problems)
    return Decoded(found["training"], found["validation"], found.get("test"))


def run(
    prepared: Prepared,
    images: Decoded,
    book: Journal,
    *,
    strategy: Any | None = None,
    seed: int = 0,
    display: Display,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> Report:
    """Run a plan.

    Args:
        prepared: The plan, the data, and the network, which was made within the scope of the strategy.
        images: What `decode` returned.
        book: What is finished already, and where the rest is kept.
        strategy: A tf.distribute.Strategy, or None.
        seed: Of everything random.
        display: Where progress is shown.
        callbacks: Keras callbacks for the fit phases.

    Raises:
        WorkError: Training diverged.
    """
    began = time.perf_counter()
    plan, dataset = prepared.plan, prepared.dataset
    keras.utils.set_random_seed(seed)
    with distribution.scope(strategy):
        network = assemble(plan, prepared.facts, prepared.network)
        bench = Bench(
            plan=plan,
            facts=prepared.facts.up_to(plan.features.taps),
            network=network,
            train=images.train,
            validation=images.validation,
            seed=seed,
            display=display,
            callbacks=tuple(callbacks),
        )
        seen = len(images.train.labels) + len(images.validation.labels)
        one_pass = features.seconds_one_forward_pass(network.extractor, images.train.pixels, seen)
        outcomes, chosen, probabilities = _phases(bench, book)
        _compile_for_the_user(network, dataset.one_hot_labels)
        test = Split(_predict(bench, images.test.pixels, "test"), images.test.labels) if images.test else None
    book.close()
    return Report.of_run(
        model=network.model,
        plan=plan,
        dataset=dataset,
        facts=prepared.facts,
        seed=seed,
        outcomes=outcomes,
        chosen=chosen,
        validation=Split(probabilities, images.validation.labels),
        test=test,
        cost=Cost(time.perf_counter() - began, one_pass, sum(outcome.seconds for outcome in outcomes)),
    )


def check(plan: Plan, strategy: Any | None) -> None:
    """Check a plan against the devices it is to run on.

    Raises:
        RequestError: A batch cannot be shared by the replicas.
    """
    replicas = distribution.replicas(strategy)
    problems = [
        f"phases.{phase.name}.fit.batch_size: a global batch of {phase.fit.batch_size} cannot be shared by "
        f"{replicas} replicas; give at least {replicas}."
        for phase in plan.phases
        if phase.fit and phase.fit.batch_size < replicas
    ]
    if problems:
        raise RequestError(*problems)


def _phases(bench: Bench, book: Journal) -> tuple[list[Outcome], int, np.ndarray]:
    """Run what is not finished; return all outcomes, the chosen one's position and its validation probabilities.

    The network is left with the chosen phase's weights.
    """
    outcomes = book.finished()
    kept: list[tuple[list[np.ndarray], np.ndarray]] = []
    for position, outcome in enumerate(outcomes, 1):
        probabilities = book.restore(position, bench.network.model)
        kept.append((bench.network.model.get_weights(), probabilities))
        bench.display.line(f"{outcome.name}: finished before, taken from the journal")
    for position, phase in enumerate(bench.plan.phases[len(outcomes) :], len(outcomes) + 1):
        outcome, probabilities = _phase(bench, phase, book.epochs(position))
        book.keep(position, outcome, bench.network.model, probabilities)
        outcomes.append(outcome)
        kept.append((bench.network.model.get_weights(), probabilities))
        bench.display.line(
            f"{outcome.name}: validation accuracy {outcome.validation['accuracy']:.1%}, "
            f"log loss {outcome.validation['log_loss']:.3f}, {outcome.seconds:.1f} s"
        )
    chosen = len(outcomes) - 1
    if bench.plan.keep == "best_on_validation":
        chosen = min(range(len(outcomes)), key=lambda one: outcomes[one].validation["log_loss"])
    weights, probabilities = kept[chosen]
    bench.network.model.set_weights(weights)
    return outcomes, chosen, probabilities


def _phase(bench: Bench, phase: PhasePlan, epochs: Path | None) -> tuple[Outcome, np.ndarray]:
    began = time.perf_counter()
    if phase.solve:
        outcome, probabilities = _solve(bench, phase.name, phase.solve)
    else:
        assert phase.fit is not None  # a phase is one or the other
        outcome, probabilities = _fit(bench, phase.name, phase.fit, epochs)
    seconds = time.perf_counter() - began
    validation = dict(metrics.summary(probabilities, bench.validation.labels))
    return Outcome(name=phase.name, kind=phase.kind, seconds=seconds, validation=validation, **outcome), probabilities


def _solve(bench: Bench, name: str, plan: SolvePlan) -> tuple[dict[str, Any], np.ndarray]:
    network, views = bench.network, bench.plan.features.views
    batches = views * -(-len(bench.train.labels) // features.BATCH) + -(-len(bench.validation.labels) // features.BATCH)
    with bench.display.bar(f"{name}: features", batches) as tick:
        ticks = [Ticks(tick)]
        train = features.extract(network.extractor, bench.train.pixels, views, ticks)
        (held,) = features.extract(network.extractor, bench.validation.pixels, 1, ticks)
    with bench.display.bar(f"{name}: solving", 1):
        solved = solvers.logistic_regression(train, bench.train.labels, plan.strengths, plan.folds, bench.seed)
    network.head.set_weights([solved.kernel, solved.bias])
    head = solved.kernel.size + solved.bias.size
    outcome = {
        "steps": 0,
        "trainable_parameters": head,
        "frozen_parameters": network.model.count_params() - head,
        "choices": {
            "strength": solved.strength,
            "temperature": solved.temperature,
            "log_loss_by_strength": {f"{tried:g}": loss for tried, loss in solved.log_loss_by_strength.items()},
        },
        "rows": (),
    }
    return outcome, solved.probabilities(held)


def _fit(bench: Bench, name: str, plan: FitPlan, epochs: Path | None) -> tuple[dict[str, Any], np.ndarray]:
    before = training.passes(plan, len(bench.train.labels), len(bench.validation.labels))
    with bench.display.bar(name, before + plan.steps) as tick:
        fitted = training.fit(
            bench.network,
            bench.facts,
            name,
            plan,
            (bench.train.pixels, bench.train.labels),
            (bench.validation.pixels, bench.validation.labels),
            seed=bench.seed,
            callbacks=[Ticks(lambda done: tick(before + done)), EpochLines(bench.display, name), *bench.callbacks],
            backup=epochs,
            progress=tick,
        )
    outcome = {
        "steps": fitted.steps,
        "trainable_parameters": fitted.trainable_parameters,
        "frozen_parameters": fitted.frozen_parameters,
        "choices": {},
        "rows": fitted.rows,
    }
    return outcome, _predict(bench, bench.validation.pixels, "validation")


def _predict(bench: Bench, pixels: np.ndarray, split: str) -> np.ndarray:
    with bench.display.bar(f"predicting {split} images", -(-len(pixels) // features.BATCH)) as tick:
        (probabilities,) = features.extract(bench.network.core, pixels, 1, [Ticks(tick)])
    return probabilities


def _compile_for_the_user(network: Network, one_hot_labels: bool) -> None:
    """Compile the whole model plainly, so that evaluate and fit go on working and any Keras can load it."""
    loss = keras.losses.CategoricalCrossentropy if one_hot_labels else keras.losses.SparseCategoricalCrossentropy
    rate = rules.FINE_TUNING_RATES["sgd"]
    network.model.compile(optimizer=keras.optimizers.SGD(rate, momentum=0.9), loss=loss(), metrics=["accuracy"])
    # Built, so that the saved file holds its variables and loads without a warning.
    network.model.optimizer.build(network.model.trainable_variables)
