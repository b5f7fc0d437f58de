"""What the store of frozen work saves: a run, the same run again, and a run on one image more in a hundred.

    KERAS_HOME=... python benchmarks/store.py DATA_FOLDER... [--repeats 3]

A data folder holds train/ with a folder for each class; its images are all that is read. Every repeat begins with an
empty store. The table is printed and written to benchmarks/store.md.
"""

import argparse
import os
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pandas as pd
from reporting import machine, spread, versions

from kerastune_recipes import Recipe, Report

SOLVE = [{"name": "feature_extraction", "solve": {}}]
NOTES = """\
The solve phase alone (features of all stages, one view, and the cross-validated head), MobileNetV2; its seconds count
neither reading images nor tracing the graph. "Again" is the same run a second time: everything is found in the store.
"One in a hundred new": a run on 99% of the images, then one on all of them. Medians of {repeats} with the range."""


def solved(images: pd.DataFrame, backbone: str) -> Report:
    """Run the solve phase of small_similar."""
    return Recipe.from_name("small_similar", backbone=backbone, phases=SOLVE).run(images, verbose=False)


def listed(folder: Path) -> pd.DataFrame:
    """Return path and label of every image, in an order that mixes the classes."""
    files = sorted((folder / "train").glob("*/*"))
    table = pd.DataFrame({"path": [str(file) for file in files], "label": [file.parent.name for file in files]})
    return table.sample(frac=1, random_state=0).reset_index(drop=True)


def seconds(report: Report) -> float:
    """Return what the phase took."""
    return report.record["phases"][0]["seconds"]


def measure(folder: Path, backbone: str, repeats: int) -> str:
    """Return the row of one data set."""
    images = listed(folder)
    new = max(1, round(len(images) / 100))
    found: dict[str, list[float]] = {"first": [], "again": [], "more": [], "pass": []}
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as store:
            os.environ["KERASTUNE_CACHE"] = store
            solved(images[:-new], backbone)
            more = solved(images, backbone)
        with tempfile.TemporaryDirectory() as store:
            os.environ["KERASTUNE_CACHE"] = store
            first, again = solved(images, backbone), solved(images, backbone)
        assert again.record["phases"][0]["features_computed"] == 0
        assert more.record["phases"][0]["features_computed"] == new
        assert again.metrics == first.metrics
        found["first"].append(seconds(first))
        found["pass"].append(first.record["cost"]["seconds_one_forward_pass"])
        found["again"].append(seconds(again))
        found["more"].append(seconds(more))
    first_seconds = np.array(found["first"])
    return " | ".join(
        [
            f"| {folder.name}",
            str(len(images)),
            spread(found["first"], "{:.1f}".format),
            spread((first_seconds / found["pass"]).tolist(), "{:.2f}".format),
            spread(found["again"], "{:.2f}".format),
            spread((np.array(found["again"]) / first_seconds).tolist(), "{:.1%}".format),
            str(new),
            spread((np.array(found["more"]) / first_seconds).tolist(), "{:.1%}".format) + " |",
        ]
    )


def main() -> None:
    """Measure every data set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--backbone", default="MobileNetV2")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    rows = [
        "| data | images | first, s | forward passes | again, s | of the first | new images | of the first |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for folder in options.data:
        rows.append(measure(folder, options.backbone, options.repeats))
        print(rows[-1], flush=True)
    names = " ".join(folder.name for folder in options.data)
    page = [
        "# What the store of frozen work saves",
        f"Made by `python benchmarks/store.py {names}` on {machine()}; {versions()}.",
        NOTES.format(repeats=options.repeats),
        "\n".join(rows),
    ]
    Path(__file__).with_suffix(".md").write_text("\n\n".join(page) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
