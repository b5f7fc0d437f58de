"""Launching several workers on this machine, each a process with its own TF_CONFIG, to try a distributed run."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import IO, Any, TextIO

from kerastune_recipes import interruption
from kerastune_recipes.devices import loopback
from kerastune_recipes.errors import listed, reason
from kerastune_recipes.standard_streams import READER_GONE

# Seconds. After a failure the others notice and report it within a few; after a signal they save a checkpoint.
GRACE = 30.0
# Seconds between SIGTERM and SIGKILL where nobody waits for what the workers still do.
_END_SECONDS = 5.0
_POLL_SECONDS = 0.1
# `timeout` and systemd send a signal to a process and to all of its group: two at once are one.
_SAME_SIGNAL_SECONDS = 1.0
# SIGKILL does not exist under Windows.
_KILL = getattr(signal, "SIGKILL", signal.SIGTERM)
# How urgent it is to end the workers; what is more urgent replaces the steps of what is less.
_FAILURE, _OUTPUT, _SIGNAL, _SECOND_SIGNAL = range(4)
# What a shell reports for a program that a signal ended: this, plus the number of the signal.
_STATUS_OF_SIGNAL = 128
# Elsewhere SO_REUSEPORT does not exist, or shares connections otherwise.
_KEEPS_PORTS = sys.platform == "linux"

# A worker must not outlive its launcher, not even one killed by SIGKILL, which can do nothing any more. Under Linux the
# kernel sees to that, also where the worker hangs and would not notice that a pipe is closed: this program asks for it
# (1 is PR_SET_PDEATHSIG), then becomes the command. It does so as a program of its own because Python code between fork
# and exec (`preexec_fn`) can deadlock.
_TIED_TO_LAUNCHER = """
import ctypes, os, signal, sys
launcher, command = int(sys.argv[1]), sys.argv[2:]
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != launcher:
    sys.exit("the launcher has ended.")
try:
    os.execvp(command[0], command)
except OSError as error:
    sys.exit(f"{command[0]}: cannot be started: {error.strerror}.")
