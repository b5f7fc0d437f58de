import os
import signal
import threading

import pytest

from kerastune_recipes import interruption
from kerastune_recipes.errors import Interrupted


def send(name):
    signal.raise_signal(getattr(signal, name))


@pytest.mark.parametrize(("name", "status"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_is_raised(name, status):
    with pytest.raises(Interrupted) as caught, interruption.handled():
        send(name)
    assert caught.value.exit_code == status
    assert str(caught.value) == f"interrupted by {name}"


def test_the_handlers_of_the_user_come_back():
    before = signal.getsignal(signal.SIGTERM)
    with interruption.handled():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


def test_an_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruption.handled():
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_deferred_signal_is_raised_when_the_code_asks():
    seen = []

    def work():
        with interruption.handled(), interruption.deferred():
            seen.append(interruption.requested())
            send("SIGTERM")
            seen.append(interruption.requested())
            interruption.raise_if_requested()
            seen.append("not raised")

    with pytest.raises(Interrupted):
        work()
    assert seen == [False, True]
    assert not interruption.requested()


def test_a_deferred_signal_is_raised_at_the_end_of_the_context():
    seen = []

    def work():
        with interruption.handled():
            with interruption.deferred():
                send("SIGTERM")
                seen.append("inside")
            seen.append("not raised")

    with pytest.raises(Interrupted):
        work()
    assert seen == ["inside"]


def test_a_second_signal_does_not_wait(monkeypatch):
    seen = []

    def work():
        with interruption.handled(), interruption.deferred():
            send("SIGTERM")
            send("SIGTERM")  # timeout and systemd send it twice
            seen.append("first")
            monkeypatch.setattr(interruption.time, "monotonic", lambda: float("inf"))
            send("SIGINT")
            seen.append("not raised")

    with pytest.raises(Interrupted, match="SIGINT"):
        work()
    assert seen == ["first"]
    assert not interruption.requested()


def test_a_signal_that_another_exception_replaces_is_raised():
    """As TensorFlow does when a signal comes while it makes an exception of its own."""

    def work():
        with interruption.handled():
            try:
                send("SIGTERM")
            except Interrupted:
                raise RuntimeError("MISMATCH of original and normalized active exception types") from None

    with pytest.raises(Interrupted, match="SIGTERM"):
        work()


def test_an_error_without_a_signal_stays():
    with pytest.raises(ValueError, match="own"), interruption.handled():
        raise ValueError("own")


def test_an_inner_context_changes_nothing():
    with pytest.raises(Interrupted), interruption.handled(), interruption.handled():
        send("SIGTERM")


def test_other_threads_set_no_handlers():
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def run():
        with interruption.handled():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [before]
