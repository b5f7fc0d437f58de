"""Progress on standard error, one bar for each piece of work and one line for each result; tables as plain text."""

import io
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from kerastune_recipes import printable

# Receives the amount of work done so far.
Tick = Callable[[int], None]

_Item = TypeVar("_Item")
# Seconds after which a count is shown for the first time; each further one comes after twice as long, up to the last.
_FIRST_COUNT, _LONGEST_WAIT = 5.0, 60.0
_shows_counts: ContextVar[bool] = ContextVar("shows_counts", default=True)


class Display:
    """Bars and lines on standard error; only lines when that is not a terminal.

    Args:
        visible: False prints nothing.

    Example:
        >>> with Display(visible=False).bar("decoding", total=2) as tick:
        ...     tick(1)
        ...     tick(2)
    """

    def __init__(self, visible: bool = True):
        self.console = Console(stderr=True, quiet=not visible)

    def line(self, text: str) -> None:
        """Print one line, or several with line feeds between; they stay on the screen and cannot steer the terminal."""
        self.console.print(printable.lines(text), highlight=False, markup=False, emoji=False, soft_wrap=True)

    @contextmanager
    def bar(self, title: str, total: int) -> Iterator[Tick]:
        """Show a bar with the time left; it disappears at the end.

        Args:
            title: Text before the bar.
            total: Amount of work at 100%.

        Returns:
            A function that receives the amount of work done so far.
        """
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:.0f}/{task.total:.0f}"))
        times = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
        hidden = not (self.console.is_terminal or self.console.is_jupyter)
        with Progress(*columns, *times, console=self.console, transient=True, disable=hidden) as progress:
            task = progress.add_task(escape(printable.one_line(title)), total=total)
            yield lambda done: progress.update(task, completed=done)


@contextmanager
def counts(visible: bool) -> Iterator[None]:
    """Show or hide what `counted` shows in the block."""
    before = _shows_counts.set(visible)
    try:
        yield
    finally:
        _shows_counts.reset(before)


def counted(items: Iterable[_Item], what: str, total: int | None = None) -> Iterator[_Item]:
    """Yield items, and show how many there were so far, as a line from time to time, if they take long.

    Args:
        items: The items.
        what: What they are, for the line.
        total: How many there will be, if that is known.

    Example:
        >>> list(counted([1, 2], "files"))
        [1, 2]
    """
    wait = _FIRST_COUNT
    due = time.monotonic() + wait
    for number, item in enumerate(items, 1):
        yield item
        if time.monotonic() < due:
            continue
        of = "" if total is None else f" of {total:,}"
        Display(_shows_counts.get()).line(f"read so far: {number:,}{of} {what}")
        wait = min(2 * wait, _LONGEST_WAIT)
        due = time.monotonic() + wait


def as_text(*parts: RenderableType, width: int) -> str:
    """Render rich tables and texts as plain text, one below the other, without colours.

    Args:
        parts: Tables and strings; their words are printed as they are, also where rich would read markup in them.
        width: Characters in a line.

    Returns:
        The text, which cannot steer a terminal; lines keep their trailing spaces.

    Example:
        >>> as_text("accuracy 0.9", width=40)
        'accuracy 0.9\\n'
    """
    # In a notebook rich would show the text at once instead of writing it.
    console = _Verbatim(file=io.StringIO(), width=width, color_system=None, force_jupyter=False, highlight=False)
    for part in parts:
        console.print(part)
    return console.file.getvalue()  # type: ignore[attr-defined]


class _Verbatim(Console):
    """Shows every string as it is, in a table too: without markup, emoji codes and characters that steer a terminal."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable.lines(text), **{**options, "markup": False, "emoji": False})
