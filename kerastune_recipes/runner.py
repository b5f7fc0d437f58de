"""The straight line at work: images decoded once, each phase run in turn, one of them chosen, the report written."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerastune_recipes import distribution, features, metrics, rules, solvers, training
from kerastune_recipes import store as stores
from kerastune_recipes.data import arrays
from kerastune_recipes.data.samples import Dataset
from kerastune_recipes.errors import DataError, RequestError
from kerastune_recipes.facts import BackboneFacts
from kerastune_recipes.forecast import feature_counts
from kerastune_recipes.frozen import TEST, TRAIN, VALIDATION, Frozen, Images
from kerastune_recipes.journal import Journal, Outcome
from kerastune_recipes.model.assemble import Network, assemble
from kerastune_recipes.model.fingerprint import fingerprint
from kerastune_recipes.model.source import Source
from kerastune_recipes.plan import FitPlan, Plan, SolvePlan
from kerastune_recipes.preparation import Prepared
from kerastune_recipes.progress import Display, EpochLines, Ticks
from kerastune_recipes.report import Cost, Report, Split
from kerastune_recipes.solvers import Solved, Start
from kerastune_recipes.store import Store
from kerastune_recipes.views import views


@dataclass(frozen=True)
class Bench:
    """All that the phases of one run work with.

    Args:
        plan: What to do.
        facts: The part of the backbone in use.
        network: The model.
        images: By split; "test" is missing where there is none.
        store: Where frozen work is kept.
        seed: Of shuffling, folds and augmentation.
        display: Where progress is shown.
        callbacks: The user's own Keras callbacks.
        source: The classifier that the backbone was pretrained with, where the plan uses it.
    """

    plan: Plan
    facts: BackboneFacts
    network: Network
    images: Mapping[str, Images]
    store: Store
    seed: int
    display: Display
    callbacks: tuple[keras.callbacks.Callback, ...]
    source: Source | None = None
    _frozen: list[Frozen] = field(default_factory=list)

    def frozen(self) -> Frozen:
        """Return the frozen work of the network as it is now."""
        if not self._frozen:
            backbone = self.plan.backbone
            taps = ", ".join(self.plan.features.taps)
            about = f"{backbone.name}, weights {backbone.weights}, {backbone.image_size} px, {taps}"
            found = Frozen(
                extractor=self.network.extractor,
                size=backbone.image_size,
                space=self.store.space(fingerprint(self.network, self.plan), about),
                views=views(self.plan.features.views, self.plan.features.flip),
                images=self.images,
                display=self.display,
                ahead=int(distribution.accelerated()),
                widths=feature_counts(self.plan, self.facts),
            )
            self._frozen.append(found)
        return self._frozen[0]

    def weights_moved(self) -> None:
        """Forget the frozen work: another network begins."""
        self._frozen.clear()


def run(
    prepared: Prepared,
    book: Journal,
    begin: Callable[[], None],
    *,
    strategy: Any | None = None,
    seed: int = 0,
    cache: bool = True,
    display: Display,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> Report:
    """Run a plan.

    Args:
        prepared: The plan, the data, and the network, which was made within the scope of the strategy.
        book: What is finished already, and where the rest is kept.
        begin: Called, perhaps more than once, before anything is written, when every image has been decoded.
        strategy: A tf.distribute.Strategy, or None.
        seed: Of everything random.
        cache: Keep frozen work for later runs, and take it from earlier ones.
        display: Where progress is shown.
        callbacks: Keras callbacks for the fit phases.

    Raises:
        DataError: Images that cannot be decoded; all of them are named, and nothing was written.
        WorkError: Training diverged.
    """
    began = time.perf_counter()
    plan, dataset = prepared.plan, prepared.dataset
    with stores.opened(cache) as store, distribution.scope(strategy):
        network = assemble(plan, prepared.facts, prepared.network)
        bench = Bench(
            plan=plan,
            facts=prepared.facts.up_to(plan.features.taps),
            network=network,
            images=_images(dataset, plan, display),
            store=store,
            seed=seed,
            display=display,
            callbacks=tuple(callbacks),
            source=prepared.source,
        )
        pristine = bench.frozen()
        outcomes, chosen, probabilities = _phases(bench, book, begin)
        test = _test(bench)
        one_pass = _one_forward_pass(bench, pristine)
        _compile_for_the_user(network, dataset.one_hot_labels)
    book.close()
    return Report.of_run(
        model=network.model,
        plan=plan,
        dataset=dataset,
        facts=prepared.facts,
        seed=seed,
        outcomes=outcomes,
        chosen=chosen,
        validation=Split(probabilities, dataset.validation.labels),
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


def _images(dataset: Dataset, plan: Plan, display: Display) -> dict[str, Images]:
    """Decode every split once, at the size the network sees, where a phase fits; a head alone needs no pixels kept."""
    found = {TRAIN: Images(dataset.train), VALIDATION: Images(dataset.validation)}
    if dataset.test is not None:
        found[TEST] = Images(dataset.test)
    if not _fits(plan):
        return found
    problems: list[str] = []
    for split, images in found.items():
        try:
            with display.bar(f"reading {split} images", len(images.samples)) as tick:
                pixels = arrays.load(images.samples, plan.backbone.image_size, progress=tick)
            found[split] = replace(images, pixels=pixels)
        except DataError as error:
            problems += error.problems
    if problems:
        raise DataError(*problems)
    return found


def _fits(plan: Plan) -> bool:
    return any(phase.fit for phase in plan.phases)


def _phases(bench: Bench, book: Journal, begin: Callable[[], None]) -> tuple[list[Outcome], int, np.ndarray]:
    """Run what is not finished; return all outcomes, the chosen one's position and its validation probabilities.

    The network is left with the chosen phase's weights.
    """
    outcomes = book.finished()
    kept: list[tuple[list[np.ndarray], np.ndarray]] = []
    for position, outcome in enumerate(outcomes, 1):
        probabilities = book.restore(position, bench.network.model)
        kept.append((bench.network.model.get_weights(), probabilities))
        bench.display.line(f"{outcome.name}: finished before, taken from the journal")
        bench.weights_moved()
    for position, phase in enumerate(bench.plan.phases[len(outcomes) :], len(outcomes) + 1):
        if phase.solve:
            outcome, probabilities = _solve(bench, phase.name, phase.solve)
            begin()
        else:
            assert phase.fit is not None  # a phase is one or the other
            begin()
            outcome, probabilities = _fit(bench, phase.name, phase.fit, book.epochs(position))
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


def _solve(bench: Bench, name: str, plan: SolvePlan) -> tuple[Outcome, np.ndarray]:
    began = time.perf_counter()
    network, frozen = bench.network, bench.frozen()
    start = _start(bench, plan)
    solved = frozen.recall(plan, bench.seed, start)
    needed = [split for split in bench.images if split != TRAIN or solved is None]
    # Without a phase that fits, nobody has decoded the test images yet, and one that is damaged must be told of now.
    elsewhere = _look(frozen, [split for split in needed if split != TEST or not _fits(bench.plan)])
    if solved is None:
        with bench.display.bar(f"{name}: solving", 1):
            solved = frozen.solve(plan, bench.seed, start)
    network.put_head(solved.kernel, solved.bias)
    probabilities = solved.probabilities(frozen.features(VALIDATION).rows[0])
    seconds = time.perf_counter() - began - elsewhere
    head = solved.kernel.size + solved.bias.size
    return Outcome(
        name=name,
        kind="solve",
        seconds=seconds,
        steps=0,
        trainable_parameters=head,
        frozen_parameters=network.model.count_params() - head,
        validation=dict(metrics.summary(probabilities, bench.images[VALIDATION].labels)),
        choices={
            "head": plan.head,
            "class_balance": plan.class_balance,
            "strength": solved.strength,
            "temperature": solved.temperature,
            "judged_by": solved.judged_by,
            "log_loss_by_strength": {f"{tried:g}": loss for tried, loss in solved.log_loss_by_strength.items()},
            **_tap(solved, bench.plan.features.taps),
            **_source_classes(bench, plan),
            "features_computed": frozen.computed,
        },
        rows=(),
    ), probabilities


def _start(bench: Bench, plan: SolvePlan) -> Start | None:
    """Return the columns of the source classifier that a head starts from, where it does."""
    if plan.source_classes is None:
        return None
    assert bench.source is not None  # it is loaded where a plan uses it
    wanted = [plan.source_classes.get(name, ()) for name in bench.plan.class_names]
    return solvers.start(bench.source.kernel, bench.source.bias, wanted)


def _source_classes(bench: Bench, plan: SolvePlan) -> dict[str, Any]:
    """Say which source classes each class of the data was taken from, where they were."""
    if plan.source_classes is None:
        return {}
    called = bench.facts.source.called
    return {"source_classes": {name: list(map(called, found)) for name, found in plan.source_classes.items()}}


def _tap(solved: Solved, taps: Sequence[str]) -> dict[str, Any]:
    """Say which tap was chosen, and what each gave, where one was to be."""
    if solved.tap is None:
        return {}
    return {"tap": taps[solved.tap], "log_loss_by_tap": dict(zip(taps, solved.log_loss_by_tap, strict=True))}


def _look(frozen: Frozen, splits: Sequence[str]) -> float:
    """Take the features of splits; return the seconds of it that are no work of a phase.

    Raises:
        DataError: Images of any split that cannot be decoded, all of them.
    """
    problems: list[str] = []
    elsewhere = 0.0
    for split in splits:
        if frozen.has(split):
            continue
        began = time.perf_counter()
        try:
            found = frozen.features(split)
        except DataError as error:
            problems += error.problems
            continue
        elsewhere += time.perf_counter() - began if split == TEST else found.seconds_aside
    if problems:
        raise DataError(*problems)
    return elsewhere


def _fit(bench: Bench, name: str, plan: FitPlan, epochs: Path | None) -> tuple[Outcome, np.ndarray]:
    began = time.perf_counter()
    train, validation = bench.images[TRAIN], bench.images[VALIDATION]
    before = training.passes(plan, len(train.labels), len(validation.labels))
    with bench.display.bar(name, before + plan.steps) as tick:
        fitted = training.fit(
            bench.network,
            bench.facts,
            name,
            plan,
            (train.pixels, train.labels),
            (validation.pixels, validation.labels),
            seed=bench.seed,
            callbacks=[Ticks(lambda done: tick(before + done)), EpochLines(bench.display, name), *bench.callbacks],
            backup=epochs,
            progress=tick,
        )
    bench.weights_moved()
    probabilities = _predict(bench, VALIDATION)
    seconds = time.perf_counter() - began
    return Outcome(
        name=name,
        kind="fit",
        seconds=seconds,
        steps=fitted.steps,
        trainable_parameters=fitted.trainable_parameters,
        frozen_parameters=fitted.frozen_parameters,
        validation=dict(metrics.summary(probabilities, validation.labels)),
        choices={},
        rows=fitted.rows,
    ), probabilities


def _predict(bench: Bench, split: str) -> np.ndarray:
    pixels = bench.images[split].pixels
    with bench.display.bar(f"predicting {split} images", len(pixels)) as tick:
        return features.predict(bench.network.core, pixels, tick)


def _test(bench: Bench) -> Split | None:
    """Predict the test images, where there are any: by the head alone where their features are all there is."""
    if TEST not in bench.images:
        return None
    labels = bench.images[TEST].labels
    if _fits(bench.plan):
        return Split(_predict(bench, TEST), labels)
    kernel, bias = bench.network.head.get_weights()
    return Split(solvers.probabilities(bench.frozen().features(TEST).rows[0], kernel, bias), labels)


def _one_forward_pass(bench: Bench, frozen: Frozen) -> float:
    """Return the seconds that one pass of the training and validation images takes.

    A run that computes features measures it on the way. One that finds them all in the store and solves a head only
    does not touch the network; it tells what was measured when they were computed.
    """
    count = sum(len(bench.images[split].samples) for split in (TRAIN, VALIDATION))
    known = frozen.seconds_an_image()
    if known is not None and (frozen.computed or not _fits(bench.plan)):
        return known * count
    pixels = bench.images[TRAIN].pixels
    if pixels is None:
        sample = bench.images[TRAIN].samples.select(np.arange(min(features.SAMPLE, len(bench.images[TRAIN].samples))))
        pixels = arrays.load(sample, bench.plan.backbone.image_size)
    seconds = features.seconds_one_forward_pass(bench.network.extractor, pixels, count)
    frozen.space.measured(seconds / count)
    return seconds


def _compile_for_the_user(network: Network, one_hot_labels: bool) -> None:
    """Compile the whole model plainly, so that evaluate and fit go on working and any Keras can load it."""
    loss = keras.losses.CategoricalCrossentropy if one_hot_labels else keras.losses.SparseCategoricalCrossentropy
    # Without momentum, whose variables would double the file and take a moment to make.
    optimizer = keras.optimizers.SGD(rules.FINE_TUNING_RATES["sgd"])
    network.model.compile(optimizer=optimizer, loss=loss(), metrics=["accuracy"])
    # Built, so that the saved file holds its variables and loads without a warning.
    network.model.optimizer.build(network.model.trainable_variables)
