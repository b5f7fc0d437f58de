"""A `fit` phase: freeze, compile with a fresh optimizer, fit, all the Keras way."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerastune_recipes.arrays.files import Rows
from kerastune_recipes.backbones.facts import BackboneFacts
from kerastune_recipes.devices import data_parallel, replicated
from kerastune_recipes.devices.facts import Precision
from kerastune_recipes.devices.workers import ALONE, Team
from kerastune_recipes.model import frozen_part
from kerastune_recipes.model.batch_norm import batch_norms
from kerastune_recipes.model.freeze import freeze, still_dropout
from kerastune_recipes.model.network import Network
from kerastune_recipes.model.reinitialize import reinitialize
from kerastune_recipes.planning import layer_patterns
from kerastune_recipes.planning.costs import steps_per_epoch
from kerastune_recipes.planning.plan import FitPlan
from kerastune_recipes.training import augmentation, frozen_views, losses, lr_range_test, optimizers
from kerastune_recipes.training.batches import Batches, LabelledBatches, LabelledViews
from kerastune_recipes.training.callbacks import EpochOrder, HistoryRecorder, StopAtStep
from kerastune_recipes.training.lr_range_test import RangeTest
from kerastune_recipes.training.optimizers import Course

Labelled = tuple[Rows, np.ndarray]


@dataclass(frozen=True)
class Fitted:
    """What a fit phase did.

    Args:
        rows: One for each epoch: epoch, step, loss, accuracy, val_loss, val_accuracy, learning_rate.
        steps: Optimizer updates made.
        trainable_parameters: Weights that were trained.
        frozen_parameters: All others.
        diverged: What happened and what to do, in words, where the loss became no number; then training has stopped.
        range_test: What spoke for the peak learning rate, where it was to be found.
    """

    rows: tuple[dict[str, float], ...]
    steps: int
    trainable_parameters: int
    frozen_parameters: int
    diverged: str = ""
    range_test: RangeTest | None = None


def fit(
    network: Network,
    facts: BackboneFacts,
    phase: str,
    plan: FitPlan,
    train: Labelled,
    validation: Labelled | None,
    seed: int,
    precision: Precision = "float32",
    jit_compile: bool | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    backup: Path | None = None,
    progress: Callable[[int], None] = lambda done: None,
    team: Team = ALONE,
) -> Fitted:
    """Train the layers that a phase names.

    Where the plan says how many views, the part of the network that is fixed is passed through once for each of them,
    and only the rest is trained; the losses are those of training the whole on the same views.

    Call it within the scope of the distribution strategy.

    Args:
        network: The model; its weights are changed in place.
        facts: The part of the backbone in use.
        phase: Name of the phase, for errors.
        plan: What to do.
        train: uint8 (n, s, s, 3) images and int (n,) labels.
        validation: The same, to watch; or None.
        seed: Of shuffling, augmentation and fresh weights.
        precision: What the network computes in.
        jit_compile: Whether the steps are compiled; None leaves it to Keras.
        callbacks: Further Keras callbacks.
        backup: Folder for a checkpoint of each epoch, from which an interrupted phase goes on.
        progress: Told how many of the `passes` before the training are done.
        team: Who shares the work; all that is given is the same for all of them.

    Raises:
        WorkError: The disk has no room for the views.
    """
    classes = network.head.units
    groups = layer_patterns.groups(plan.trainable, facts, f"phases.{phase}.fit.trainable")
    fresh = layer_patterns.named(plan.reinitialize, facts, f"phases.{phase}.fit.reinitialize")
    reinitialize(network.backbone, fresh, seed)
    multipliers = freeze(network, groups, plan.batch_norm, plan.batch_norm_momentum, fresh)
    per_epoch = steps_per_epoch(len(train[1]), plan.batch_size)
    # Each worker augments its own share of a batch, and by its own lot.
    lot = seed + (team.index << 32)
    augment = augmentation.build([layer.model_dump() for layer in plan.augmentation], train[0].shape[1], lot)
    batches: Batches = LabelledBatches(
        *train, classes, plan.batch_size, seed=seed, augment=augment if plan.augmentation else None
    )
    held: Batches | None = LabelledBatches(*validation, classes, plan.batch_size) if validation else None
    norms = replicated.synchronized(batch_norms(network.backbone))
    with still_dropout(network.backbone, groups), losses.pulled(network, plan.l2_sp, fresh), norms:
        model = network.core
        if plan.views is not None:
            model, batches, held = _behind(network, plan.views, batches, held, progress, team)
        # Behind the frozen part too: there every image is passed through it, and drawn only afterwards.
        batches.balance(plan.class_balance, train[1])
        model, fed, watched = replicated.spread(model, batches, held)

        def train_by(
            course: Course, steps: int, callbacks: Sequence[keras.callbacks.Callback], watched: Any = None
        ) -> None:
            model.compile(
                optimizer=optimizers.build(plan, multipliers, precision, course),
                loss=losses.build(plan),
                metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
                jit_compile="auto" if jit_compile is None else jit_compile,
                auto_scale_loss=False,  # done by the plan
            )
            # Without its variables the first step would be traced twice: TensorFlow begins anew once some were made.
            model.optimizer.build(model.trainable_variables)
            model.fit(
                data_parallel.even(fed),
                validation_data=data_parallel.even(watched),
                epochs=-(-steps // per_epoch),
                verbose=0,
                # The batches shuffle themselves; Keras would change their order again, by Python's global generator.
                shuffle=False,
                callbacks=[*callbacks, EpochOrder(batches), StopAtStep(steps)],
            )

        range_test = lr_range_test.find(model, plan, train_by) if plan.find_rate else None
        if range_test:
            plan = plan.model_copy(update={"learning_rate": range_test.learning_rate})
        recorder = HistoryRecorder(optimizers.schedule(plan), backup)
        # The checkpoint is restored first, so that the others see how far the phase had come.
        train_by(optimizers.schedule, plan.steps, [*_backup(backup), recorder, *callbacks], watched)
    return Fitted(
        rows=tuple(recorder.rows),
        steps=recorder.step,
        trainable_parameters=_count(network.core.trainable_weights),
        frozen_parameters=_count(network.core.non_trainable_weights),
        diverged=_diverged(phase, plan, recorder.rows),
        range_test=range_test,
    )


def _diverged(phase: str, plan: FitPlan, rows: Sequence[dict[str, float]]) -> str:
    if not rows or np.isfinite(rows[-1]["loss"]):
        return ""
    return (
        f"Phase {phase}: the loss became {rows[-1]['loss']} in epoch {rows[-1]['epoch']} at a "
        f"peak learning rate of {plan.learning_rate:g}; run again with a smaller one: "
        f"--set phases.{phase}.fit.learning_rate={plan.learning_rate / 10:g}."
    )


def passes(plan: FitPlan, train: int, validation: int) -> int:
    """Return how many batches are passed through the fixed part before the training, 0 without views.

    Args:
        plan: The phase.
        train: Images to train on.
        validation: Images to watch.
    """
    if plan.views is None:
        return 0
    return plan.views * steps_per_epoch(train, plan.batch_size) + steps_per_epoch(validation, plan.batch_size)


def _behind(
    network: Network,
    views: int,
    train: LabelledBatches,
    held: LabelledBatches | None,
    progress: Callable[[int], None],
    team: Team,
) -> tuple[keras.Model, LabelledViews, LabelledViews | None]:
    """Return the rest of the network behind what is fixed, and what it is given for the images."""
    halves = frozen_part.split(network)
    done = itertools.count(1)

    def advance() -> None:
        progress(next(done))

    return (
        halves.rest,
        frozen_views.compute(halves.fixed, train, views, advance, team=team),
        frozen_views.compute(halves.fixed, held, 1, advance, team=team) if held else None,
    )


def _count(weights: Sequence) -> int:
    return int(sum(np.prod(weight.shape) for weight in weights))


def _backup(folder: Path | None) -> list[keras.callbacks.Callback]:
    # One folder a phase: BackupAndRestore knows nothing of freezing, and would restore one phase into another.
    return [] if folder is None else [keras.callbacks.BackupAndRestore(str(folder))]
