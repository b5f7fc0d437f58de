"""The whole taxonomy of errors on one screen: what a user did wrong, and what went wrong in the work."""

import difflib
from collections.abc import Iterable


class KerastuneError(Exception):
    """Base of every error this package raises on purpose.

    Args:
        *problems: One sentence each: what is wrong, where, what was received, what to do.
    """

    exit_code = 1

    def __init__(self, *problems: str):
        self.problems = problems
        super().__init__(*problems)

    def __str__(self) -> str:
        if len(self.problems) == 1:
            return self.problems[0]
        return "\n".join([f"{len(self.problems)} problems:", *(f"- {problem}" for problem in self.problems)])


class RequestError(KerastuneError):
    """The request was wrong; nothing was trained."""

    exit_code = 2


class RecipeError(RequestError):
    """A recipe, plan or override cannot be understood or does not fit the model."""


class DataError(RequestError):
    """The images or labels cannot be used."""


class BackboneError(RequestError):
    """The backbone is unknown, too small for the images asked of it, or its weights cannot be had."""


class OutputError(RequestError):
    """The run folder cannot be written or read."""


class WorkError(KerastuneError):
    """The request was right, the work failed."""


class CacheWarning(UserWarning):
    """The cache cannot be used, or a part of it; the answer is the same, it only takes longer."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ` Did you mean "x"?` for the nearest known word, or an empty string.

    Example:
        >>> did_you_mean("smal_similar", ["small_similar", "large_similar"])
        ' Did you mean "small_similar"?'
    """
    near = difflib.get_close_matches(str(word), list(known), n=1, cutoff=0.6)
    return f' Did you mean "{near[0]}"?' if near else ""


def reason(error: Exception) -> str:
    """Return the first line of an exception's message, or its kind where it has none.

    Example:
        >>> reason(OSError("Network is unreachable."))
        'Network is unreachable'
    """
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".:") if lines else type(error).__name__


def listed(items: Iterable[object], most: int = 10) -> str:
    """Join items with commas, naming at most `most` of them and counting the rest.

    Example:
        >>> listed(["a", "b", "c"], most=2)
        'a, b and 1 more'
    """
    words = [str(item) for item in items]
    if len(words) <= most:
        return ", ".join(words)
    return f"{', '.join(words[:most])} and {len(words) - most} more"
