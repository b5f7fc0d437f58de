"""What a person sees while work is under way: one bar for each piece of work, one line for each thing done."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import keras
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class Display:
    """Bars and lines on standard error, and lines alone where that is no terminal; silent when told so.

    Args:
        visible: False prints nothing.
    """

    def __init__(self, visible: bool = True):
        self.console = Console(stderr=True, quiet=not visible)

    def line(self, text: str) -> None:
        """Print one line; it stays."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def bar(self, title: str, total: int) -> Iterator[Callable[[int], None]]:
        """Show a bar with the time left; the function given is told how much is done."""
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:.0f}/{task.total:.0f}"))
        times = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
        hidden = not (self.console.is_terminal or self.console.is_jupyter)
        with Progress(*columns, *times, console=self.console, transient=True, disable=hidden) as progress:
            task = progress.add_task(title, total=total)
            yield lambda done: progress.update(task, completed=done)


class Ticks(keras.callbacks.Callback):
    """Tells a bar of every batch that has been trained on or predicted.

    Args:
        tick: Told how many batches are done in all.
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
        display: Where to.
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
