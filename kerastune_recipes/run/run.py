"""Run a recipe or plan: prepare, run each phase, choose one, measure, report."""

import hashlib
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerastune_recipes import atomic_files, interruption, yaml_files
from kerastune_recipes.data import decoding
from kerastune_recipes.data.split_images import TEST, TRAIN
from kerastune_recipes.devices import data_parallel, strategies
from kerastune_recipes.devices.workers import Workers
from kerastune_recipes.errors import writing
from kerastune_recipes.features.bank import FeatureBank
from kerastune_recipes.features.cache import Cache, open_cache
from kerastune_recipes.features.fingerprint import fingerprint, weights_digest
from kerastune_recipes.model import forward
from kerastune_recipes.model.network import assemble
from kerastune_recipes.planning.plan import Plan
from kerastune_recipes.progress import Display
from kerastune_recipes.reporting.report import Cost, Report, RunFacts, Split
from kerastune_recipes.reporting.versions import versions
from kerastune_recipes.run import checkpoint as checkpoints
from kerastune_recipes.run import fit_phase, run_folder, selection
from kerastune_recipes.run.checkpoint import Checkpoint
from kerastune_recipes.run.context import RunContext
from kerastune_recipes.run.options import RunOptions
from kerastune_recipes.run.plain_model import compile_plainly, without_strategy
from kerastune_recipes.run.prepare import Prepared, check_replicas, decode, prepare, with_folds
from kerastune_recipes.run.request import Asked, Request, arguments_of, images_of
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
    with interruption.handled(), workers.report_lost_worker():
        folder = workers.barrier(lambda: _folder(ds, options))
        with checkpoints.shared(folder, options.resume, workers) as checkpoint:
            to_run = workers.barrier(lambda: checkpoint.plan_of(content))
            with strategies.scope(strategy):
                prepared = prepare(name, to_run, ds, options, network=network, workers=workers)
            check_replicas(prepared.plan, strategies.replicas(strategy))
            asked = Asked(name, content.to_data(), arguments_of(ds, options, network is not None))
            report = _work(prepared, asked, checkpoint, options, strategy, workers)
            workers.barrier(lambda: _save(report, content, folder, checkpoint))
    return report


def _folder(ds: Any, options: RunOptions) -> Path | None:
    return run_folder.prepare(
        options.out,
        resume=options.resume,
        overwrite=options.overwrite,
        sources={"images": ds, "unlabelled images": options.unlabeled},
    )


def _save(report: Report, content: RecipeSpec | Plan, folder: Path | None, checkpoint: Checkpoint) -> None:
    """Write the run folder: report.json, which says that the run is done, after all else; then drop the checkpoints."""
    if folder is None:
        return
    run_folder.check_own(folder)
    checkpoint.begin_saving()
    with writing(folder, "the report"):
        (folder / run_folder.REPORT).unlink(missing_ok=True)
        atomic_files.write(folder / "recipe.yaml", yaml_files.dump(content.to_data()))
    report.save(folder)
    checkpoint.remove()


def _work(
    prepared: Prepared, asked: Asked, checkpoint: Checkpoint, options: RunOptions, strategy: Any, workers: Workers
) -> Report:
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
        if checkpoint.folder:
            replicas = strategies.replicas(strategy)
            workers.barrier(lambda: checkpoint.compare(_request(asked, prepared, context, options, replicas)))
        initial_bank = context.bank()
        if plan.folds and plan.fits:
            selected = selection.by_folds(context, checkpoint)
        else:
            selected = selection.by_hold_out(context, checkpoint, dataset.held_out)
        judged = context.images[context.judged_split]
        splits = {"validation": Split(selected.probabilities, judged.labels, judged.groups, names=judged.names)}
        splits |= _test(context, dataset.seen_test)
        one_pass = _seconds_one_forward_pass(context, initial_bank)
        model = context.network.model
        if workers.size == 1:
            compile_plainly(model, dataset.one_hot_labels, plan.precision)
    if workers.size > 1:
        model = without_strategy(model)
        compile_plainly(model, dataset.one_hot_labels, plan.precision)
    notes = (*dataset.notes, *checkpoint.notes, *fit_phase.notes(plan.phases, selected.outcomes), *_prior(plan))
    in_phases = sum(outcome.seconds for outcome in selected.outcomes)
    return Report.of_run(
        model,
        RunFacts(plan, dataset.facts(), prepared.hardware, options.seed, prepared.plan_text, notes),
        selected,
        splits,
        Cost(time.perf_counter() - began + checkpoint.earlier_seconds, one_pass, in_phases),
    )


def _request(asked: Asked, prepared: Prepared, context: RunContext, options: RunOptions, replicas: int) -> Request:
    """Return what the run begins with.

    Raises:
        DataError: Images that cannot be read; all of them are named.
    """
    images, digests = images_of(prepared.dataset)
    hardware = prepared.hardware
    return Request(
        asked=asked,
        plan=prepared.plan.to_data(),
        seed=options.seed,
        backend=hardware.backend,
        images=images,
        weights={member.plan.name: weights_digest(member.backbone) for member in context.network.members},
        surroundings={
            **versions(hardware.backend),
            "device": f"{hardware.devices} {hardware.device}",
            "replicas": str(replicas),
        },
        digests=digests,
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


def _test(context: RunContext, seen: np.ndarray) -> dict[str, Split]:
    """Predict the test images, where there are any; without fit phases their features and the head are enough."""
    if TEST not in context.images:
        return {}
    predict = context.predict if context.plan.fits else context.predict_by_features
    test = context.images[TEST]
    return {"test": Split(predict(TEST), test.labels, test.groups, seen, test.names)}


def _prior(plan: Plan) -> list[str]:
    """Return a sentence about the class prior where classes are balanced."""
    if not plan.balanced:
        return []
    return [
        "Classes are balanced: the model's probabilities are for classes that are equally frequent, and phases are "
        "chosen by a log loss in which each class counts the same. For images in which classes are as unequal as in "
        "training, multiply each probability by the share of its class and divide by the sum."
    ]


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
