"""Signals that end a run: noted, so that training can save a checkpoint first, then raised as an exception."""

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any, NoReturn

from kerastune_recipes.errors import Interrupted

# Signals that come this close together count as one, seconds: `timeout` and systemd send each of them twice.
_SAME = 1.0

# SIGHUP, sent when a terminal or a connection closes, does not exist under Windows.
SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class _State:
    """Signals are of the process, so their state is too.

    Args:
        handled: Whether handlers are installed.
        deferred: Depth of the contexts that defer a signal.
        received: Number of the signal that was noted, or None.
        raised: Number of the signal that was raised, or None.
        noted_at: When the deferred signal came, seconds of a monotonic clock.
    """

    handled = False
    deferred = 0
    received: int | None = None
    raised: int | None = None
    noted_at = 0.0


@contextlib.contextmanager
def handled() -> Iterator[None]:
    """Raise `Interrupted` for SIGINT, SIGTERM and SIGHUP while the context lasts.

    So temporary folders are removed and files are closed. A signal that the process ignores stays ignored, such as
    SIGHUP under nohup. Outside the main thread, where Python allows no handlers, nothing changes.

    Raises:
        Interrupted: A signal arrived.
    """
    if _State.handled or threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[int, Any] = {}
    try:
        for number in SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:
                before[number] = signal.signal(number, _handle)
        _State.handled, _State.received, _State.raised = True, None, None
        yield
    except Exception as error:
        # TensorFlow replaces an exception that comes while it makes one of its own.
        if _State.raised is not None:
            raise Interrupted(_State.raised) from error
        raise
    finally:
        _State.handled = False
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Defer the first signal while the context lasts; the code in it asks `requested` and raises at a good moment.

    A second signal, more than a second later, is raised at once; the first at the end of the context, if not before.

    Raises:
        Interrupted: A signal arrived.
    """
    _State.deferred += 1
    try:
        yield
    finally:
        _State.deferred -= 1
    raise_if_requested()


def requested() -> bool:
    """Return whether a deferred signal waits."""
    return _State.received is not None


def raise_if_requested() -> None:
    """Raise the deferred signal, if one waits.

    Raises:
        Interrupted: One does.
    """
    if _State.received is not None:
        number, _State.received = _State.received, None
        _raise(number)


def _handle(number: int, frame: FrameType | None) -> None:
    if _State.deferred and _State.received is None:
        _State.received, _State.noted_at = number, time.monotonic()
        return
    if _State.deferred and time.monotonic() - _State.noted_at < _SAME:
        return
    _State.received = None
    _raise(number)


def _raise(number: int) -> NoReturn:
    _State.raised = number
    raise Interrupted(number)
