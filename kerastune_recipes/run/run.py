"""Run a recipe or plan: prepare, run each phase, choose one, measure, report."""

import functools
import hashlib
import time
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from kerastune_recipes import yaml_files
from kerastune_recipes.data import decoding
from kerastune_recipes.data.split_images import TEST, TRAIN
from kerastune_recipes.devices import data_parallel, strategies
from kerastune_recipes.devices.workers import Workers
from kerastune_recipes.features.bank import FeatureBank
from kerastune_recipes.features.cache import Cache, open_cache
from kerastune_recipes.features.fingerprint import fingerprint
from kerastune_recipes.model import forward
from kerastune_recipes.model.network import assemble
from kerastune_recipes.planning.plan import Plan
from kerastune_recipes.progress import Display
from kerastune_recipes.reporting.report import Cost, Report, RunFacts, Split
from kerastune_recipes.run import checkpoint as checkpoints
from kerastune_recipes.run import run_folder, selection
from kerastune_recipes.run.checkpoint import Checkpoint
from kerastune_recipes.run.context import RunContext
from kerastune_recipes.run.options import RunOptions
from kerastune_recipes.run.plain_model import compile_plainly, without_strategy
from kerastune_recipes.run.prepare import Prepared, check_replicas, decode, prepare, with_folds
from kerastune_recipes.spec.recipe_spec import RecipeSpec


def run(
    name: str, content: RecipeSpec | Plan, ds: Any, options: RunOptions, network: keras.Model | None = None
) -> Report:
    """Run a recipe or plan.

    Args:
        name: Name of the recipe.
        content: The recipe, or a plan that was saved.
        ds: The images, in any form that `Recipe.run` takes.
        options: How to run it.
        network: A network of the user's own in place of the backbone, or None.

    Raises:
        RequestError: Something about the request is wrong; nothing was trained.
        WorkError: Training failed.
    """
    content = with_folds(name, content, options.folds)  # before any worker is waited for
    strategy = strategies.choose(options.strategy, notify=Display(options.verbose).line)
    workers = strategies.workers_of(strategy)
    if not workers.is_main:  # only the main worker writes and shows progress
        options = replace(options, out=None, resume=False, verbose=False)
    with workers.report_lost_worker():
        folder = workers.barrier(
            lambda: run_folder.prepare(options.out, resume=options.resume, overwrite=options.overwrite)
        )
        with strategies.scope(strategy):
            prepared = prepare(name, content, ds, options, network=network, workers=workers)
        check_replicas(prepared.plan, strategies.replicas(strategy))
        find = functools.partial(
            checkpoints.find,
            folder,
            content,
            prepared.plan,
            prepared.dataset,
            seed=options.seed,
            resume=options.resume,
        )
        with checkpoints.shared(workers, find) as checkpoint:
            report = _work(prepared, checkpoint, options, strategy, workers)
        workers.barrier(lambda: report.save(folder) if folder else None)
    return report


def _work(prepared: Prepared, checkpoint: Checkpoint, options: RunOptions, strategy: Any, workers: Workers) -> Report:
    """Run a prepared plan; every worker calls this and gets the report.

    Raises:
        RequestError: A worker has other images, another plan or other weights than the main worker.
        DataError: Images that cannot be decoded; all of them are named, and nothing was written.
        WorkError: Training diverged.
    """
    began = time.perf_counter()
    plan, dataset = prepared.plan, prepared.dataset
    # The main worker's cache serves all, so that they agree on what is in it.
    with open_cache(options.cache and workers.is_main) as cache, strategies.scope(strategy):
        context = _context(prepared, cache, options, workers)
        workers.check_same(lambda: _digests(context))
        initial_bank = context.bank()
        if plan.folds and plan.fits:
            selected = selection.by_folds(context, checkpoint)
        else:
            selected = selection.by_hold_out(context, checkpoint, dataset.held_out)
        splits = {"validation": Split(selected.probabilities, context.images[context.judged_split].labels)}
        splits |= _test(context)
        one_pass = _seconds_one_forward_pass(context, initial_bank)
        model = context.network.model
        if workers.size == 1:
            compile_plainly(model, dataset.one_hot_labels, plan.precision)
    if workers.size > 1:
        model = without_strategy(model)
        compile_plainly(model, dataset.one_hot_labels, plan.precision)
    checkpoint.remove()
    in_phases = sum(outcome.seconds for outcome in selected.outcomes)
    return Report.of_run(
        model,
        RunFacts(plan, dataset.facts(), prepared.hardware, options.seed, prepared.plan_text),
        selected,
        splits,
        Cost(time.perf_counter() - began, one_pass, in_phases),
    )


def _context(prepared: Prepared, cache: Cache, options: RunOptions, workers: Workers) -> RunContext:
    """Build the model and decode the images."""
    plan, display = prepared.plan, Display(options.verbose)
    data_parallel.place_on_devices(prepared.networks)
    network = assemble(plan, prepared.facts, *prepared.networks)
    return RunContext(
        plan=plan,
        facts=prepared.facts.up_to(plan.features.taps),
        network=network,
        images=workers.barrier(lambda: decode(prepared.dataset, plan, display)),
        cache=cache,
        seed=options.seed,
        display=display,
        callbacks=tuple(options.callbacks),
        classifier=prepared.classifier,
        workers=workers,
    )


def _test(context: RunContext) -> dict[str, Split]:
    """Predict the test images, where there are any; without fit phases their features and the head are enough."""
    if TEST not in context.images:
        return {}
    predict = context.predict if context.plan.fits else context.predict_by_features
    return {"test": Split(predict(TEST), context.images[TEST].labels)}


def _seconds_one_forward_pass(context: RunContext, bank: FeatureBank) -> float:
    """Return the seconds that one pass of the training and validation images takes.

    A run that computes features measures it while computing them. A run that finds all features in the cache and only
    solves a head does not use the network: it reports the seconds measured when the features were computed.
    """
    count = sum(len(context.images[split].samples) for split in {TRAIN, context.judged_split})
    known = bank.seconds_per_image()
    if known is not None and (bank.computed or not context.plan.fits):
        return known * count
    pixels = context.images[TRAIN].pixels
    if pixels is None:
        samples = context.images[TRAIN].samples
        sample = samples.select(np.arange(min(forward.SAMPLE, len(samples))))
        pixels = decoding.load(sample, context.plan.backbone.image_size)
    seconds = forward.seconds_one_forward_pass(context.network.extractor, pixels, count)
    bank.save_seconds_per_image(seconds / count)
    return seconds


def _digests(context: RunContext) -> dict[str, str]:
    """Return digests of everything that decides what a worker computes."""
    images = hashlib.blake2b(digest_size=16)
    for split in context.images.values():
        images.update(b"".join(split.samples.digests()))
    return {
        "plan": yaml_files.dump(context.plan.to_data()),
        "weights": " ".join(fingerprint(member, context.plan.head.pooling) for member in context.network.members),
        "images": images.hexdigest(),
    }
