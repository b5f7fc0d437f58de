"""How many folds find the temperature of LDA."""

from benchmarks.lib import markdown, results


def tables() -> dict[str, str]:
    """Return log loss and calibration error by images and folds."""
    rows = [{**row, "folds": row["folds"] or "those of the choice"} for row in results.read("temperature", "folds")]
    return {
        "made": markdown.made_by(results.made("temperature")),
        "folds": markdown.pivot(
            rows, {"each": "images a class"}, "folds", lambda row: f"{row['log_loss']:.3f}, {row['ece']:.3f}"
        ),
    }
