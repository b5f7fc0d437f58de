"""What the cache of features saves: a run, the same run again, and a run with one percent more images.

    KERAS_HOME=... python -m benchmarks.costs.feature_cache DATA_FOLDER... [--repeats 3]

A data folder holds train/ with a folder for each class; nothing else is read. Every repeat begins with an empty
cache. Writes results/feature_cache.jsonl and pages/feature_cache.md.
"""

import argparse
import os
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pandas as pd

from benchmarks.lib import measure, pages, results
from benchmarks.lib.results import Row
from kerastune_recipes import Recipe, Report

SOLVE = [{"name": "feature_extraction", "solve": {}}]


def solved(images: pd.DataFrame, backbone: str) -> Report:
    """Run the solve phase of small_similar."""
    return Recipe.from_name("small_similar", backbone=backbone, phases=SOLVE).run(images, verbose=False)


def listed(folder: Path) -> pd.DataFrame:
    """Return path and label of every image, with the classes shuffled."""
    files = sorted((folder / "train").glob("*/*"))
    table = pd.DataFrame({"path": [str(file) for file in files], "label": [file.parent.name for file in files]})
    return table.sample(frac=1, random_state=0).reset_index(drop=True)


def seconds(report: Report) -> float:
    """Return the seconds of the phase."""
    return report.record["phases"][0]["seconds"]


def measured(folder: Path, backbone: str, repeats: int) -> Row:
    """Return the figures of one data set."""
    images = listed(folder)
    new = max(1, round(len(images) / 100))
    found: dict[str, list[float]] = {"first": [], "again": [], "more": [], "pass": []}
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as cache:
            os.environ["KERASTUNE_CACHE"] = cache
            solved(images[:-new], backbone)
            more = solved(images, backbone)
        with tempfile.TemporaryDirectory() as cache:
            os.environ["KERASTUNE_CACHE"] = cache
            first, again = solved(images, backbone), solved(images, backbone)
        assert again.record["phases"][0]["features_computed"] == 0
        assert more.record["phases"][0]["features_computed"] == new
        assert again.metrics == first.metrics
        found["first"].append(seconds(first))
        found["pass"].append(first.record["cost"]["seconds_one_forward_pass"])
        found["again"].append(seconds(again))
        found["more"].append(seconds(more))
    first_seconds = np.array(found["first"])
    return {
        "data": folder.name,
        "images": len(images),
        "first_seconds": measure.spread(found["first"]),
        "forward_passes": measure.spread((first_seconds / found["pass"]).tolist()),
        "again_seconds": measure.spread(found["again"]),
        "again_share": measure.spread((np.array(found["again"]) / first_seconds).tolist()),
        "new_images": new,
        "more_share": measure.spread((np.array(found["more"]) / first_seconds).tolist()),
    }


def main() -> None:
    """Measure every data set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--backbone", default="MobileNetV2")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    rows = []
    for folder in options.data:
        rows.append(measured(folder, options.backbone, options.repeats))
        print(rows[-1], flush=True)
    names = " ".join(folder.name for folder in options.data)
    made = {**measure.made(f"python -m benchmarks.costs.feature_cache {names}"), "repeats": options.repeats}
    results.replace("feature_cache", "seconds", rows)
    results.replace("feature_cache", results.MADE, [made])
    print(pages.write_page("feature_cache"))


if __name__ == "__main__":
    main()
