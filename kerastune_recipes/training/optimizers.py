"""Keras optimizers and schedules as a plan's `fit` phase states them."""

from collections.abc import Mapping
from typing import Any, Protocol

import keras

from kerastune_recipes.devices.facts import Precision
from kerastune_recipes.planning.plan import FitPlan
from kerastune_recipes.training.losses import NOT_DECAYED

_CLASSES = {
    "sgd": keras.optimizers.SGD,
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "rmsprop": keras.optimizers.RMSprop,
    "adagrad": keras.optimizers.Adagrad,
}


class Course(Protocol):
    """The learning rate of a phase as a function of the step."""

    def __call__(self, fit: FitPlan, multiplier: float = 1.0) -> keras.optimizers.schedules.LearningRateSchedule: ...


def schedule(fit: FitPlan, multiplier: float = 1.0) -> keras.optimizers.schedules.LearningRateSchedule:
    """Return the course that the phase states: linear warmup from zero, then cosine to zero or constant."""
    peak = fit.learning_rate * multiplier
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if fit.warmup_steps else peak,
        decay_steps=max(1, fit.steps - fit.warmup_steps),
        alpha=1.0 if fit.schedule == "constant" else 0.0,
        warmup_target=peak if fit.warmup_steps else None,
        warmup_steps=fit.warmup_steps,
    )


def build(
    fit: FitPlan, multipliers: Mapping[str, float], precision: Precision = "float32", course: Course = schedule
) -> keras.optimizers.Optimizer:
    """Make a fresh optimizer.

    Args:
        fit: The phase.
        multipliers: Learning-rate multiplier of each trained variable, by its path.
        precision: What the network computes in.
        course: Of the learning rate.

    Returns:
        One optimizer where all variables share a rate, a MultiOptimizer otherwise; for float16 inside another that
        scales the loss.
    """
    return scaled(_grouped(fit, multipliers, course), precision)


def scaled(optimizer: keras.optimizers.Optimizer, precision: Precision) -> keras.optimizers.Optimizer:
    """Let the loss be scaled, so that no gradient is too small for float16, where the network computes in that.

    A step with a gradient that is not finite is skipped, and the scale halved (Micikevicius et al. 2018).
    """
    return keras.optimizers.LossScaleOptimizer(optimizer) if precision == "float16" else optimizer


def _grouped(fit: FitPlan, multipliers: Mapping[str, float], course: Course) -> keras.optimizers.Optimizer:
    by_rate = {rate: _single(fit, course(fit, rate)) for rate in sorted(set(multipliers.values()), reverse=True)}
    if len(by_rate) == 1:
        (single,) = by_rate.values()
        single.global_clipnorm = fit.clip_norm
        return single
    paths = {path: by_rate[rate] for path, rate in multipliers.items()}
    fallback = next(iter(by_rate.values()))
    return GloballyClipped(keras.optimizers.OptimizerMap(fallback, paths), fit.clip_norm)


def _single(fit: FitPlan, learning_rate: keras.optimizers.schedules.LearningRateSchedule) -> keras.optimizers.Optimizer:
    arguments: dict[str, Any] = fit.optimizer.model_dump(exclude_none=True)
    averaged = "ema_momentum" in arguments
    optimizer = _CLASSES[arguments.pop("name")](learning_rate=learning_rate, use_ema=averaged, **arguments)
    # Asked of the optimizer, as AdamW decays where nothing is said too.
    if optimizer.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=list(NOT_DECAYED))
    return optimizer


class GloballyClipped(keras.optimizers.MultiOptimizer):
    """A MultiOptimizer that clips by the norm over all groups; by itself each group would be clipped on its own.

    It lives only as long as its phase: the model that is handed over is compiled with a plain optimizer.
    """

    def __init__(self, optimizer_map: keras.optimizers.OptimizerMap, clip_norm: float | None, **kwargs: Any):
        super().__init__(optimizer_map, **kwargs)
        self.clip_norm = clip_norm

    def apply(self, grads: list, trainable_variables: list | None = None) -> None:
        if self.clip_norm is not None:
            norm = keras.ops.sqrt(sum(keras.ops.sum(keras.ops.square(grad)) for grad in grads))
            scale = self.clip_norm / keras.ops.maximum(norm, self.clip_norm)
            grads = [grad * keras.ops.cast(scale, grad.dtype) for grad in grads]
        super().apply(grads, trainable_variables)
