"""The solved heads against one another."""

from benchmarks.lib import markdown, results
from benchmarks.lib.results import Row


def tables() -> dict[str, str]:
    """Return accuracy and log loss by taps and head, and the same by bound where that was measured."""

    def cell(row: Row) -> str:
        return f"{row['accuracy']:.1%}, {row['log_loss']:.3f} ({row['strength']:g})"

    bounds = [{**row, "bound": f"{row['bound']:g}"} for row in results.read("heads", "bounds")]
    return {
        "made": markdown.made_by(results.made("heads")),
        "heads": markdown.pivot(results.read("heads", "heads"), {"taps": "taps", "head": "head"}, "data", cell),
        "bounds": markdown.pivot(bounds, {"bound": "bound", "head": "head"}, "data", cell)
        if bounds
        else "Not measured yet.",
    }
