"""Gains of the fine-tuning variants, learning rates, and alternatives, for docs/experiments.md."""

from collections.abc import Sequence

import pandas as pd

from benchmarks.lib import markdown, results
from benchmarks.tables import alternatives, fine_tuning

# Data sets and the learning rates compared on them: half of the rate of the rules, the rate, twice the rate.
_SIMILAR = ["cifar10", "hymenoptera"], ["1.5e-3", "3e-3", "6e-3"]
_DISSIMILAR = ["omniglot_greek", "sign_digits"], ["5e-3", "1e-2", "2e-2"]
_VARIANT = "refit=heads,augmentation=light,rate="


def tables() -> dict[str, str]:
    """Return the tables of variants (`MobileNetV2_30`), of rates, and of alternatives (`alternatives_MobileNetV2`)."""
    variants = fine_tuning.tables()
    others = {f"alternatives_{network}": table for network, table in alternatives.tables().items()}
    return {**variants, **others, "rates_similar": _rates(*_SIMILAR), "rates_dissimilar": _rates(*_DISSIMILAR)}


def _rates(names: Sequence[str], rates: Sequence[str]) -> str:
    """Return accuracy and log loss of the returned model by network, images a class, data and rate.

    Of each cell only seeds count that all rates were tried with.
    """
    trials = pd.DataFrame(
        {key: row[key] for key in ("backbone", "each", "data", "seed")}
        | {"rate": row["variant"].removeprefix(_VARIANT)}
        | {key: row["judged"][key] for key in ("accuracy", "log_loss")}
        for row in results.read("fine_tuning")
        if row["variant"].startswith(_VARIANT)
    )
    trials = trials[trials["data"].isin(names) & trials["rate"].isin(rates)]
    cell = ["backbone", "each", "data"]
    of_cell, of_seed = (trials.groupby(by)["rate"].transform("nunique") for by in (cell, [*cell, "seed"]))
    lines = []
    for (backbone, each), part in trials[of_cell == of_seed].groupby(["backbone", "each"]):
        accuracy, log_loss = (part.groupby(["data", "rate"])[figure].mean() for figure in ("accuracy", "log_loss"))
        seeds = sorted(set(part.groupby("data")["seed"].nunique()))
        cells = [
            f"{100 * accuracy[at]:.1f}, {log_loss[at]:.3f}" if at in accuracy.index else ""
            for at in ((name, rate) for name in names for rate in rates)
        ]
        lines.append([backbone, each, " or ".join(map(str, seeds)), *cells])
    header = [f"{name}, {rate}" for name in names for rate in rates]
    return markdown.table(
        ["network", "images a class", "seeds", *header], sorted(lines, key=lambda line: line[0] == "MobileNetV2")
    )
