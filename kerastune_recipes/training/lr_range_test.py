"""Learning-rate range test (Smith 2017): raise the rate until training diverges, then restore the model."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import keras
import numpy as np

from kerastune_recipes.planning import rules
from kerastune_recipes.planning.plan import FitPlan
from kerastune_recipes.training.optimizers import ScheduleBuilder
from kerastune_recipes.training.snapshot import snapshot

# Decay of the moving average of the batch losses.
_SMOOTHING = 0.9


@dataclass(frozen=True)
class RangeTest:
    """The result of a range test.

    Args:
        rates: Learning rate of each step, for layers with multiplier 1.
        losses: Smoothed loss on the batch of each step, before its update.
        learning_rate: Suggested peak learning rate.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    learning_rate: float

    def to_data(self) -> dict[str, Any]:
        """Return the result as data for JSON."""
        return {"rates": list(self.rates), "losses": list(self.losses), "learning_rate": self.learning_rate}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Return the result that `to_data` wrote."""
        return cls(tuple(data["rates"]), tuple(data["losses"]), data["learning_rate"])


def find(
    model: keras.Model,
    fit: FitPlan,
    train: Callable[[ScheduleBuilder, int, Sequence[keras.callbacks.Callback]], None],
    sizes: Sequence[int],
) -> RangeTest:
    """Find a peak learning rate; weights, BatchNormalization statistics and random states of the model are restored.

    Args:
        model: The model to train, compiled or not.
        fit: The phase; the rates tried are centred on its own, on a logarithmic scale.
        train: Trains with a schedule, a number of steps and callbacks, and with a fresh optimizer.
        sizes: Images in each batch of an epoch, as the devices see them.

    Returns:
        The rates, losses and suggested rate: the phase's own rate if training never diverged.
    """
    steps, span = rules.RANGE_TEST_STEPS, rules.RANGE_TEST_SPAN
    rates = fit.learning_rate * np.geomspace(1 / span, span, steps)
    recorder = _LossRecorder(sizes)
    restore = snapshot(model)
    try:
        train(_exponential(float(rates[0]), float(rates[-1]), steps), steps, [recorder])
    finally:
        restore()
    losses = np.array(recorder.losses)
    tried = rates[: len(losses)]
    return RangeTest(tuple(map(float, tried)), tuple(recorder.losses), suggested(tried, losses, fit.learning_rate))


def suggested(rates: np.ndarray, losses: np.ndarray, default: float) -> float:
    """Return the peak learning rate that a range test suggests: a fixed share of the rate at which training diverges.

    The minimum and the steepest fall of the loss, which other range tests use, are not informative here: the loss of a
    solved head hardly falls. The share is `rules.RANGE_TEST_SHARE`.

    Args:
        rates: float (n,), increasing.
        losses: float (n,), smoothed.
        default: The rate to return if the loss never rises.

    Example:
        >>> suggested(np.array([0.001, 0.01, 0.1, 1.0]), np.array([1.0, 0.9, 0.9, 5.0]), 0.003) < 1.0
        True
    """
    lowest = np.minimum.accumulate(losses)
    diverged = np.flatnonzero(losses > lowest + rules.RANGE_TEST_RISE)
    return float(f"{rates[diverged[0]] * rules.RANGE_TEST_SHARE:.2g}") if len(diverged) else default


def _exponential(low: float, high: float, steps: int) -> ScheduleBuilder:
    def build(fit: FitPlan, multiplier: float = 1.0) -> keras.optimizers.schedules.LearningRateSchedule:
        return keras.optimizers.schedules.ExponentialDecay(low * multiplier, max(1, steps - 1), high / low)

    return build


class _LossRecorder(keras.callbacks.Callback):
    """Records the smoothed loss of each batch, and stops the test once it has risen by `rules.RANGE_TEST_END`.

    Args:
        sizes: Images in each batch of an epoch.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        self.losses: list[float] = []
        self._sizes = sizes
        self._mean = 0.0
        self._images, self._sum = 0, 0.0

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._images, self._sum = 0, 0.0

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        # Keras reports the mean over the images of the epoch so far, and under JAX metrics cannot be reset within it.
        self._images += self._sizes[batch]
        total = self._images * float((logs or {})["loss"])
        loss, self._sum = (total - self._sum) / self._sizes[batch], total
        if not np.isfinite(loss):
            self.model.stop_training = True
            loss = float(np.finfo(np.float32).max)
        self._mean = _SMOOTHING * self._mean + (1 - _SMOOTHING) * loss
        # Corrects the bias towards the initial zero, as Adam does.
        self.losses.append(self._mean / (1 - _SMOOTHING ** (len(self.losses) + 1)))
        if self.losses[-1] > min(self.losses) + rules.RANGE_TEST_END:
            self.model.stop_training = True
