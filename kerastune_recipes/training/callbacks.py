"""Keras callbacks of a fit phase."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from kerastune_recipes.progress import Display
from kerastune_recipes.training.batches import Batches


def _steps_done(model: keras.Model) -> int:
    """Return the number of optimizer steps; above 0 when a phase resumes from a checkpoint."""
    return int(keras.ops.convert_to_numpy(model.optimizer.iterations))


class EpochOrder(keras.callbacks.Callback):
    """Shuffles the batches by the number of the epoch, also in a phase that resumes from a checkpoint.

    Args:
        batches: Training batches.
        resumed_epoch: The epoch that a resumed phase continues, from 0.
        first: Number of the first batch of that epoch.
    """

    def __init__(self, batches: Batches, resumed_epoch: int = 0, first: int = 0):
        super().__init__()
        self.batches = batches
        self.resumed_epoch = resumed_epoch
        self.first = first

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.batches.start(epoch, self.first if epoch == self.resumed_epoch else 0)


class ResumedCallbacks(keras.callbacks.CallbackList):
    """Callbacks of a phase that resumes within an epoch: its batches are counted on, and it ends after its last one.

    Keras counts batches from 0, and asks for more than the epoch has left. TensorFlow would then advance the states of
    random generators before it finds that there is no batch; other backends find it first, and must find it.

    Args:
        callbacks: The callbacks.
        first: Number of the first batch of the first epoch.
        **options: Options of CallbackList; "steps" is the number of batches in an epoch.
    """

    def __init__(self, callbacks: Sequence[keras.callbacks.Callback], first: int, **options: Any):
        super().__init__(list(callbacks), **options)
        self.first = first
        self.cut = False

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self.cut:
            self.model.stop_training = self.cut = False
        super().on_epoch_end(epoch, logs)
        self.first = 0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        super().on_train_batch_begin(self.first + batch, logs)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        super().on_train_batch_end(self.first + batch, logs)
        if keras.backend.backend() != "tensorflow":
            return
        # Keras leaves the epoch, and the training with it unless that is revoked at the end of the epoch.
        if self.first and self.first + batch + 1 == self.params["steps"] and not self.model.stop_training:
            self.model.stop_training = self.cut = True


class HistoryRecorder(keras.callbacks.Callback):
    """Records one row for each epoch, with the learning rate of its last step, and stops when the loss is not finite.

    Args:
        schedule: Learning rate by step.
    """

    def __init__(self, schedule: keras.optimizers.schedules.LearningRateSchedule):
        super().__init__()
        self.schedule = schedule
        self.rows: list[dict[str, float]] = []
        self.step = 0

    def on_train_begin(self, logs: dict | None = None) -> None:
        self.step = _steps_done(self.model)

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.step += 1

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        rate = float(self.schedule(max(0, self.step - 1)))
        self.rows.append({"epoch": epoch + 1, "step": self.step, **(logs or {}), "learning_rate": rate})
        if not np.isfinite((logs or {}).get("loss", 0.0)):
            self.model.stop_training = True


class StopAtStep(keras.callbacks.Callback):
    """Stops the training at a step, which may be within an epoch.

    Args:
        steps: Optimizer steps of the phase.
    """

    def __init__(self, steps: int):
        super().__init__()
        self.steps = steps
        self.done = 0

    def on_train_begin(self, logs: dict | None = None) -> None:
        self.done = _steps_done(self.model)

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.done += 1
        if self.done >= self.steps:
            self.model.stop_training = True


class Ticks(keras.callbacks.Callback):
    """Advances a progress bar with each batch that is trained on or predicted.

    Args:
        tick: Called with the number of batches done so far.
    """

    def __init__(self, tick: Callable[[int], None]):
        super().__init__()
        self.tick = tick
        self.done = 0

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self._advance()

    def on_predict_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self._advance()

    def _advance(self) -> None:
        self.done += 1
        self.tick(self.done)


class EpochLines(keras.callbacks.Callback):
    """Prints one line for each epoch.

    Args:
        display: Where the lines are printed.
        phase: Name of the phase.
    """

    def __init__(self, display: Display, phase: str):
        super().__init__()
        self.display = display
        self.phase = phase

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        logs = logs or {}
        line = f"  {self.phase}, epoch {epoch + 1}/{self.params['epochs']}: "
        line += f"loss {logs['loss']:.3f}, accuracy {logs['accuracy']:.1%}"
        if "val_loss" in logs:
            line += f"; validation loss {logs['val_loss']:.3f}, accuracy {logs['val_accuracy']:.1%}"
        self.display.line(line)
