"""What cross-validation of a solved head costs."""

from benchmarks.lib import markdown, measure, results


def tables() -> dict[str, str]:
    """Return seconds with a hold-out and with folds, by data set."""
    rows = [
        [
            row["data"],
            measure.shown(row["seconds_hold_out"], "{:.1f}".format),
            measure.shown(row["seconds_folds"], "{:.1f}".format),
            measure.shown(row["ratio"], "{:.2f}".format),
            f"{row['accuracy']:.1%}",
        ]
        for row in results.read("folds", "seconds")
    ]
    return {
        "made": markdown.made_by(results.made("folds")),
        "seconds": markdown.table(["data", "s, hold-out", "s, folds", "ratio", "accuracy by folds"], rows),
    }
