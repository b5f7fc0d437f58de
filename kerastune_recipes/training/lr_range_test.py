"""A range test (Smith 2017): the learning rate is raised step by step until training breaks; then all is put back."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import keras
import numpy as np

from kerastune_recipes.planning import rules
from kerastune_recipes.planning.plan import FitPlan
from kerastune_recipes.training.optimizers import Course

# How slowly the smoothed loss follows that of the batches.
_SMOOTHING = 0.9


@dataclass(frozen=True)
class RangeTest:
    """What a range test saw, and the peak rate that follows from it.

    Args:
        rates: At multiplier 1, one for each step.
        losses: Smoothed loss on the batch of that step, before the step was made.
        learning_rate: The peak rate to train at.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    learning_rate: float


def find(
    model: keras.Model,
    fit: FitPlan,
    train: Callable[[Course, int, Sequence[keras.callbacks.Callback]], None],
) -> RangeTest:
    """Find a peak learning rate; the model, its BatchNorm statistics and its random state are left as they were.

    Args:
        model: What is trained, compiled or not.
        fit: The phase; the rates tried lie around its own.
        train: Trains by a course of the rate, for so many steps, with callbacks and a fresh optimizer.

    Returns:
        What was seen; the rate is the phase's own where training never broke.
    """
    steps, span = rules.RANGE_TEST_STEPS, rules.RANGE_TEST_SPAN
    rates = fit.learning_rate * np.geomspace(1 / span, span, steps)
    watch = _Watch()
    with _put_back(model):
        train(_rising(float(rates[0]), float(rates[-1]), steps), steps, [watch])
    losses = np.array(watch.losses)
    seen = rates[: len(losses)]
    return RangeTest(tuple(map(float, seen)), tuple(watch.losses), suggested(seen, losses, fit.learning_rate))


def suggested(rates: np.ndarray, losses: np.ndarray, otherwise: float) -> float:
    """Return the peak rate that a range test speaks for.

    From a solved head the loss hardly falls, so neither its minimum nor its steepest fall says much. Where it breaks
    does: a fixed share of that rate is taken (`rules.RANGE_TEST_SHARE`).

    Args:
        rates: float (n,), rising.
        losses: float (n,), smoothed.
        otherwise: The rate to take where the loss never rose.

    Example:
        >>> suggested(np.array([0.001, 0.01, 0.1, 1.0]), np.array([1.0, 0.9, 0.9, 5.0]), 0.003) < 1.0
        True
    """
    lowest = np.minimum.accumulate(losses)
    broken = np.flatnonzero(losses > lowest + rules.RANGE_TEST_RISE)
    return float(f"{rates[broken[0]] * rules.RANGE_TEST_SHARE:.2g}") if len(broken) else otherwise


def _rising(low: float, high: float, steps: int) -> Course:
    def course(fit: FitPlan, multiplier: float = 1.0) -> keras.optimizers.schedules.LearningRateSchedule:
        return keras.optimizers.schedules.ExponentialDecay(low * multiplier, max(1, steps - 1), high / low)

    return course


class _Watch(keras.callbacks.Callback):
    """Smooths the loss of the batches, and ends the test when it has risen for good."""

    def __init__(self) -> None:
        super().__init__()
        self.losses: list[float] = []
        self._mean = 0.0
        self._batches, self._sum = 0, 0.0

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._batches, self._sum = 0, 0.0

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        # Keras tells the mean over the epoch so far, and under JAX its metrics cannot be reset before the end of it.
        self._batches += 1
        whole = self._batches * float((logs or {})["loss"])
        loss, self._sum = whole - self._sum, whole
        if not np.isfinite(loss):
            self.model.stop_training = True
            loss = float(np.finfo(np.float32).max)
        self._mean = _SMOOTHING * self._mean + (1 - _SMOOTHING) * loss
        # Not drawn towards the zero that it began with.
        self.losses.append(self._mean / (1 - _SMOOTHING ** (len(self.losses) + 1)))
        if self.losses[-1] > min(self.losses) + rules.RANGE_TEST_END:
            self.model.stop_training = True


@contextmanager
def _put_back(model: keras.Model) -> Iterator[None]:
    """Put back all variables of a model at the end: weights, statistics, and the state of what is random."""
    before = [(variable, keras.ops.convert_to_numpy(variable)) for variable in model.variables]
    try:
        yield
    finally:
        for variable, value in before:
            variable.assign(value)
