"""Ending this process with a sentence where a call into C++ does not return."""

import contextlib
import faulthandler
import subprocess
import sys
from collections.abc import Iterator

_SPEAKER = "import sys\nif sys.stdin.buffer.read(1): print(sys.argv[1], file=sys.stderr)"


@contextlib.contextmanager
def time_limit(seconds: float, sentence: str) -> Iterator[None]:
    """End this process with status 1 and a sentence on standard error, unless the context ends in time.

    For calls that wait and hold Python's lock meanwhile, so that no thread and no signal handler of Python runs. The
    timer of `faulthandler` does run. It can only write where the threads are; the first byte of that tells another
    program, which waits for it, to print the sentence.

    Args:
        seconds: Time limit, above 0.
        sentence: What happened, and what to do.

    Example:
        >>> with time_limit(600, "worker 1 did not connect."):
        ...     pass
    """
    speaker = subprocess.Popen([sys.executable, "-I", "-S", "-c", _SPEAKER, sentence], stdin=subprocess.PIPE)
    assert speaker.stdin is not None  # a pipe was asked for
    with speaker, speaker.stdin:
        faulthandler.dump_traceback_later(seconds, exit=True, file=speaker.stdin)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
