"""Keras optimizers and learning-rate schedules of a fit phase."""

from collections.abc import Mapping
from typing import Any, Protocol

import keras

from kerastune_recipes.devices.facts import Precision
from kerastune_recipes.devices.replicated import without_sum
from kerastune_recipes.planning.plan import FitPlan
from kerastune_recipes.training.losses import NOT_DECAYED

_CLASSES = {
    "sgd": keras.optimizers.SGD,
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "rmsprop": keras.optimizers.RMSprop,
    "adagrad": keras.optimizers.Adagrad,
}


# Names that every optimizer gets, with the number of its group. Keras would count them up from run to run, and
# TensorFlow keeps 35 KiB for each new name of a variable until the process ends.
_GROUP = "group_{}"
_GROUPS = "groups"
_SCALED = "scaled"


class ScheduleBuilder(Protocol):
    """Builds the learning-rate schedule of a phase, scaled by a multiplier."""

    def __call__(self, fit: FitPlan, multiplier: float = 1.0) -> keras.optimizers.schedules.LearningRateSchedule: ...


def schedule(fit: FitPlan, multiplier: float = 1.0) -> keras.optimizers.schedules.LearningRateSchedule:
    """Return the planned schedule: linear warmup from zero, then cosine decay to zero or constant.

    Args:
        fit: The phase.
        multiplier: Factor of its learning rate, above 0.
    """
    peak = fit.learning_rate * multiplier
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if fit.warmup_steps else peak,
        decay_steps=max(1, fit.steps - fit.warmup_steps),
        alpha=1.0 if fit.schedule == "constant" else 0.0,
        warmup_target=peak if fit.warmup_steps else None,
        warmup_steps=fit.warmup_steps,
    )


def build(
    fit: FitPlan,
    multipliers: Mapping[str, float],
    precision: Precision = "float32",
    build_schedule: ScheduleBuilder = schedule,
) -> keras.optimizers.Optimizer:
    """Build a fresh optimizer.

    Args:
        fit: The phase.
        multipliers: Learning-rate multiplier of each trained variable, by its path.
        precision: Precision that the network computes in.
        build_schedule: Builds the learning-rate schedule.

    Returns:
        One optimizer if all variables have the same learning rate, else a MultiOptimizer; for float16 inside a
        LossScaleOptimizer.
    """
    # The gradients of several replicas are summed before they are clipped, see `devices.replicated`.
    return without_sum(with_loss_scaling(_grouped(fit, multipliers, build_schedule), precision))


def with_loss_scaling(optimizer: keras.optimizers.Optimizer, precision: Precision) -> keras.optimizers.Optimizer:
    """Add dynamic loss scaling to the optimizer for float16, whose gradients would underflow.

    A step with an infinite or NaN gradient is skipped, and the scale halved (Micikevicius et al. 2018).
    """
    return keras.optimizers.LossScaleOptimizer(optimizer, name=_SCALED) if precision == "float16" else optimizer


def _grouped(
    fit: FitPlan, multipliers: Mapping[str, float], build_schedule: ScheduleBuilder
) -> keras.optimizers.Optimizer:
    rates = sorted(set(multipliers.values()), reverse=True)
    by_rate = {
        rate: _single(fit, build_schedule(fit, rate), _GROUP.format(number)) for number, rate in enumerate(rates)
    }
    if len(by_rate) == 1:
        (single,) = by_rate.values()
        single.global_clipnorm = fit.clip_norm
        return single
    paths = {path: by_rate[rate] for path, rate in multipliers.items()}
    fallback = next(iter(by_rate.values()))
    return GloballyClipped(keras.optimizers.OptimizerMap(fallback, paths), fit.clip_norm, name=_GROUPS)


def _single(
    fit: FitPlan, learning_rate: keras.optimizers.schedules.LearningRateSchedule, name: str
) -> keras.optimizers.Optimizer:
    arguments: dict[str, Any] = fit.optimizer.model_dump(exclude_none=True)
    averaged = "ema_momentum" in arguments
    cls = _CLASSES[arguments.pop("name")]
    optimizer = cls(learning_rate=learning_rate, use_ema=averaged, name=name, **arguments)
    # AdamW decays by default too, so the optimizer knows better than the plan.
    if optimizer.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=list(NOT_DECAYED))
    return optimizer


class GloballyClipped(keras.optimizers.MultiOptimizer):
    """A MultiOptimizer that clips by the global norm over all groups; Keras's own clips each group separately.

    Only used during a phase: the model that a run returns is compiled with a plain optimizer.
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
