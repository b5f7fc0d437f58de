"""Fine-tuning from a solved head: what each variant gained, and the head solved again after the phase."""

from collections.abc import Callable, Iterable

import pandas as pd

from benchmarks.lib import markdown, results
from benchmarks.lib.results import Row


def tables() -> dict[str, str]:
    """Return the head solved again after a phase, and the gains of the variants by network and images."""
    gains = summary(results.read("fine_tuning"))
    return {
        "solved_again": _solved_again(results.read("fine_tuning", "solved_again")),
        **{_slug(setting): table for setting, table in gains.items()},
    }


def trials(rows: Iterable[Row]) -> str:
    """Return a line for each trial: the solved head, the phase, and the model that is kept."""
    header = ["data", "backbone", "images a class", "seed", "variant", "solved head", "after the first epoch"]
    header += ["after the last", "kept", "share", "calibration error"]
    lines = [
        [
            row["data"],
            f"{row['backbone']} {row['size']} px",
            row["each"],
            row["seed"],
            row["variant"],
            _scores(row["solved"]),
            f"{row['accuracy_by_epoch'][0]:.1%}",
            f"{row['accuracy_by_epoch'][-1]:.1%}",
            _scores(row["judged"]),
            f"{row['interpolation']:g}",
            f"{row['ece_before_temperature']:.3f} to {row['judged']['ece']:.3f}",
        ]
        for row in rows
    ]
    return markdown.table(header, lines)


def summary(rows: Iterable[Row]) -> dict[str, str]:
    """Return by setting what each variant gained over the solved head: points, nats, and seconds.

    Means over the seeds. The mean at the end is over the data sets, of variants that were tried on all of them.
    """
    found = pd.DataFrame(
        {
            **_cell(row),
            "points": 100 * (row["judged"]["accuracy"] - row["solved"]["accuracy"]),
            "nats": row["solved"]["log_loss"] - row["judged"]["log_loss"],
            "seconds": row["seconds"],
        }
        for row in rows
        if "refit" not in row["variant"]
    )
    return _by_variant(found, lambda means: f"{means['points']:+.1f}, {means['nats']:.3f}, {means['seconds']:.0f} s")


def returned(rows: Iterable[Row]) -> dict[str, str]:
    """Return by setting accuracy and log loss of the model returned with each variant that has a refit.

    Means over the seeds. Of each cell only seeds count that all variants there were tried with, so that they are judged
    by the same images.
    """
    found = pd.DataFrame(
        {**_cell(row), "accuracy": row["judged"]["accuracy"], "log_loss": row["judged"]["log_loss"]}
        for row in rows
        if "refit" in row["variant"]
    )
    if found.empty:
        return {}
    cell = ["setting", "data"]
    variants = found.groupby(cell)["variant"].transform("nunique")
    shared = found.groupby([*cell, "seed"])["variant"].transform("nunique") == variants
    return _by_variant(found[shared], lambda means: f"{means['accuracy']:.1%}, {means['log_loss']:.3f}")


def _cell(row: Row) -> Row:
    setting = f"{row['backbone']} at {row['size']} px, {row['each']} a class"
    return {"setting": setting, **{key: row[key] for key in ("variant", "data", "seed")}}


def _by_variant(found: pd.DataFrame, cell: Callable[[pd.Series], str]) -> dict[str, str]:
    """Return by setting a table: a line for each variant, a column for each set, and the mean over the sets."""
    if found.empty:
        return {}
    parts = {}
    for setting, of_setting in found.groupby("setting"):
        names = sorted(of_setting["data"].unique())
        lines = []
        for variant, of_variant in of_setting.groupby("variant", sort=False):
            means = of_variant.drop(columns=["setting", "variant", "seed"]).groupby("data").mean()
            cells = [cell(means.loc[name]) if name in means.index else "" for name in names]
            whole = cell(means.mean()) if len(means) == len(names) else ""
            lines.append([variant, of_variant["seed"].nunique(), *cells, whole])
        parts[str(setting)] = markdown.table([str(setting), "seeds", *names, "mean"], lines)
    return parts


def _slug(setting: str) -> str:
    """Return the name of a table, as in `MobileNetV2_30`."""
    backbone, _, _, _, each = setting.replace(",", "").replace(".", "").split()[:5]
    return f"{backbone}_{each}"


def _solved_again(rows: list[Row]) -> str:
    """Return the table, with the best accuracy and the least log loss of a line in bold."""
    judged = ("solved_head", "fine_tuned", "solved_again")
    lines = []
    for row in rows:
        best = max(row[key]["accuracy"] for key in judged), min(row[key]["log_loss"] for key in judged)
        cells = [_emphasised(row[key], *best) for key in judged]
        lines.append([row["data"], row["each"], row["rate"], row["head"], *cells])
    header = ["data", "images a class", "rate", "head", "solved head", "fine-tuned", "head solved again"]
    return markdown.table(header, lines)


def _scores(scores: Row) -> str:
    return f"{scores['accuracy']:.1%}, {scores['log_loss']:.3f}"


def _emphasised(scores: Row, accuracy: float, log_loss: float) -> str:
    one, other = _scores(scores).split(", ")
    if scores["accuracy"] == accuracy and scores["log_loss"] == log_loss:
        return f"**{one}, {other}**"
    one = f"**{one}**" if scores["accuracy"] == accuracy else one
    return f"{one}, **{other}**" if scores["log_loss"] == log_loss else f"{one}, {other}"
