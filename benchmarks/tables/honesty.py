"""How far the figures of a run are from those on images that nothing has seen."""

from collections.abc import Sequence
from statistics import fmean, stdev

from benchmarks.lib import markdown, results
from benchmarks.lib.results import Row


def tables() -> dict[str, str]:
    """Return optimism by way of judging and by recipe, calibration, null phases, and balance."""
    runs = results.read("honesty")
    optimism = [row for row in runs if row["part"] == "optimism"]
    null = [row["kept"] for row in runs if row["part"] == "null"]
    return {
        "made": markdown.made_by(results.made("honesty")),
        "by_size": _table(optimism, {"judged": "judged by", "each": "images a class"}),
        "by_recipe": _table(optimism, {"recipe": "recipe", "judged": "judged by"}),
        "overall": _overall(optimism),
        "null": f"- Kept of a phase of one step at 1e-9: {sum(null)} of {len(null)} runs.",
        "priors": markdown.pivot(
            results.read("honesty", "priors"),
            {"images": "held-out images"},
            "prior",
            lambda row: f"{row['excess']:.3f}",
        ),
        "balance": _balance([row for row in runs if row["part"] == "balance"]),
    }


def _gaps(rows: Sequence[Row]) -> list[str]:
    """Return runs, and the mean gaps with their standard errors."""
    accuracy = [100 * (row["reported_accuracy"] - row["seen_by_nothing_accuracy"]) for row in rows]
    loss = [row["reported_log_loss"] - row["seen_by_nothing_log_loss"] for row in rows]
    ece = [row["seen_by_nothing_ece"] for row in rows]
    return [
        str(len(rows)),
        f"{fmean(accuracy):+.1f}{_error(accuracy, '.1f')}",
        f"{fmean(loss):+.3f}{_error(loss, '.3f')}",
        f"{fmean(ece):.3f}",
    ]


def _error(values: Sequence[float], form: str) -> str:
    """Return the standard error of the mean, where there are several values."""
    return f" ± {stdev(values) / len(values) ** 0.5:{form}}" if len(values) > 1 else ""


def _table(rows: Sequence[Row], keys: dict[str, str]) -> str:
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    header = [*keys.values(), "runs", "accuracy, points", "log loss, nats", "calibration error"]
    return markdown.table(header, ([*key, *_gaps(of_key)] for key, of_key in groups.items()))


def _overall(rows: Sequence[Row]) -> str:
    lines = []
    for judged in dict.fromkeys(row["judged"] for row in rows):
        of = [row for row in rows if row["judged"] == judged]
        images = sum(row["images"] for row in of)

        def mean(figure: str, of: Sequence[Row] = of, images: int = images) -> float:
            gaps = (row["images"] * (row[f"reported_{figure}"] - row[f"seen_by_nothing_{figure}"]) for row in of)
            return sum(gaps) / images

        lines.append(
            f"- By {judged}, each held-out image counted once: {100 * mean('accuracy'):+.1f} points of accuracy, "
            f"{mean('log_loss'):+.3f} nats of log loss ({len(of)} runs, {images} held-out images)."
        )
    return "\n".join(lines)


def _balance(rows: Sequence[Row]) -> str:
    words = {
        "none": "not asked for",
        "as trained": "asked for; the trained phase as it is",
        "returned": "asked for; the returned model",
        "folds": "asked for; the returned model, judged by folds",
    }
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row["judged"], []).append(row)
    return markdown.table(
        ["balance", "runs", "rare classes", "common classes", "accuracy", "log loss"],
        (
            [
                words[key],
                len(of_key),
                *(f"{fmean(row[figure] for row in of_key):.1%}" for figure in ("rare", "common", "accuracy")),
                f"{fmean(row['log_loss'] for row in of_key):.3f}",
            ]
            for key, of_key in groups.items()
        ),
    )
