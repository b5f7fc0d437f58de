"""Test-time augmentation: the mean over several views of an image."""

from benchmarks.lib import markdown, results


def tables() -> dict[str, str]:
    """Return accuracy and log loss by data and views."""
    rows = [
        {**row, "column": f"{row['views']} view{'s' if row['views'] > 1 else ''}, flip {row['flip']}"}
        for row in results.read("evaluation_views", "accuracy")
    ]
    return {
        "made": markdown.made_by(results.made("evaluation_views")),
        "accuracy": markdown.pivot(
            rows, {"data": ""}, "column", lambda row: f"{row['accuracy']:.1%}, {row['log_loss']:.3f}"
        ),
    }
