"""A fit phase: freeze layers, compile with a fresh optimizer and call Keras's `fit`."""

import gc
import itertools
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from kerastune_recipes import interruption
from kerastune_recipes.arrays.files import AnyArray
from kerastune_recipes.backbones.facts import BackboneFacts
from kerastune_recipes.devices import data_parallel, graphs, replicated
from kerastune_recipes.devices.facts import Precision
from kerastune_recipes.devices.out_of_memory import is_out_of_memory
from kerastune_recipes.devices.workers import SINGLE, Workers
from kerastune_recipes.errors import OutOfMemoryWarning, WorkError
from kerastune_recipes.model import frozen_part
from kerastune_recipes.model.batch_norm import batch_norms
from kerastune_recipes.model.freeze import freeze, frozen_dropout_off
from kerastune_recipes.model.network import Network
from kerastune_recipes.model.reinitialize import reinitialize
from kerastune_recipes.planning import layer_patterns
from kerastune_recipes.planning.costs import steps_per_epoch
from kerastune_recipes.planning.layer_patterns import LayerGroup
from kerastune_recipes.planning.plan import FitPlan
from kerastune_recipes.training import accumulation, augmentation, frozen_views, losses, lr_range_test, optimizers
from kerastune_recipes.training.batches import Batches, LabelledBatches, LabelledViews
from kerastune_recipes.training.callbacks import EpochOrder, HistoryRecorder, ResumedCallbacks, StopAtStep
from kerastune_recipes.training.fit_checkpoint import Cadence, FitCheckpoint, FitState, SaveState, Session
from kerastune_recipes.training.lr_range_test import RangeTest
from kerastune_recipes.training.optimizers import ScheduleBuilder
from kerastune_recipes.training.snapshot import snapshot

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
        checkpoint: Where the state of the phase is saved, and from where an interrupted phase resumes; None for
            nowhere.
        progress: Called before the training with the number of batches that went through the frozen part.
        workers: The workers that share the work; all get the same arguments.
    """

    seed: int
    precision: Precision = "float32"
    jit_compile: bool | None = None
    callbacks: Sequence[keras.callbacks.Callback] = ()
    checkpoint: FitCheckpoint | None = None
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
        earlier_seconds: Seconds that the phase took before it was interrupted.
        parts: Number of parts in which the device saw each batch, above 1 where it had no memory for the whole.
    """

    rows: tuple[dict[str, float], ...]
    steps: int
    trainable_parameters: int
    frozen_parameters: int
    diverged: str = ""
    range_test: RangeTest | None = None
    earlier_seconds: float = 0.0
    parts: int = 1


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

    Where a device runs out of memory, the phase begins again with each batch in 2 parts, then 4, 8 and so on, whose
    gradients are summed: the steps and their order stay those of the plan.

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
        WorkError: The disk has no room for the views, or the device no memory for one image.

    Example:
        >>> fitted = fit(network, facts, "fine_tuning", plan, (images, labels), None, FitOptions(seed=0))
        >>> fitted.rows[-1]["loss"]
        0.31
    """
    classes = network.head.units
    resumed = options.checkpoint.load() if options.checkpoint else None
    fresh = layer_patterns.match_layers(plan.reinitialize, facts, f"phases.{phase}.fit.reinitialize")
    reinitialize(network.backbone, fresh, options.seed)
    groups, multipliers = freeze_layers(network, facts, phase, plan)
    batches: Batches = LabelledBatches(
        *train, classes, plan.batch_size, seed=options.seed, augment=_augment(plan, train[0].shape[1], options)
    )
    held_out: Batches | None = LabelledBatches(*validation, classes, plan.batch_size) if validation else None
    norms = replicated.synchronized(batch_norms(network.backbone))
    with frozen_dropout_off(network.backbone, groups), losses.l2_sp(network, plan.l2_sp, fresh), norms:
        model = network.core
        if plan.views is not None and not (resumed and resumed.done):
            model, batches, held_out = _with_cached_views(network, plan.views, batches, held_out, options)
        # Only now: a balanced epoch may leave out images, and the frozen part must see all of them.
        batches.balance(plan.class_balance, train[1])
        training = _Training(
            network, plan, multipliers, options, batches, *replicated.distribute(model, batches, held_out)
        )
        training, range_test, recorder = _train(phase, training, resumed)
    network.weights_changed()
    return Fitted(
        rows=tuple(recorder.rows),
        steps=recorder.step,
        trainable_parameters=_count(network.core.trainable_weights),
        frozen_parameters=_count(network.core.non_trainable_weights),
        diverged=_diverged(phase, training.plan, recorder.rows),
        range_test=range_test,
        earlier_seconds=resumed.seconds if resumed else 0.0,
        parts=training.parts,
    )


def freeze_layers(
    network: Network, facts: BackboneFacts, phase: str, plan: FitPlan
) -> tuple[Sequence[LayerGroup], Mapping[str, float]]:
    """Freeze and unfreeze layers as a phase states; for the arguments see `fit`.

    Returns:
        The groups of layers, and the learning-rate multiplier of each trained variable by its path.
    """
    groups = layer_patterns.group_layers(plan.trainable, facts, f"phases.{phase}.fit.trainable")
    fresh = layer_patterns.match_layers(plan.reinitialize, facts, f"phases.{phase}.fit.reinitialize")
    return groups, freeze(network, groups, plan.batch_norm, plan.batch_norm_momentum, fresh)


@dataclass(frozen=True)
class _Training:
    """Everything that a call of Keras's `fit` takes.

    Args:
        network: The network.
        plan: The plan of the phase.
        multipliers: Learning-rate multiplier of each trained variable, by its path.
        options: Seed, precision, callbacks and the like.
        batches: The training batches.
        model: The model to fit, with the layers of the network.
        data: The batches as `fit` takes them.
        validation_data: The validation batches as `fit` takes them, or None.
        parts: Number of parts in which the device sees a batch.
    """

    network: Network
    plan: FitPlan
    multipliers: Mapping[str, float]
    options: FitOptions
    batches: Batches
    model: keras.Model
    data: Any
    validation_data: Any
    parts: int = 1

    @property
    def largest_batch(self) -> int:
        """Number of images in the largest batch."""
        return max(self.batches.sizes)

    @property
    def at_once(self) -> int:
        """Number of images of a batch that a device sees at once."""
        return accumulation.part_size(self.largest_batch, self.parts, accumulation.replicas())

    def in_parts(self, parts: int) -> "_Training":
        """Return the same training with each batch in a number of parts."""
        divided = replace(self, parts=parts)
        return divided if parts == 1 else replace(divided, model=accumulation.in_parts(self.model, divided.at_once))

    def free(self) -> None:
        """Free what a failed call of `fit` leaves on the device: compiled functions and the optimizer's variables."""
        self.model.train_function = self.model.test_function = self.model.optimizer = None
        gc.collect()

    def compile(self, schedule: ScheduleBuilder = optimizers.schedule) -> None:
        """Compile the model with a fresh optimizer."""
        self.model.compile(
            optimizer=optimizers.build(self.plan, self.multipliers, self.options.precision, schedule),
            loss=losses.build(self.plan),
            metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
            jit_compile="auto" if self.options.jit_compile is None else self.options.jit_compile,
            auto_scale_loss=False,  # the optimizer of `optimizers.build` does
        )
        # Variables made in the first step would have TensorFlow trace it twice.
        self.model.optimizer.build(self.model.trainable_variables)

    def test_rates(self, schedule: ScheduleBuilder, steps: int, callbacks: Sequence[keras.callbacks.Callback]) -> None:
        """Train a few steps for the range test."""
        self.compile(schedule)
        self._fit(steps, [*callbacks, EpochOrder(self.batches), StopAtStep(steps)])

    def run(self, resumed: FitState | None, range_test: RangeTest | None) -> HistoryRecorder:
        """Train all steps, or those that an interrupted phase has left."""
        options, steps, epoch, first = self.options, self.plan.steps, 0, 0
        if resumed:
            epoch, first = resumed.epoch, resumed.batch
        recorder = HistoryRecorder(optimizers.schedule(self.plan))
        callbacks = [recorder, *options.callbacks, StopAtStep(steps)]
        order = EpochOrder(self.batches, epoch, first)
        if options.checkpoint is None:
            self.compile()
            self._fit(steps, [order, *callbacks], self.validation_data)
            return recorder
        if resumed and resumed.done:
            resumed.restore_weights(self.network)
            resumed.restore_callbacks(callbacks, options.checkpoint.notify)
            return recorder
        self.compile()
        saving = SaveState(
            options.checkpoint,
            self.network,
            self.model,
            callbacks,
            Cadence(options.workers),
            Session(resumed, range_test.to_data() if range_test else None, self.parts),
        )
        with interruption.deferred():
            self._fit(steps, [order, *callbacks, saving], self.validation_data, epoch, first)
        return recorder

    def _fit(
        self,
        steps: int,
        callbacks: Sequence[keras.callbacks.Callback],
        validation_data: Any = None,
        epoch: int = 0,
        first: int = 0,
    ) -> None:
        epochs = -(-steps // len(self.batches))
        with warnings.catch_warnings(), graphs.forgotten_after_fit(self.model):
            if first:
                # The first epoch has fewer batches than Keras expects.
                warnings.filterwarnings("ignore", message="Your input ran out of data")
            self.model.fit(
                data_parallel.pad(self.data),
                validation_data=data_parallel.pad(validation_data),
                epochs=epochs,
                initial_epoch=epoch,
                verbose=0,
                # The batches shuffle themselves; Keras would change their order again, by Python's global generator.
                shuffle=False,
                callbacks=ResumedCallbacks(
                    callbacks, first, add_history=True, model=self.model, epochs=epochs, steps=len(self.batches)
                ),
            )


def _train(
    phase: str, training: _Training, resumed: FitState | None
) -> tuple[_Training, RangeTest | None, HistoryRecorder]:
    """Train; where a device runs out of memory, begin again with each batch in twice as many parts.

    Returns:
        The training that succeeded, the range test where the plan asks for one, and the history.
    """
    undo = snapshot(training.model, training.options.callbacks)
    parts = resumed.parts if resumed else 1
    while True:
        attempt = training.in_parts(parts)
        try:
            return _attempt(attempt, resumed)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        # After the handler: the error holds the frames of the failed attempt, and they what is in its memory.
        _check_divisible(phase, attempt)
        attempt.free()
        undo()
        parts *= 2
        warnings.warn(
            f"Phase {phase}: the device has no memory for {attempt.at_once} images at once; the phase begins "
            f"again, with each batch in {parts} parts whose gradients are summed.",
            OutOfMemoryWarning,
            stacklevel=2,
        )


def _attempt(training: _Training, resumed: FitState | None) -> tuple[_Training, RangeTest | None, HistoryRecorder]:
    range_test = _range_test(training, resumed)
    if range_test:
        plan = training.plan.model_copy(update={"learning_rate": range_test.learning_rate})
        training = replace(training, plan=plan)
    return training, range_test, training.run(resumed, range_test)


def _indivisible(training: _Training) -> str:
    """Return the case in which batches are not divided, or an empty string."""
    if training.options.workers.size > 1:
        # The others wait for this one in the middle of a step.
        return "several workers train"
    norms = batch_norms(training.network.backbone)
    # TensorFlow has no sums over replicas within a loop.
    return (
        "several devices train BatchNormalization" if any(one.synchronized and one.trainable for one in norms) else ""
    )


def _check_divisible(phase: str, training: _Training) -> None:
    """Refuse a batch that does not fit into the memory of the device and cannot be divided further."""
    plan = training.plan
    case = _indivisible(training)
    if case:
        raise WorkError(
            f"Phase {phase}: a device has no memory for its share of a batch of {plan.batch_size} images, and batches "
            f"are not divided where {case}; give a smaller phases.{phase}.fit.batch_size, such as "
            f"{max(1, plan.batch_size // 2)}."
        )
    if training.at_once > 1:
        return
    size = training.network.core.input_shape[1]
    raise WorkError(
        f"Phase {phase}: the device has no memory to train on a single image of {size} x {size} pixels, of a batch of "
        f"{plan.batch_size}; give a smaller backbone.image_size, freeze more layers in "
        f"phases.{phase}.fit.trainable, or set precision to bfloat16 or float16 where the device supports it."
    )


def _range_test(training: _Training, resumed: FitState | None) -> RangeTest | None:
    if resumed and resumed.range_test:
        return RangeTest.from_data(resumed.range_test)
    if not training.plan.find_rate:
        return None
    sizes = [data_parallel.padded(size) for size in training.batches.sizes]
    return lr_range_test.find(training.model, training.plan, training.test_rates, sizes)


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
