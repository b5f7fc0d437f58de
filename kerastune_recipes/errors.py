"""Every error of this package, on one screen.

KerastuneError
├── RequestError       the request is wrong; nothing was trained (exit code 2)
│   ├── RecipeError    a recipe, plan or override
│   ├── DataError      images or labels
│   ├── BackboneError  the pretrained network
│   └── OutputError    a folder or file to write to or to read
└── WorkError          the request was right, but the work failed (exit code 1)

KeyboardInterrupt
└── Interrupted        a signal ended the work (exit code 128 + its number)
"""

import difflib
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from kerastune_recipes import printable


class KerastuneError(Exception):
    """Base of every error this package raises on purpose; as text it cannot steer a terminal.

    Args:
        *problems: One sentence each: what is wrong, where, what was received, what to do.
    """

    exit_code = 1

    def __init__(self, *problems: str):
        self.problems = problems
        super().__init__(*problems)

    def __str__(self) -> str:
        # Names of files and classes, and other words of strangers, are quoted in problems.
        problems = [printable.one_line(problem) for problem in self.problems]
        if len(problems) == 1:
            return problems[0]
        return "\n".join([f"{len(problems)} problems:", *(f"- {problem}" for problem in problems)])


class RequestError(KerastuneError):
    """The request is wrong; nothing was trained."""

    exit_code = 2


class RecipeError(RequestError):
    """A recipe, plan or override is malformed or does not fit the model."""


class DataError(RequestError):
    """The images or labels cannot be used."""


class BackboneError(RequestError):
    """The backbone is unknown, needs larger images, or its weights are not available."""


class OutputError(RequestError):
    """A run folder or file cannot be written or read."""


class WorkError(KerastuneError):
    """The request was right, but the work failed."""


class Interrupted(KeyboardInterrupt):
    """A signal ended the work: Ctrl-C, SIGTERM or SIGHUP. What was saved by then can be resumed.

    Args:
        number: Number of the signal.
    """

    def __init__(self, number: int):
        super().__init__(f"interrupted by {signal.Signals(number).name}")
        self.number = number

    @property
    def exit_code(self) -> int:
        """The exit status of a process that ends because of it: 130, 143 or 129."""
        return 128 + self.number


class DataWarning(UserWarning):
    """Something about images or labels is doubtful; they are used as the warning says."""


class CacheWarning(UserWarning):
    """The cache, or a part of it, cannot be used; results are the same but take longer."""


class CheckpointWarning(UserWarning):
    """A checkpoint cannot be written or used; an interrupted run repeats more of its work."""


class OutOfMemoryWarning(UserWarning):
    """A device has too little memory for a batch; it gets the batch in parts, and the work continues."""


class PrecisionWarning(UserWarning):
    """A layer in float32 gives other probabilities than the head that was solved."""


@contextmanager
def writing(path: object, what: str = "the folder") -> Iterator[None]:
    """Turn an OSError in the block into an OutputError that names the path.

    Args:
        path: The file or folder written to.
        what: What is being written, for the message.

    Raises:
        OutputError: The block raised OSError.

    Example:
        >>> with writing("run/report.json", what="the report"):
        ...     raise OSError(28, "No space left on device")
        Traceback (most recent call last):
        kerastune_recipes.errors.OutputError: run/report.json: the report cannot be written: No space left on device.
    """
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path}: {what} cannot be written: {error.strerror or error}.") from None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ` Did you mean "x"?` for the nearest known word, or an empty string.

    Example:
        >>> did_you_mean("smal_similar", ["small_similar", "large_similar"])
        ' Did you mean "small_similar"?'
    """
    near = difflib.get_close_matches(str(word), list(known), n=1, cutoff=0.6)
    return f' Did you mean "{near[0]}"?' if near else ""


def reason(error: Exception) -> str:
    """Return the first line of an exception's message, or the name of its type if the message is empty.

    Example:
        >>> reason(OSError("Network is unreachable."))
        'Network is unreachable'
    """
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".:") if lines else type(error).__name__


def listed(items: Iterable[object], most: int = 10) -> str:
    """Join items with commas; name at most `most` of them and count the rest.

    Example:
        >>> listed(["a", "b", "c"], most=2)
        'a, b and 1 more'
    """
    words = [str(item) for item in items]
    if len(words) <= most:
        return ", ".join(words)
    return f"{', '.join(words[:most])} and {len(words) - most} more"
