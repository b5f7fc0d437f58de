"""How far the saved model on raw images is from the figures of its run."""

from benchmarks.lib import markdown, results
from benchmarks.lib.results import Row


def tables() -> dict[str, str]:
    """Return the differences by data and recipe."""
    return {
        "made": markdown.made_by(results.made("resizing")),
        "differences": markdown.table(
            (
                "data",
                "recipe",
                "size",
                "test images",
                "log loss of the run",
                "of `evaluate`",
                "model alone: largest difference",
                "mean",
                "other answers",
            ),
            map(_cells, results.read("resizing", "differences")),
        ),
    }


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row["data"],
        row["recipe"],
        f"{row['image_size']} px",
        str(row["images"]),
        f"{row['log_loss']:.7f}",
        f"{row['log_loss_again']:.7f}",
        f"{row['largest_difference']:.3f}",
        f"{row['mean_difference']:.4f}",
        f"{row['changed_answers']:.1%}",
    )
