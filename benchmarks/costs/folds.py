"""What cross-validation of a solved head costs: one run with a hold-out against one with five folds.

    KERAS_HOME=... python -m benchmarks.costs.folds DATA_FOLDER... [--folds 5] [--repeats 3]

A data folder holds train/ with a folder for each class. Every run begins with an empty cache, so that it includes the
forward pass; the two take turns. Writes results/folds.jsonl and pages/folds.md.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.lib import measure, pages, results
from benchmarks.lib.results import Row
from kerastune_recipes import Recipe

SOLVE = [{"name": "feature_extraction", "solve": {}}]


def seconds(data: Path, folds: int | None, size: int) -> tuple[float, float]:
    """Return the seconds of one run with an empty cache, and its accuracy on held-out images."""
    changes = {"backbone": "MobileNetV2", "backbone.image_size": size, "phases": SOLVE}
    with tempfile.TemporaryDirectory() as cache:
        os.environ["KERASTUNE_CACHE"] = cache
        began = time.perf_counter()
        report = Recipe.from_name("small_similar", **changes).run(data / "train", folds=folds, verbose=False)
        return time.perf_counter() - began, report.metrics["validation"]["accuracy"]


def main() -> None:
    """Measure both in turn, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--image-size", type=int, default=160)
    options = parser.parse_args()
    seconds(options.data[0], None, options.image_size)
    rows: list[Row] = []
    for data in options.data:
        once, folded, accuracy = [], [], []
        for _ in range(options.repeats):
            once.append(seconds(data, None, options.image_size)[0])
            took, judged = seconds(data, options.folds, options.image_size)
            folded.append(took)
            accuracy.append(judged)
        ratios = [many / one for many, one in zip(folded, once, strict=True)]
        lists = {"seconds_hold_out": once, "seconds_folds": folded, "ratio": ratios}
        spreads = {key: measure.spread(values) for key, values in lists.items()}
        rows.append({"data": data.name, **spreads, "accuracy": accuracy[0]})
        print(rows[-1], flush=True)
    names = " ".join(data.name for data in options.data)
    command = f"python -m benchmarks.costs.folds {names} --folds {options.folds} --repeats {options.repeats}"
    results.replace("folds", "seconds", rows)
    results.replace("folds", results.MADE, [measure.made(command)])
    print(pages.write_page("folds"))


if __name__ == "__main__":
    main()
