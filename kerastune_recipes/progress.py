"""What a person sees while work is under way: one bar for each piece of work, one line for each thing done."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

# Called with how much of a piece of work is done.
Tick = Callable[[int], None]


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