"""


@dataclass(frozen=True)
class _Ending:
    """A reason to end the workers before they are done.

    Args:
        urgency: One of the four above.
        status: Exit status of the launch; that of the first reason counts.
        why: What the user reads, without a full stop; empty where nobody reads it.
        steps: Signals to send to the workers that are left, each after so many seconds.
    """

    urgency: int
    status: int
    why: str
    steps: tuple[tuple[float, int], ...]


def launch(command: Sequence[str], workers: int, grace: float = GRACE) -> int:
    """Run a command as several workers and forward their output, each line prefixed with its worker.

    In the main thread of a process, SIGINT, SIGTERM and SIGHUP are forwarded to the workers; a second signal kills
    them. Where workers are ended before they are done, the last line on standard error says why.

    Args:
        command: A program and its arguments.
        workers: Number of workers, at least 1.
        grace: Seconds in which the other workers end once one has failed, and all once a signal was forwarded; those
            that are left are killed.

    Returns:
        0 if all workers were done. Else the exit status of the worker that failed first, 128 + the number of the signal
        that killed it or that was forwarded, 141 if the reader of the output has gone (`| head`), or 1 if the output
        cannot be written.

    Example:
        >>> launch(["kerastune", "run", "small_similar", "--data", "photos/", "--out", "runs/two"], workers=2)
    """
    endings: SimpleQueue[_Ending] = SimpleQueue()
    with _ports(workers) as ports, _noted_signals(endings, grace):
        with ExitStack() as running:
            processes = _started(command, ports, endings, running)
            ending, killed = _until_all_ended(processes, endings, grace)
        # The last lines may be those that cannot be written.
        ending = ending or next(_taken(endings), None)
    if ending is None:
        return 0
    if ending.why:
        late = f"; killed: {listed(f'worker {index}' for index in killed)}" if killed else ""
        with contextlib.suppress(OSError):  # standard error may be what cannot be written
            print(f"kerastune: {ending.why}{late}.", file=sys.stderr, flush=True)
    return ending.status


def _until_all_ended(
    processes: Sequence[subprocess.Popen[bytes]], endings: SimpleQueue[_Ending], grace: float
) -> tuple[_Ending | None, list[int]]:
    """Wait until no worker is left.

    Returns:
        Why they were ended, None if all were done; and which of them were killed because they did not end.
    """
    first: _Ending | None = None
    urgency, steps = -1, []
    killed: list[int] = []
    while True:
        statuses = [process.poll() for process in processes]
        left = [index for index, status in enumerate(statuses) if status is None]
        now = time.monotonic()
        for ending in (*_taken(endings), *_failures(statuses, grace)):
            first = first or ending
            if ending.urgency > urgency:
                urgency, steps = ending.urgency, [(now + seconds, number) for seconds, number in ending.steps]
        if not left:
            # Workers that were done when a signal came have lost nothing.
            done = first is not None and first.urgency >= _SIGNAL and not any(statuses)
            return None if done else first, killed
        while steps and steps[0][0] <= now:
            number = steps.pop(0)[1]
            killed = left if number == _KILL else killed
            for index in left:
                _send(processes[index], number)
        time.sleep(_POLL_SECONDS)


def _taken(endings: SimpleQueue[_Ending]) -> Iterator[_Ending]:
    with contextlib.suppress(Empty):
        while True:
            yield endings.get_nowait()


def _failures(statuses: Sequence[int | None], grace: float) -> Iterator[_Ending]:
    """Yield the reason to end the others if a worker has failed."""
    failed = [(status, index) for index, status in enumerate(statuses) if status]
    if not failed:
        return
    # Of several at one look, one that was killed: that makes the others fail, and not the other way round.
    status, index = min(failed, key=lambda each: each[0] > 0)
    steps = ((grace, signal.SIGTERM), (grace + _END_SECONDS, _KILL))
    if status > 0:
        why = f"worker {index} failed first, with exit status {status}; its own lines say why"
        yield _Ending(_FAILURE, status, why, steps)
    else:
        often = ", often because memory ran out" if -status == _KILL else ""
        why = f"worker {index} was killed by {_name(-status)}{often}; the others cannot continue without it"
        yield _Ending(_FAILURE, _STATUS_OF_SIGNAL - status, why, steps)


def _lost_output(stream: str, error: Exception) -> _Ending:
    steps = ((0.0, signal.SIGTERM), (_END_SECONDS, _KILL))
    if isinstance(error, BrokenPipeError):
        return _Ending(_OUTPUT, READER_GONE, "", steps)
    why = getattr(error, "strerror", None) or reason(error)
    return _Ending(_OUTPUT, 1, f"{stream} cannot be written ({why}), so the workers were ended", steps)


@contextlib.contextmanager
def _noted_signals(endings: SimpleQueue[_Ending], grace: float) -> Iterator[None]:
    """Note the signals that end a process while the context lasts.

    A signal that the process ignores stays ignored, such as SIGHUP under nohup. Only the main thread may set handlers.
    """
    received: list[float] = []

    def note(number: int, *_: Any) -> None:
        received.append(time.monotonic())
        status, why = _STATUS_OF_SIGNAL + number, f"ended by {_name(number)}"
        if received[-1] - received[0] < _SAME_SIGNAL_SECONDS:
            endings.put(_Ending(_SIGNAL, status, why, ((0.0, number), (grace, _KILL))))
        else:
            endings.put(_Ending(_SECOND_SIGNAL, status, why, ((0.0, _KILL),)))

    before = {}
    if threading.current_thread() is threading.main_thread():
        kept = [number for number in interruption.SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
        before = {number: signal.signal(number, note) for number in kept}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _name(number: int) -> str:
    return signal.Signals(number).name


@contextlib.contextmanager
def _ports(count: int) -> Iterator[list[int]]:
    """Give distinct ports on which nothing listens.

    Under Linux a socket of ours keeps each until the workers have ended, so that no other program can take it before
    TensorFlow opens it, seconds later; TensorFlow shares the port, as `_environment` asks.
    """
    with ExitStack() as kept:
        sockets = [kept.enter_context(closing(socket.socket())) for _ in range(count)]
        for one in sockets:
            if _KEEPS_PORTS:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            one.bind(("", 0))
        ports = [one.getsockname()[1] for one in sockets]
        if not _KEEPS_PORTS:
            kept.close()
        yield ports


def _started(
    command: Sequence[str], ports: Sequence[int], endings: SimpleQueue[_Ending], running: ExitStack
) -> list[subprocess.Popen[bytes]]:
    """Start the workers and forward their output; none is left when the context ends."""
    out, error = _Output("standard output", sys.stdout, endings), _Output("standard error", sys.stderr, endings)
    processes = []
    for index in range(len(ports)):
        process = subprocess.Popen(
            [*_tied_to_launcher(), *command],
            env=_environment(ports, index),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # Ctrl-C reaches the launcher only, which forwards it; and what a worker starts ends with it.
            start_new_session=True,
        )
        running.enter_context(_forwarded(process, f"[worker {index}] ".encode(), out, error))
        processes.append(process)
    return processes


def _tied_to_launcher() -> list[str]:
    if sys.platform != "linux":
        return []
    return [sys.executable, "-I", "-S", "-c", _TIED_TO_LAUNCHER, str(os.getpid())]


def _environment(ports: Sequence[int], index: int) -> dict[str, str]:
    addresses = [f"127.0.0.1:{port}" for port in ports]
    config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
    # NCCL, which sums gradients between GPUs, listens as well; all workers are on this machine.
    own = {"TF_CONFIG": json.dumps(config), "PYTHONUNBUFFERED": "1", "NCCL_SOCKET_IFNAME": loopback.INTERFACE}
    return {**os.environ, **own, **({loopback.REUSE_PORT: "1"} if _KEEPS_PORTS else {})}


class _Output:
    """A stream of the launcher, to which several threads write whole lines.

    Args:
        name: Its name in messages.
        stream: The stream; None, as where a program is started without one, takes everything and shows nothing.
        endings: Told once when the stream cannot be written any more; what comes then is dropped, because workers whose
            output nobody reads would stand still.
    """

    def __init__(self, name: str, stream: TextIO | None, endings: SimpleQueue[_Ending]):
        self._name, self._endings = name, endings
        self._write = _writer(stream)
        self._lock = threading.Lock()

    def write(self, line: bytes) -> None:
        """Write one line."""
        with self._lock:
            try:
                self._write(line)
            except (OSError, ValueError) as error:
                self._write = _drop
                self._endings.put(_lost_output(self._name, error))


def _writer(stream: TextIO | None) -> Callable[[bytes], None]:
    """Return a function that writes whole lines to a stream."""

    if stream is None:
        return _drop
    stream.flush()

    def past_the_buffer(line: bytes) -> None:
        left = memoryview(line)
        while left:
            left = left[os.write(descriptor, left) :]

    def as_text(line: bytes) -> None:
        stream.write(line.decode(errors="replace"))
        stream.flush()

    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):  # not a file, as in a test
        return as_text
    # A thread that waits in the stream's buffer for a slow reader would abort Python's exit. Only where the stream is
    # what the process was started with: a notebook's has the descriptor of something else.
    return past_the_buffer if descriptor in (1, 2) else as_text


def _drop(line: bytes) -> None:
    """Write nothing."""


@contextlib.contextmanager
def _forwarded(process: subprocess.Popen[bytes], label: bytes, out: _Output, error: _Output) -> Iterator[None]:
    """Forward the output of a process line by line; end the process and what it has started with the context."""

    def copy(source: IO[bytes], output: _Output) -> None:
        for line in source:
            output.write(label + line.removesuffix(b"\n") + b"\n")

    pairs = [(process.stdout, out), (process.stderr, error)]
    threads = [threading.Thread(target=copy, args=pair, daemon=True) for pair in pairs]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        if process.poll() is None:
            _send(process, _KILL)
            process.wait()
        for thread in threads:
            # Not for ever: a reader may have stopped reading.
            thread.join(_END_SECONDS)


def _send(process: subprocess.Popen[bytes], number: int) -> None:
    """Send a signal to a process that was not yet waited for, and to what it has started."""
    with contextlib.suppress(ProcessLookupError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, number)
        else:
            process.terminate()
