"""The features of two networks side by side under one solved head, against those of each alone.

    KERAS_HOME=... python benchmarks/ensemble.py DATA_FOLDER... [--seeds 3]

A data folder holds train/ and test/ with a folder for each class. A seed decides on the images that are held out; the
head learns from them too in the end, so what differs is the strength that cross-validation chose. The table is printed
and written to benchmarks/ensemble.md.
"""

import argparse
import os
from pathlib import Path
from statistics import fmean
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from reporting import machine, versions

from kerastune_recipes import Recipe
from kerastune_recipes.evaluation.metrics import wilson_interval

FIRST, SECOND = "MobileNet_0.25", "MobileNetV2"
SIZE = 160


def changes(first: str, *others: str) -> dict[str, Any]:
    """Return the overrides for these networks."""
    companions = [{"name": name, "image_size": SIZE} for name in others]
    return {"backbone.name": first, "backbone.image_size": SIZE, "ensemble": companions}


WAYS = {FIRST: changes(FIRST), SECOND: changes(SECOND), "both": changes(FIRST, SECOND)}


def tested(data: Path, overrides: dict[str, Any], seed: int) -> tuple[float, float, int]:
    """Return accuracy and log loss on the test images, and how many there are."""
    report = Recipe.from_name("features_ensemble", **overrides).run(data, seed=seed, verbose=False)
    test = report.metrics["test"]
    return test["accuracy"], test["log_loss"], report.record["data"]["test"]


def row(data: Path, seeds: int) -> str:
    """Return the line of a data set."""
    cells = []
    for overrides in WAYS.values():
        found = [tested(data, overrides, seed) for seed in range(seeds)]
        accuracy, loss, images = fmean(one[0] for one in found), fmean(one[1] for one in found), found[0][2]
        low, high = wilson_interval(accuracy * images, images)
        cells.append(f"{accuracy:.1%} ({low:.1%} to {high:.1%}), {loss:.3f}")
    return f"| {data.name} | {' | '.join(cells)} |"


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    lines = [f"| data | {' | '.join(WAYS)} |", f"|---|{'---|' * len(WAYS)}"]
    for data in options.data:
        lines.append(row(data, options.seeds))
        print(lines[-1], flush=True)
    names = " ".join(data.name for data in options.data)
    text = [
        "# The features of two networks, against those of each",
        f"Recipe `features_ensemble`, all stages at {SIZE} pixels, logistic regression. Test accuracy with its 95% "
        f"interval and log loss in nats, means over {options.seeds} seeds; the interval is that of one. {machine()}; "
        f"{versions()}. Made by:",
        f"    python benchmarks/ensemble.py {names} --seeds {options.seeds}",
        "\n".join(lines),
    ]
    Path(__file__).with_suffix(".md").write_text("\n\n".join(text) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
