"""The features of two networks, against those of each."""

from benchmarks.lib import markdown, results
from benchmarks.lib.results import Row


def tables() -> dict[str, str]:
    """Return accuracy and log loss by data and features."""

    def cell(row: Row) -> str:
        low, high = row["interval"]
        return f"{row['accuracy']:.1%} ({low:.1%} to {high:.1%}), {row['log_loss']:.3f}"

    return {
        "made": markdown.made_by(results.made("ensemble")),
        "accuracy": markdown.pivot(results.read("ensemble", "accuracy"), {"data": "data"}, "features", cell),
    }
