"""Starting the head from the pretrained classifier, against solving it from nothing: many labels and few.

    KERAS_HOME=... python -m benchmarks.decisions.reuse_head DATA_FOLDER --out RUNS [--seeds 3] [--labels all 4]

DATA_FOLDER holds hymenoptera/ and cifar10/, each with train/ and test/. Runs that are in RUNS are not run
again. Writes results/reuse_head.jsonl and pages/reuse_head.md.
"""

import argparse
import itertools
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.lib import measure, pages, results
from benchmarks.lib.results import Row
from benchmarks.tables.reuse_head import TITLES
from kerastune_recipes import Recipe
from kerastune_recipes.spec import catalog

BACKBONE = "MobileNetV2"

# Indices of ImageNet's classes. There is no deer among them; a sorrel is a horse.
ANIMALS = {
    "bird": [*range(7, 25), *range(80, 101), *range(127, 147)],
    "cat": [*range(281, 286)],
    "dog": [*range(151, 269)],
    "frog": [30, 31, 32],
    "horse": [339],
}
VEHICLES = {
    "airplane": [404, 895],
    "automobile": [436, 511, 817],
    "ship": [403, 510, 554, 628, 724, 780],
    "truck": [555, 569, 675, 867],
}
# The data, the size in pixels, the pretrained classes.
CASES: dict[str, tuple[str, int, dict[str, list[int]]]] = {
    "hymenoptera, 160 px": ("hymenoptera", 160, {"ants": [310], "bees": [309]}),
    "hymenoptera, 224 px": ("hymenoptera", 224, {"ants": [310], "bees": [309]}),
    "hymenoptera, 160 px, ants only": ("hymenoptera", 160, {"ants": [310], "bees": []}),
    "cifar10, 9 of 10": ("cifar10", 128, ANIMALS | VEHICLES),
    "cifar10, vehicles only": ("cifar10", 128, VEHICLES),
}


def recipe(way: str, size: int, pretrained_classes: dict[str, list[int]]) -> Recipe:
    """Return the recipe of a way, without its fine-tuning unless the way is fine-tuned."""
    name = "reuse_head" if way.startswith(("start", "reuse")) else "small_similar"
    changes: dict[str, Any] = {"backbone.name": BACKBONE, "backbone.image_size": size}
    if not way.endswith("_fit"):
        changes["phases"] = [catalog.load(name).phases[0].to_data()]
    if way == "last":
        changes["features.taps"] = "last"
    if name == "reuse_head":
        changes["phases.feature_extraction.solve.pretrained_classes"] = pretrained_classes
    if way == "start":
        changes["phases.feature_extraction.solve.regularization"] = 1e9
    return Recipe.from_name(name, **changes)


def images(folder: Path, labels: str, seed: int) -> pd.DataFrame:
    """Return paths and labels: all test images, and training images, all or the stated number of each class."""
    rows = [
        {"path": str(path), "label": path.parent.name, "split": split}
        for split in ("train", "test")
        for path in sorted((folder / split).glob("*/*"))
    ]
    table = pd.DataFrame(rows)
    if labels == "all":
        return table
    drawn = table[table.split == "train"].groupby("label").sample(int(labels), random_state=seed)
    return pd.concat([drawn, table[table.split == "test"]])


def measured(data: Path, case: str, labels: str, way: str, seed: int, out: Path) -> dict[str, Any]:
    """Return the record of one run, read from `out` where it has run before."""
    kept = out / f"{'_'.join([*case.replace(',', '').split(), labels, way, str(seed)])}.json"
    if not kept.is_file():
        name, size, pretrained_classes = CASES[case]
        ds = images(data / name, labels, seed)
        report = recipe(way, size, pretrained_classes).run(ds, seed=seed, verbose=False)
        kept.write_text(json.dumps(report.record))
    return json.loads(kept.read_text())


def row(case: str, labels: str, way: str, records: list[dict[str, Any]]) -> Row:
    """Return the figures of a way over all seeds."""
    first = records[0]
    found: Row = {
        "case": case,
        "labels": labels,
        **{key: first["data"][key] for key in ("train", "validation", "test")},
    }
    found["way"] = way
    for figure in ("accuracy", "log_loss"):
        found[figure] = measure.spread([record["test"][figure] for record in records])
    strengths = [record["phases"][0]["strength"] for record in records]
    found["strengths"] = [] if way == "start" else strengths
    if len(first["phases"]) > 1:
        found["kept"] = sum(record["chosen_phase"] != "feature_extraction" for record in records)
        found["seeds"] = len(records)
    return {**found, "seconds": float(np.median([record["cost"]["seconds_in_phases"] for record in records]))}


def main() -> None:
    """Measure what is missing, and write the tables after each case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder for the figures of each run and for features")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--labels", nargs="+", default=["4", "all"])
    parser.add_argument("--ways", nargs="+", choices=TITLES, default=list(TITLES))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    os.environ["KERASTUNE_CACHE"] = str(options.out / "features")
    rows: list[Row] = []
    for case, labels in itertools.product(options.cases, options.labels):
        for way in options.ways:
            seeds = range(options.seeds)
            records = [measured(options.data, case, labels, way, seed, options.out) for seed in seeds]
            rows.append(row(case, labels, way, records))
            print(rows[-1], flush=True)
        results.replace("reuse_head", "ways", rows)
        made = measure.made("python -m benchmarks.decisions.reuse_head DATA --out RUNS")
        results.replace("reuse_head", results.MADE, [{**made, "recipes": ["reuse_head"]}])
        pages.write_page("reuse_head")


if __name__ == "__main__":
    main()
