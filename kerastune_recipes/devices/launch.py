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
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from typing import IO, Any

# Seconds. The others notice a failed worker and report it within a few; one that does not is terminated.
GRACE = 30.0
_POLL_SECONDS = 0.2


def launch(command: Sequence[str], workers: int, grace: float = GRACE) -> int:
    """Run a command as several workers and forward their output, each line prefixed with its worker.

    Args:
        command: A program and its arguments.
        workers: Number of workers, at least 1.
        grace: Seconds until the other workers are terminated once one has failed.

    Returns:
        The highest exit status; a worker killed by a signal counts as 1.

    Example:
        >>> launch(["kerastune", "run", "small_similar", "--data", "photos/", "--out", "runs/two"], workers=2)
    """
    addresses = [f"127.0.0.1:{port}" for port in _free_ports(workers)]
    with _sigterm_as_interrupt(), ExitStack() as running:
        processes = []
        for index in range(workers):
            process = _start(command, addresses, index)
            running.enter_context(_forward_output(process, f"[worker {index}] "))
            processes.append(process)
        failed_at = None
        while any(process.poll() is None for process in processes):
            if failed_at is None and any(process.poll() for process in processes):
                failed_at = time.monotonic()
            if failed_at is not None and time.monotonic() > failed_at + grace:
                break
            time.sleep(_POLL_SECONDS)
        killed = [index for index, process in enumerate(processes) if (process.poll() or 0) < 0]
    for index in killed:
        print(f"worker {index} was killed by {signal.Signals(-processes[index].returncode).name}.", file=sys.stderr)
    statuses = [process.returncode for process in processes]
    return max(status if status >= 0 else 1 for status in statuses)


def _free_ports(count: int) -> list[int]:
    """Return distinct ports on which nothing listens."""
    with ExitStack() as open_sockets:
        sockets = [open_sockets.enter_context(closing(socket.create_server(("127.0.0.1", 0)))) for _ in range(count)]
        return [one.getsockname()[1] for one in sockets]


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
def _forward_output(process: subprocess.Popen[str], label: str) -> Iterator[None]:
    """Forward the output of a process line by line; terminate it when the context ends."""

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
        _terminate(process)
        for thread in threads:
            thread.join()


def _terminate(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """Turn SIGTERM into KeyboardInterrupt while the context lasts, so that the workers end with this process."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set signal handlers
        return

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
