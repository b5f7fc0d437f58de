"""Standard output and standard error, whose own errors are told apart from those of the work."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any

# As if SIGPIPE, which Python ignores, had ended the process: what shells expect of a program before `| head`.
READER_GONE = 128 + 13


class Unwritable(BaseException):
    """Standard output or error cannot be written any more, so the program ends, as after a signal.

    No `OSError`, and no `Exception`: what the work does about a broken connection or a full disk does not apply.

    Args:
        name: Name of the stream.
        error: What happened.

    Example:
        >>> Unwritable("standard output", BrokenPipeError()).exit_code
        141
    """

    def __init__(self, name: str, error: OSError):
        super().__init__(f"{name} cannot be written: {error.strerror or error}.")
        self.exit_code = READER_GONE if isinstance(error, BrokenPipeError) else 1


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Raise `Unwritable` where standard output or error cannot be written, in the context or at its end.

    One sentence on standard error says so, unless the reader has gone.

    Raises:
        Unwritable: A stream cannot be written. What it still holds is dropped.
    """
    before = sys.stdout, sys.stderr
    # A process can be started without streams; then they are None.
    sys.stdout = before[0] and _Watched("standard output", before[0])
    sys.stderr = before[1] and _Watched("standard error", before[1])
    try:
        try:
            yield
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # not left to Python's end, where nothing handles an error
    except Unwritable as unwritable:
        if unwritable.exit_code != READER_GONE:
            with contextlib.suppress(Unwritable):
                print(f"kerastune: {unwritable}", file=sys.stderr)
        raise
    finally:
        sys.stdout, sys.stderr = before


class _Watched:
    """A stream that raises `Unwritable`; the rest is that of the stream itself."""

    def __init__(self, name: str, stream: Any):
        self._name, self._stream = name, stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            raise self._unwritable(error) from None

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: OSError) -> Unwritable:
        with contextlib.suppress(OSError):
            # Python writes what the stream still holds at its end, and would print a traceback.
            devnull = os.open(os.devnull, os.O_WRONLY)
            os.dup2(devnull, self._stream.fileno())
            os.close(devnull)
        return Unwritable(self._name, error)
