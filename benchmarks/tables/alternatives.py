"""Ways to fine-tune that the package does not have."""

from collections.abc import Sequence

import pandas as pd

from benchmarks.lib import markdown, results
from benchmarks.lib.results import Row


def tables() -> dict[str, str]:
    """Return log loss and accuracy of each way by network: `MobileNetV2` and so on."""
    return by_network(results.read("alternatives"))


def by_network(rows: Sequence[Row]) -> dict[str, str]:
    """Return a table for each network: the head solved again, and as trained, means over the seeds."""
    found, parts = pd.DataFrame(rows), {}
    for (backbone, size, each), part in found.groupby(["backbone", "size", "each"]):
        names = sorted(part["data"].unique())
        lines = []
        for way, of_way in part.groupby("way", sort=False):
            means = of_way.groupby("data").mean(numeric_only=True)
            whole = means.mean() if len(means) == len(names) else None
            cells = [_scores(means.loc[name], "solved_again") if name in means.index else "" for name in names]
            cells += (
                ["", "", ""]
                if whole is None
                else [_scores(whole, "solved_again"), _scores(whole, "as_trained"), f"{whole['seconds']:.0f}"]
            )
            lines.append([way, of_way["seed"].nunique(), *cells])
        header = [f"{backbone} at {size} px, {each} a class", "seeds", *names, "mean", "as trained", "seconds"]
        parts[str(backbone).replace(".", "")] = markdown.table(header, lines)
    return parts


def _scores(means: pd.Series, how: str) -> str:
    return f"{means[f'{how}_log_loss']:.3f}, {means[f'{how}_accuracy']:.1%}"
