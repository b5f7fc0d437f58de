"""A fit phase: freeze layers, compile with a fresh optimizer and call Keras's `fit`."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerastune_recipes.arrays.files import AnyArray
from kerastune_recipes.backbones.facts import BackboneFacts
from kerastune_recipes.devices import data_parallel, replicated
from kerastune_recipes.devices.facts import Precision
from kerastune_recipes.devices.workers import SINGLE, Workers
from kerastune_recipes.model import frozen_part
from kerastune_recipes.model.batch_norm import batch_norms
from kerastune_recipes.model.freeze import freeze, frozen_dropout_off
from kerastune_recipes.model.network import Network
from kerastune_recipes.model.reinitialize import reinitialize
from kerastune_recipes.planning import layer_patterns
from kerastune_recipes.planning.costs import steps_per_epoch
from kerastune_recipes.planning.plan import FitPlan
from kerastune_recipes.training import augmentation, frozen_views, losses, lr_range_test, optimizers
from kerastune_recipes.training.batches import Batches, LabelledBatches, LabelledViews
from kerastune_recipes.training.callbacks import EpochOrder, HistoryRecorder, StopAtStep
from kerastune_recipes.training.lr_range_test import RangeTest
from kerastune_recipes.training.optimizers import ScheduleBuilder

# uint8 (n, s, s, 3) images and int (n,) labels.
LabelledImages = tuple[AnyArray, np.ndarray]


@dataclass(frozen=True)
class FitOptions:
    """How a fit phase runs, apart from what its plan states.

    Args:
        seed: Random seed of shuffling, augmentation and fresh weights.
        precision: Precision that the network computes in.
        jit_compile: Whether steps are compiled with XLA; None leaves it to Keras.
        callbacks: Further Keras callbacks.
        backup: Folder for a checkpoint of each epoch, from which an interrupted phase resumes; None writes none.
        progress: Called before the training with the number of batches that went through the frozen part.
        workers: The workers that share the work; all get the same arguments.
    """

    seed: int
    precision: Precision = "float32"
    jit_compile: bool | None = None
    callbacks: Sequence[keras.callbacks.Callback] = ()
    backup: Path | None = None
    progress: Callable[[int], None] = lambda done: None
    workers: Workers = SINGLE


@dataclass(frozen=True)
class Fitted:
    """The result of a fit phase.

    Args:
        rows: One for each epoch: epoch, step, loss, accuracy, val_loss, val_accuracy, learning_rate.
        steps: Optimizer updates made.
        trainable_parameters: Number of trained weights.
        frozen_parameters: Number of all other weights.
        diverged: What happened and what to do, where the loss became NaN or infinite and training stopped; else empty.
        range_test: The learning-rate range test, where the plan asks for one.
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
    train: LabelledImages,
    validation: LabelledImages | None,
    options: FitOptions,
) -> Fitted:
    """Train the layers that a phase names.

    Where the plan sets a number of views, the outputs of the frozen part are computed once for each view, and only the
    rest of the network is trained; the losses equal those of training the whole network on the same views.

    Call it within the scope of the distribution strategy.

    Args:
        network: The model; its weights are changed in place.
        facts: Facts of the part of the backbone in use.
        phase: Name of the phase, for errors.
        plan: The plan of the phase.
        train: Images and labels to train on.
        validation: Images and labels for validation after each epoch; None validates nothing.
        options: Seed, precision, callbacks and the like.

    Raises:
        WorkError: The disk has no room for the views.

    Example:
        >>> fitted = fit(network, facts, "fine_tuning", plan, (images, labels), None, FitOptions(seed=0))
        >>> fitted.rows[-1]["loss"]
        0.31
    """
    classes = network.head.units
    groups = layer_patterns.group_layers(plan.trainable, facts, f"phases.{phase}.fit.trainable")
    fresh = layer_patterns.match_layers(plan.reinitialize, facts, f"phases.{phase}.fit.reinitialize")
    reinitialize(network.backbone, fresh, options.seed)
    multipliers = freeze(network, groups, plan.batch_norm, plan.batch_norm_momentum, fresh)
    batches: Batches = LabelledBatches(
        *train, classes, plan.batch_size, seed=options.seed, augment=_augment(plan, train[0].shape[1], options)
    )
    held_out: Batches | None = LabelledBatches(*validation, classes, plan.batch_size) if validation else None
    norms = replicated.synchronized(batch_norms(network.backbone))
    with frozen_dropout_off(network.backbone, groups), losses.l2_sp(network, plan.l2_sp, fresh), norms:
        model = network.core
        if plan.views is not None:
            model, batches, held_out = _with_cached_views(network, plan.views, batches, held_out, options)
        # Only now: a balanced epoch may leave out images, and the frozen part must see all of them.
        batches.balance(plan.class_balance, train[1])
        model, training_data, validation_data = replicated.distribute(model, batches, held_out)

        def train_with(
            schedule: ScheduleBuilder, steps: int, callbacks: Sequence[keras.callbacks.Callback], validation: Any = None
        ) -> None:
            model.compile(
                optimizer=optimizers.build(plan, multipliers, options.precision, schedule),
                loss=losses.build(plan),
                metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
                jit_compile="auto" if options.jit_compile is None else options.jit_compile,
                auto_scale_loss=False,  # the optimizer of `optimizers.build` does
            )
            # Variables made in the first step would have TensorFlow trace it twice.
            model.optimizer.build(model.trainable_variables)
            model.fit(
                data_parallel.pad(training_data),
                validation_data=data_parallel.pad(validation),
                epochs=-(-steps // steps_per_epoch(len(train[1]), plan.batch_size)),
                verbose=0,
                # The batches shuffle themselves; Keras would change their order again, by Python's global generator.
                shuffle=False,
                callbacks=[*callbacks, EpochOrder(batches), StopAtStep(steps)],
            )

        range_test = lr_range_test.find(model, plan, train_with) if plan.find_rate else None
        if range_test:
            plan = plan.model_copy(update={"learning_rate": range_test.learning_rate})
        recorder = HistoryRecorder(optimizers.schedule(plan), options.backup)
        # The backup comes first: the other callbacks read the step that it restores.
        callbacks = [*_backup(options.backup), recorder, *options.callbacks]
        train_with(optimizers.schedule, plan.steps, callbacks, validation_data)
    network.weights_changed()
    return Fitted(
        rows=tuple(recorder.rows),
        steps=recorder.step,
        trainable_parameters=_count(network.core.trainable_weights),
        frozen_parameters=_count(network.core.non_trainable_weights),
        diverged=_diverged(phase, plan, recorder.rows),
        range_test=range_test,
    )


def _augment(plan: FitPlan, size: int, options: FitOptions) -> augmentation.Augment | None:
    # Each worker augments its shard with its own seed.
    seed = options.seed + (options.workers.index << 32)
    augment = augmentation.build([layer.model_dump() for layer in plan.augmentation], size, seed)
    return augment if plan.augmentation else None


def _diverged(phase: str, plan: FitPlan, rows: Sequence[dict[str, float]]) -> str:
    if not rows or np.isfinite(rows[-1]["loss"]):
        return ""
    return (
        f"Phase {phase}: the loss became {rows[-1]['loss']} in epoch {rows[-1]['epoch']} at a "
        f"peak learning rate of {plan.learning_rate:g}; run again with a smaller one: "
        f"--set phases.{phase}.fit.learning_rate={plan.learning_rate / 10:g}."
    )


def passes(plan: FitPlan, train: int, validation: int) -> int:
    """Return the number of batches that go through the frozen part before the training starts, 0 without views.

    Args:
        plan: The phase.
        train: Number of training images.
        validation: Number of validation images.
    """
    if plan.views is None:
        return 0
    return plan.views * steps_per_epoch(train, plan.batch_size) + steps_per_epoch(validation, plan.batch_size)


def _with_cached_views(
    network: Network,
    views: int,
    train: LabelledBatches,
    held_out: LabelledBatches | None,
    options: FitOptions,
) -> tuple[keras.Model, LabelledViews, LabelledViews | None]:
    """Cache the outputs of the frozen part; return the rest of the network and the batches that it trains on."""
    parts = frozen_part.split(network)
    done = itertools.count(1)

    def advance() -> None:
        options.progress(next(done))

    return (
        parts.rest,
        frozen_views.compute(parts.frozen, train, views, advance, workers=options.workers),
        frozen_views.compute(parts.frozen, held_out, 1, advance, workers=options.workers) if held_out else None,
    )


def _count(weights: Sequence) -> int:
    return int(sum(np.prod(weight.shape) for weight in weights))


def _backup(folder: Path | None) -> list[keras.callbacks.Callback]:
    # One folder for each phase: BackupAndRestore ignores freezing, and would restore one phase into another.
    return [] if folder is None else [keras.callbacks.BackupAndRestore(str(folder))]
