"""Workers on this machine, to try several out: each a process of its own with its TF_CONFIG."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from typing import IO, Any

# Once one has failed the others learn of it by themselves and say so, within seconds; who does not is ended.
GRACE = 30.0
_PAUSE = 0.2


def launch(command: Sequence[str], workers: int, grace: float = GRACE) -> int:
    """Run a command as several workers, and pass on what they write, each line with its worker before it.

    Args:
        command: A program and its arguments.
        workers: How many, at least 1.
        grace: How long the others may go on once one has failed, seconds.

    Returns:
        The highest exit status; 1 for a worker that was killed.

    Example:
        >>> launch(["kerastune", "run", "small_similar", "--data", "photos/", "--out", "runs/two"], workers=2)
    """
    addresses = [f"127.0.0.1:{port}" for port in _free_ports(workers)]
    with _ended_with_us(), ExitStack() as started:
        processes = []
        for index in range(workers):
            process = _start(command, addresses, index)
            started.enter_context(_passed_on(process, f"[worker {index}] "))
            processes.append(process)
        failed_at = None
        while any(process.poll() is None for process in processes):
            if failed_at is None and any(process.poll() for process in processes):
                failed_at = time.monotonic()
            if failed_at is not None and time.monotonic() > failed_at + grace:
                break
            time.sleep(_PAUSE)
        killed = [index for index, process in enumerate(processes) if (process.poll() or 0) < 0]
    for index in killed:
        print(f"worker {index} was ended by {signal.Signals(-processes[index].returncode).name}.", file=sys.stderr)
    statuses = [process.returncode for process in processes]
    return max(status if status >= 0 else 1 for status in statuses)


def _free_ports(count: int) -> list[int]:
    """Return ports that nobody listens at, all of them different."""
    with ExitStack() as held:
        sockets = [held.enter_context(closing(socket.create_server(("127.0.0.1", 0)))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


def _start(command: Sequence[str], addresses: Sequence[str], index: int) -> subprocess.Popen[str]:
    config = {"cluster": {"worker": list(addresses)}, "task": {"type": "worker", "index": index}}
    return subprocess.Popen(
        command,
        env={**os.environ, "TF_CONFIG": json.dumps(config), "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )


@contextlib.contextmanager
def _passed_on(process: subprocess.Popen[str], label: str) -> Iterator[None]:
    """Pass on what a process writes, line by line, until it has ended."""

    def copy(source: IO[str], target: IO[str]) -> None:
        for line in source:
            target.write(label + line)
            target.flush()

    pairs = [(process.stdout, sys.stdout), (process.stderr, sys.stderr)]
    threads = [threading.Thread(target=copy, args=pair, daemon=True) for pair in pairs]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        _end(process)
        for thread in threads:
            thread.join()


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def _ended_with_us() -> Iterator[None]:
    """Turn the signal by which this process is asked to end into an interruption, so that the workers end with it."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may say what a signal does
        return

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
