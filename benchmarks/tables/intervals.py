"""Coverage of intervals, and errors of the paired test, where images come in groups."""

from collections.abc import Callable, Iterable, Sequence
from statistics import fmean

from benchmarks.lib import markdown, results
from benchmarks.lib.results import Row


def tables() -> dict[str, str]:
    """Return the coverage of the accuracy and the difference, and the errors and power of the paired test."""
    accuracy, difference = results.read("intervals", "accuracy"), results.read("intervals", "difference")
    return {
        "made": markdown.made_by(results.made("intervals")),
        "accuracy": _by_groups(accuracy, {"ungrouped": "ungrouped", "robust": "robust alone", "used": "used"}),
        "cells": _cells(accuracy),
        "difference": _by_groups(difference, {"ungrouped": "ungrouped", "used": "used"}),
        "test": _test(difference),
        "sizes": _sizes(results.read("intervals", "sizes")),
    }


def _by_groups(rows: Sequence[Row], columns: dict[str, str]) -> str:
    """Return mean, lowest and highest coverage in percent, a line for each number of groups."""
    return markdown.table(
        ["groups", "cells", *columns.values()],
        (
            [groups or "none", len(cells), *(_spread([100 * cell[key] for cell in cells]) for key in columns)]
            for groups, cells in _split(rows, lambda row: row["groups"]).items()
        ),
    )


def _cells(rows: Sequence[Row]) -> str:
    """Return the coverage that is used, the mean over the numbers of images."""
    lines = _split(rows, lambda row: (row["groups"], row["accuracy"], row["correlation"]))
    means = [
        {"groups": groups or "none", "accuracy": f"{accuracy:.0%}", "correlation": correlation, "cells": cells}
        for (groups, accuracy, correlation), cells in lines.items()
    ]
    return markdown.pivot(
        means,
        {"groups": "groups", "accuracy": "accuracy"},
        "correlation",
        lambda row: f"{fmean(100 * cell['used'] for cell in row['cells']):.1f}",
    )


def _test(rows: Sequence[Row]) -> str:
    """Return how often a difference is found at 5%, where there is none and where there is one."""
    lines = []
    for groups, cells in _split(rows, lambda row: row["groups"]).items():
        by_difference = _split(cells, lambda row: row["difference"])
        lines.append(
            [groups or "none"]
            + [_spread([100 * cell[key] for cell in by_difference[0.0]]) for key in ("ungrouped_found", "used_found")]
            + [f"{fmean(100 * cell['used_found'] for cell in by_difference[0.05]):.1f}"]
        )
    return markdown.table(["groups", "equal, ungrouped", "equal, used", "5 points apart, used"], lines)


def _sizes(rows: Sequence[Row]) -> str:
    lines = (
        [f"larger groups are {row['larger']}", row["groups"], row["correlation"]]
        + [f"{100 * row[key]:.1f}" for key in ("ungrouped", "robust", "correlated", "used")]
        for row in rows
    )
    return markdown.table(
        ["", "groups", "correlation", "ungrouped", "robust alone", "correlation alone", "used"], lines
    )


def _split(rows: Iterable[Row], key: Callable[[Row], object]) -> dict:
    found: dict[object, list[Row]] = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return found


def _spread(values: Sequence[float]) -> str:
    return f"{fmean(values):.1f} ({min(values):.1f} to {max(values):.1f})"
