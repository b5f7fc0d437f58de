"""BatchNorm frozen or trained while the whole network is fine-tuned.

    KERAS_HOME=... python -m benchmarks.decisions.batch_norm DATA_FOLDER...

A data folder holds train/ with a folder for each class; nothing else is read. `large_dissimilar` runs once with either,
judged on the fifth of the images that it holds out, after the first epoch and after the last. Writes
results/batch_norm.jsonl and pages/batch_norm.md.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.lib import measure, pages, results
from benchmarks.lib.results import Row
from kerastune_recipes import Recipe


def fitted(data: Path, batch_norm: str) -> list[Row]:
    """Return accuracy and log loss on the held-out images after the first epoch and the last, without the gate."""
    changes = {"backbone.name": "MobileNetV2", "phases.fine_tuning.fit.batch_norm": batch_norm}
    report = Recipe.from_name("large_dissimilar", **changes).run(data / "train", seed=0, verbose=False)
    found = []
    for epochs, row in ((1, report.history[0]), (None, report.history[-1])):
        cell = {"data": data.name, "epochs": epochs, "batch_norm": batch_norm}
        found.append({**cell, "accuracy": row["val_accuracy"], "log_loss": row["val_loss"]})
    return found


def main() -> None:
    """Measure both on each data set, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", type=Path)
    options = parser.parse_args()
    found = [row for data in options.data for each in ("frozen", "trained") for row in fitted(data, each)]
    # Rows of other data sets stay.
    key = ("data", "epochs", "batch_norm")
    rows = {tuple(row[name] for name in key): row for row in (*results.read("batch_norm", "accuracy"), *found)}
    results.replace("batch_norm", "accuracy", rows.values())
    names = " ".join(data.name for data in options.data)
    results.replace("batch_norm", results.MADE, [measure.made(f"python -m benchmarks.decisions.batch_norm {names}")])
    print(pages.write_page("batch_norm"))


if __name__ == "__main__":
    main()
