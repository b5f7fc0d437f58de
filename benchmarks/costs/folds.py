"""What cross-validation costs where a head is solved: one run with a hold-out against one with five folds.

    KERAS_HOME=... python benchmarks/folds.py DATA_FOLDER... [--folds 5] [--repeats 3]

A data folder holds train/ with a folder for each class. Every run begins with an empty store, so that the pass through
the network is in it; the two take turns. The table is printed and written to benchmarks/folds.md.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from reporting import machine, spread, versions

from kerastune_recipes import Recipe

SOLVE = [{"name": "feature_extraction", "solve": {}}]


def seconds(data: Path, folds: int | None, size: int) -> tuple[float, float]:
    """Return the seconds of one run with an empty store, and the accuracy by which it was judged."""
    changes = {"backbone": "MobileNetV2", "backbone.image_size": size, "phases": SOLVE}
    with tempfile.TemporaryDirectory() as store:
        os.environ["KERASTUNE_CACHE"] = store
        began = time.perf_counter()
        report = Recipe.from_name("small_similar", **changes).run(data / "train", folds=folds, verbose=False)
        return time.perf_counter() - began, report.metrics["validation"]["accuracy"]


def main() -> None:
    """Measure in turn, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--image-size", type=int, default=160)
    options = parser.parse_args()
    seconds(options.data[0], None, options.image_size)
    rows = []
    for data in options.data:
        once, folded, accuracy = [], [], []
        for _ in range(options.repeats):
            once.append(seconds(data, None, options.image_size)[0])
            took, judged = seconds(data, options.folds, options.image_size)
            folded.append(took)
            accuracy.append(judged)
        ratios = [many / one for many, one in zip(folded, once, strict=True)]
        rows.append(
            f"| {data.name} | {spread(once, '{:.1f}'.format)} | {spread(folded, '{:.1f}'.format)} "
            f"| {spread(ratios, '{:.2f}'.format)} | {accuracy[0]:.1%} |"
        )
        print(rows[-1], flush=True)
    names = " ".join(data.name for data in options.data)
    text = "\n".join(
        [
            "# What cross-validation of a solved head costs",
            "",
            f"`small_similar` without its fine-tuning, MobileNetV2 at {options.image_size} px: whole runs with an",
            f"empty store, a hold-out against {options.folds} folds and a head on all images in the end. Features are",
            "extracted once for all folds. Medians, lowest and highest in",
            f"brackets. {machine()}; {versions()}. Made by:",
            "",
            f"    python benchmarks/folds.py {names} --folds {options.folds} --repeats {options.repeats}",
            "",
            "| data | s, hold-out | s, folds | ratio | accuracy by folds |",
            "|---|---|---|---|---|",
            *rows,
            "",
        ]
    )
    Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
