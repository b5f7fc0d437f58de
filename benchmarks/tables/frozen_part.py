"""Fine-tuning the last stage on the cached output of the frozen part."""

from collections.abc import Sequence

from benchmarks.lib import markdown, results
from benchmarks.lib.results import Row


def tables() -> dict[str, str]:
    """Return accuracy by views, times of whole runs for each setting, and times of single batches."""
    views = [
        [
            *(row[key] for key in ("data", "seed", "images", "image_size", "epochs")),
            row["views"] or "fresh",
            f"{row['accuracy']:.1%}",
            f"{row['log_loss']:.3f}",
        ]
        for row in results.read("frozen_part", "views")
    ]
    batches = [
        [row["backbone"]]
        + [f"{row[key]:.1f}" for key in ("whole_train", "whole_test", "frozen_part", "rest_train", "rest_test")]
        for row in results.read("frozen_part", "batches")
    ]
    return {
        "made": markdown.made_by(results.made("frozen_part")),
        "views": markdown.table(
            ["data", "seed", "images", "image size", "epochs", "views", "validation accuracy", "log loss"], views
        ),
        "batches": markdown.table(
            ["backbone", "whole: train", "whole: test", "frozen part", "rest: train", "rest: test"], batches
        ),
        "time_224": _times(224, 64),
        "time_112": _times(112, 64),
        "time_256_images": _times(112, 256),
    }


def _times(size: int, images: int) -> str:
    rows = [
        [
            row["backbone"],
            f"{row['images']} + {row['validation']}",
            row["views"],
            row["epochs"],
            _list(row, "seconds_fresh", 0),
            _list(row, "seconds_behind", 0),
            _list(row, "ratios", 2),
            _list(row, "cpu_seconds_fresh", 0),
            _list(row, "cpu_seconds_behind", 0),
            _list(row, "cpu_ratios", 2),
        ]
        for row in results.read("frozen_part", "time")
        if (row["image_size"], row["images"]) == (size, images)
    ]
    columns = ["s, fresh", "s, cached", "ratio", "CPU s, fresh", "cached", "ratio"]
    return markdown.table(["backbone", "images", "views", "epochs", *columns], rows)


def _list(row: Row, key: str, digits: int) -> str:
    values: Sequence[float] = row[key]
    return ", ".join(f"{value:.{digits}f}" for value in values)
