"""Runs that were killed at random moments, and how they ended."""

from collections import Counter
from collections.abc import Sequence

from benchmarks.lib import markdown, results
from benchmarks.lib.results import Row


def tables() -> dict[str, str]:
    """Return the outcomes by command and signal, and where runs were killed."""
    rows = results.read("interruptions")
    groups = sorted({(row["case"], row["signal"]) for row in rows})
    lines = [_line(*group, [row for row in rows if (row["case"], row["signal"]) == group]) for group in groups]
    places = Counter(_place(place) for row in rows for place in row["killed"])
    return {
        "made": markdown.made_by(results.made("interruptions")),
        "outcomes": markdown.table(_HEAD, [*lines, _line("all", "", rows)]),
        "places": markdown.table(["killed", "times"], [[place, str(count)] for place, count in places.most_common()]),
    }


_HEAD = ["command", "signal", "runs", "disturbed twice", "ended the same, bit for bit", "differ", "tracebacks"]


def _line(case: str, signal: str, rows: Sequence[Row]) -> list[str]:
    same = sum(not row["differs"] for row in rows)
    counts = [len(rows), sum(len(row["killed"]) > 1 for row in rows), same, len(rows) - same]
    return [case, signal, *map(str, counts), str(sum(row["tracebacks"] for row in rows))]


def _place(place: str) -> str:
    """Return a place without the numbers of phases, folds and trials."""
    words = place.partition(": ")[2] if place.startswith("trial ") else place
    if not words.startswith("after "):
        return words
    return "within or after the training of a phase" if ".fit" in words else "between two phases, or in the gate"
