"""What the fuzzers in one process share: one case after the other, a count of outcomes, and the command line."""

import argparse
import faulthandler
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from kerastune_recipes import printable

_LONGEST_DETAIL = 600
Counts = Counter[tuple[str, str]]


@dataclass(frozen=True)
class Judged:
    """What came of a case.

    Args:
        kind: What kind of case it was.
        outcome: What came of it, in a word.
        detail: What is needed to understand it.
        seconds: How long it took.
    """

    kind: str
    outcome: str
    detail: str
    seconds: float


def run(
    numbers: Iterable[int],
    judge: Callable[[int], Judged],
    faults: Sequence[str],
    seconds: float = float("inf"),
    hang: float = 60.0,
) -> tuple[Counts, list[str], float]:
    """Judge cases one by one.

    Args:
        numbers: Their numbers.
        judge: Makes the case of a number, and says what came of it.
        faults: Outcomes that are faults.
        seconds: Time after which no further case is made.
        hang: Seconds after which a case ends the program with its traceback: signals do not reach code in C.

    Returns:
        How many cases of each kind had each outcome; the faults; the most seconds for a case.
    """
    counts: Counts = Counter()
    found, longest, started = [], 0.0, time.monotonic()
    for number in numbers:
        faulthandler.dump_traceback_later(hang, exit=True)
        judged = judge(number)
        counts[judged.kind, judged.outcome] += 1
        longest = max(longest, judged.seconds)
        if judged.outcome in faults:
            detail = printable.one_line(" ".join(judged.detail.split())[:_LONGEST_DETAIL])
            found.append(f"number {number}, {judged.kind}: {judged.outcome}: {detail}")
        if time.monotonic() - started > seconds:
            break
    faulthandler.cancel_dump_traceback_later()
    return counts, found, longest


def table(counts: Counts, kinds: Sequence[str], outcomes: Sequence[str]) -> str:
    """Return the number of cases by kind and outcome."""
    first, width = max(map(len, kinds)) + 2, max(15, *(len(name) + 2 for name in outcomes))

    def line(kind: str, cells: Iterable[object]) -> str:
        return f"{kind:{first}}{''.join(f'{cell:>{width}}' for cell in cells)}"

    rows = [line(kind, (f"{counts[kind, name]:,}" for name in outcomes)) for kind in kinds]
    totals = (f"{sum(counts[kind, name] for kind in kinds):,}" for name in outcomes)
    return "\n".join([line("kind", outcomes), *rows, line("all", totals)])


def arguments(description: str, what: str) -> argparse.Namespace:
    """Read the command line: seed, count, seconds and only.

    Args:
        description: What the program does.
        what: What a case is called, such as "text".
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--count", type=int, default=sys.maxsize, help=f"stop after so many {what}s")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so many seconds")
    parser.add_argument("--only", type=int, help=f"make this one {what} and show what comes of it")
    return parser.parse_args()


def report(found: tuple[Counts, list[str], float], kinds: Sequence[str], outcomes: Sequence[str]) -> int:
    """Print faults, counts and the longest time; return the exit status, 1 where there are faults."""
    counts, faults, longest = found
    print(*faults, table(counts, kinds, outcomes), f"longest: {longest:.2f} s", sep="\n")
    return int(bool(faults))
