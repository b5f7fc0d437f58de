"""Keras callbacks of a fit phase."""

import json
from collections.abc import Callable
from pathlib import Path

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
    """

    def __init__(self, batches: Batches):
        super().__init__()
        self.batches = batches

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.batches.start(epoch)


class HistoryRecorder(keras.callbacks.Callback):
    """Records one row for each epoch, with the learning rate of its last step, and stops when the loss is not finite.

    Args:
        schedule: Learning rate by step.
        folder: Folder where the rows are saved too, so that an interrupted phase can resume; None saves none.
    """

    def __init__(self, schedule: keras.optimizers.schedules.LearningRateSchedule, folder: Path | None):
        super().__init__()
        self.schedule = schedule
        self.file = folder / "rows.json" if folder else None
        self.rows: list[dict[str, float]] = []
        self.step = 0

    def on_train_begin(self, logs: dict | None = None) -> None:
        self.step = _steps_done(self.model)
        if self.step and self.file and self.file.is_file():
            self.rows = [row for row in json.loads(self.file.read_text()) if row["step"] <= self.step]

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.step += 1

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        rate = float(self.schedule(max(0, self.step - 1)))
        self.rows.append({"epoch": epoch + 1, "step": self.step, **(logs or {}), "learning_rate": rate})
        if self.file:
            self.file.write_text(json.dumps(self.rows))
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
