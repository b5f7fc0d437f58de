"""The features of two networks side by side under one solved head, against those of each alone.

    KERAS_HOME=... python -m benchmarks.decisions.ensemble DATA_FOLDER... [--seeds 3]

A data folder holds train/ and test/ with a folder for each class. The seed determines the images that are held
out; the final head learns from them too, so only the strength chosen by cross-validation differs. Writes
results/ensemble.jsonl and pages/ensemble.md.
"""

import argparse
import os
from pathlib import Path
from statistics import fmean
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.lib import measure, pages, results
from benchmarks.lib.results import Row
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
    """Return accuracy and log loss on the test images, and their number."""
    report = Recipe.from_name("features_ensemble", **overrides).run(data, seed=seed, verbose=False)
    test = report.metrics["test"]
    return test["accuracy"], test["log_loss"], report.record["data"]["test"]


def rows(data: Path, seeds: int) -> list[Row]:
    """Return the figures of each choice of features on a data set, means over the seeds."""
    cells = []
    for features, overrides in WAYS.items():
        found = [tested(data, overrides, seed) for seed in range(seeds)]
        accuracy, loss, images = fmean(one[0] for one in found), fmean(one[1] for one in found), found[0][2]
        interval = wilson_interval(accuracy * images, images)
        cell = {"data": data.name, "features": features, "accuracy": accuracy, "interval": list(interval)}
        cells.append({**cell, "log_loss": loss})
    return cells


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    found: list[Row] = []
    for data in options.data:
        found += rows(data, options.seeds)
        print(found[-len(WAYS) :], flush=True)
    names = " ".join(data.name for data in options.data)
    command = f"python -m benchmarks.decisions.ensemble {names} --seeds {options.seeds}"
    results.replace("ensemble", "accuracy", found)
    results.replace("ensemble", results.MADE, [{**measure.made(command), "recipes": ["features_ensemble"]}])
    print(pages.write_page("ensemble"))


if __name__ == "__main__":
    main()
