"""Starting the head from the classifier of the pretraining, against solving it from nothing: many labels and few.

    KERAS_HOME=... python benchmarks/reuse_head.py DATA_FOLDER --out RUNS [--seeds 3] [--ways a b ..] [--labels all 4]

DATA_FOLDER holds hymenoptera/ and cifar10/, each with train/ and test/. What has been measured before is not measured
again. The table is printed and written to benchmarks/reuse_head.md, above what is written there by hand.
"""

import argparse
import itertools
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from reporting import machine, spread, versions

from kerastune_recipes import Recipe
from kerastune_recipes.spec import catalog

TABLE = Path(__file__).with_suffix(".md")
BY_HAND = "## What the choices rest on"
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
WAYS = {
    "last": "last stage, logistic regression",
    "all": "all stages, logistic regression (`small_similar`, solved)",
    "start": "the pretrained classifier as it is, calibrated",
    "reuse": "`reuse_head`, solved",
    "all_fit": "`small_similar`, fine-tuned",
    "reuse_fit": "`reuse_head`, fine-tuned",
}


def recipe(way: str, size: int, pretrained_classes: dict[str, list[int]]) -> Recipe:
    """Return the recipe of a way; without its fine-tuning where it is solved only."""
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
    """Return paths and labels: all test images, and all training images or so many of each class."""
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


def measure(data: Path, case: str, labels: str, way: str, seed: int, out: Path) -> dict[str, Any]:
    """Return the figures of one run; those that were measured before are read."""
    kept = out / f"{'_'.join([*case.replace(',', '').split(), labels, way, str(seed)])}.json"
    if not kept.is_file():
        name, size, pretrained_classes = CASES[case]
        ds = images(data / name, labels, seed)
        report = recipe(way, size, pretrained_classes).run(ds, seed=seed, verbose=False)
        kept.write_text(json.dumps(report.record))
    return json.loads(kept.read_text())


def row(name: str, records: list[dict[str, Any]]) -> str:
    """Return one line of a table."""
    accuracy = spread([record["test"]["accuracy"] for record in records], "{:.1%}".format)
    loss = spread([record["test"]["log_loss"] for record in records], "{:.3f}".format)
    solved = [record["phases"][0]["strength"] for record in records]
    kept = sum(record["chosen_phase"] != "feature_extraction" for record in records)
    seconds = np.median([record["cost"]["seconds_in_phases"] for record in records])
    fitted = f"{kept} of {len(records)}" if len(records[0]["phases"]) > 1 else ""
    strengths = "" if name == WAYS["start"] else ", ".join(f"{strength:g}" for strength in solved)
    return f"| {name} | {accuracy} | {loss} | {strengths} | {fitted} | {seconds:.0f} |"


HEADER = """| | test accuracy | log loss | strength chosen | fine-tuned model kept | seconds in phases |
|---|---|---|---|---|---|"""


def section(case: str, labels: str, found: dict[str, list[dict[str, Any]]]) -> str:
    """Return the table of one case, with as many labels."""
    data = next(iter(found.values()))[0]["data"]
    many = "all labels" if labels == "all" else f"{labels} labels a class"
    counts = f"{data['train']} images to train on, {data['validation']} to validate, {data['test']} to test"
    rows = [row(WAYS[way], records) for way, records in found.items()]
    return "\n".join([f"## {case}, {many}", "", f"{counts}.", "", HEADER, *rows])


def main() -> None:
    """Measure what is missing, and write the tables after each case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder for the figures of each run and for features")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--labels", nargs="+", default=["4", "all"])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    os.environ["KERASTUNE_CACHE"] = str(options.out / "features")
    sections = []
    for case, labels in itertools.product(options.cases, options.labels):
        found = {
            way: [measure(options.data, case, labels, way, seed, options.out) for seed in range(options.seeds)]
            for way in options.ways
        }
        sections.append(section(case, labels, found))
        write(sections, options.seeds)
        print(sections[-1], flush=True)


def write(sections: list[str], seeds: int) -> None:
    """Write the tables, and keep what stands below them."""
    before = TABLE.read_text(encoding="utf-8") if TABLE.is_file() else ""
    by_hand = before[before.index(BY_HAND) :] if BY_HAND in before else ""
    head = [
        "# The head from the classifier of the pretraining",
        "",
        f"{BACKBONE}, {seeds} seeds: which images are drawn and held out. Medians, lowest and highest in brackets. "
        f"{machine()}; {versions()}. Made by:",
        "",
        "    python benchmarks/reuse_head.py DATA --out RUNS",
        "",
        "Of the labels a fifth is held out for validation, of 4 in a class 1. Strength and temperature are chosen by "
        "cross-validation of the training images, the model by the validation images.",
        "",
    ]
    TABLE.write_text("\n".join([*head, "\n\n".join(sections), "", by_hand]).rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
