"""The straight line at work: images decoded once, each phase run in turn, one of them chosen, the report written."""

import hashlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from kerastune_recipes import yaml_files
from kerastune_recipes.data import decoding
from kerastune_recipes.data.split_images import TEST, TRAIN
from kerastune_recipes.devices import data_parallel, strategies
from kerastune_recipes.devices.facts import Precision
from kerastune_recipes.devices.workers import ALONE, Team
from kerastune_recipes.features import cache as stores
from kerastune_recipes.features.bank import Frozen
from kerastune_recipes.features.fingerprint import fingerprint
from kerastune_recipes.model import forward
from kerastune_recipes.model.network import assemble
from kerastune_recipes.planning import rules
from kerastune_recipes.progress import Display
from kerastune_recipes.reporting.report import Cost, Report, Split
from kerastune_recipes.run import context, selection
from kerastune_recipes.run.checkpoint import Journal
from kerastune_recipes.run.context import Bench
from kerastune_recipes.run.prepare import Prepared, decoded
from kerastune_recipes.run.selection import by_hold_out
from kerastune_recipes.training import optimizers


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
    team: Team = ALONE,
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
        team: Who shares the work; every worker calls this, and has the report in the end.

    Raises:
        RequestError: A worker has other images, another plan or other weights than the chief.
        DataError: Images that cannot be decoded; all of them are named, and nothing was written.
        WorkError: Training diverged.
    """
    began = time.perf_counter()
    plan, dataset = prepared.plan, prepared.dataset
    # The chief's store serves all, so that they agree on what is in it.
    with stores.opened(cache and team.chief) as store, strategies.scope(strategy):
        data_parallel.place(prepared.networks)
        network = assemble(plan, prepared.facts, *prepared.networks)
        bench = Bench(
            plan=plan,
            facts=prepared.facts.up_to(plan.features.taps),
            network=network,
            images=team.together(lambda: decoded(dataset, plan, display)),
            store=store,
            seed=seed,
            display=display,
            callbacks=tuple(callbacks),
            source=prepared.source,
            team=team,
        )
        team.agree(lambda: _marks(bench))
        pristine = bench.frozen()
        judged = (
            selection.by_folds(bench, book, begin)
            if plan.folds and plan.fits
            else by_hold_out(bench, dataset, book, begin)
        )
        test = _test(bench)
        one_pass = _one_forward_pass(bench, pristine)
        if team.size == 1:
            model = network.model
            _compile_for_the_user(model, dataset.one_hot_labels, plan.precision)
    if team.size > 1:
        # What was made for several workers needs all of them for each prediction.
        model = keras.Model.from_config(network.model.get_config())
        model.set_weights(network.model.get_weights())
        _compile_for_the_user(model, dataset.one_hot_labels, plan.precision)
    book.close()
    return Report.of_run(
        model=model,
        plan=plan,
        dataset=dataset,
        facts=prepared.facts,
        hardware=prepared.hardware,
        seed=seed,
        outcomes=judged.outcomes,
        chosen=judged.chosen,
        refitted=judged.refitted,
        validation=Split(judged.probabilities, bench.images[bench.judged].labels),
        test=test,
        cost=Cost(time.perf_counter() - began, one_pass, sum(outcome.seconds for outcome in judged.outcomes)),
    )


def _test(bench: Bench) -> Split | None:
    """Predict the test images, where there are any: by the head alone where their features are all there is."""
    if TEST not in bench.images:
        return None
    labels = bench.images[TEST].labels
    return Split(context.predict(bench, TEST) if bench.plan.fits else context.by_features(bench, TEST), labels)


def _one_forward_pass(bench: Bench, frozen: Frozen) -> float:
    """Return the seconds that one pass of the training and validation images takes.

    A run that computes features measures it on the way. One that finds them all in the store and solves a head only
    does not touch the network; it tells what was measured when they were computed.
    """
    count = sum(len(bench.images[split].samples) for split in {TRAIN, bench.judged})
    known = frozen.seconds_an_image()
    if known is not None and (frozen.computed or not bench.plan.fits):
        return known * count
    pixels = bench.images[TRAIN].pixels
    if pixels is None:
        sample = bench.images[TRAIN].samples.select(np.arange(min(forward.SAMPLE, len(bench.images[TRAIN].samples))))
        pixels = decoding.load(sample, bench.plan.backbone.image_size)
    seconds = forward.seconds_one_forward_pass(bench.network.extractor, pixels, count)
    frozen.measured(seconds / count)
    return seconds


def _marks(bench: Bench) -> dict[str, str]:
    """Return the digests of all that decides what a worker makes of the run."""
    images = hashlib.blake2b(digest_size=16)
    for split in bench.images.values():
        images.update(b"".join(split.samples.digests()))
    return {
        "plan": yaml_files.dump(bench.plan.to_data()),
        "weights": " ".join(fingerprint(member, bench.plan.head.pooling) for member in bench.network.members),
        "images": images.hexdigest(),
    }


def _compile_for_the_user(model: keras.Model, one_hot_labels: bool, precision: Precision) -> None:
    """Compile the whole model plainly, so that evaluate and fit go on working and any Keras can load it."""
    loss = keras.losses.CategoricalCrossentropy if one_hot_labels else keras.losses.SparseCategoricalCrossentropy
    # Without momentum, whose variables would double the file and take a moment to make.
    optimizer = optimizers.scaled(keras.optimizers.SGD(rules.FINE_TUNING_RATES["sgd"]), precision)
    # Not by XLA, which under TensorFlow knows no antialiased resizing: the saved file keeps what is said here, and may
    # be loaded under any backend.
    model.compile(optimizer=optimizer, loss=loss(), metrics=["accuracy"], jit_compile=False)
    # Built, so that the saved file holds its variables and loads without a warning.
    model.optimizer.build(model.trainable_variables)
