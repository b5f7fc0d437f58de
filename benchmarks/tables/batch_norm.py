"""BatchNorm frozen or trained while the whole network is fine-tuned."""

from benchmarks.lib import markdown, results


def tables() -> dict[str, str]:
    """Return accuracy and log loss with either, by data set."""
    rows = [
        {
            **row,
            "line": row["data"] + (", after the first epoch" if row["epochs"] == 1 else ""),
            "column": f"{row['batch_norm']}: accuracy, log loss",
        }
        for row in results.read("batch_norm", "accuracy")
    ]
    return {
        "made": markdown.made_by(results.made("batch_norm")),
        "accuracy": markdown.pivot(
            rows, {"line": "data"}, "column", lambda row: f"{row['accuracy']:.1%}, {row['log_loss']:.3f}"
        ),
    }
