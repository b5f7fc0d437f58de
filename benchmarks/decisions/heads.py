"""The solved heads against one another, by cross-validation of the training images.

    KERAS_HOME=... python -m benchmarks.decisions.heads DATA_FOLDER... [--backbone MobileNetV2] [--image-size 160]

A data folder holds train/ with a folder for each class; nothing else is read. Every head is judged by five folds, with
its strength and its calibration chosen on the other folds. Writes results/heads.jsonl and pages/heads.md.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from unittest.mock import patch

from benchmarks.lib import measure, pages, results
from benchmarks.lib.results import Row
from kerastune_recipes import Recipe
from kerastune_recipes.heads import rows, solve

HEADS = ("logistic_regression", "linear_svm", "lda", "naive_bayes")
BOUNDS = (float("inf"), 5.0, 3.0, 2.0)
RECIPES = ["features_bayes", "features_lda", "features_svm", "tiny_svm"]


def cell(data: Path, head: str, taps: str, backbone: str, size: int) -> Row:
    """Run one head on the features of one set, and return its figures."""
    recipe = Recipe.from_name(
        "small_similar",
        **{
            "backbone.name": backbone,
            "backbone.image_size": size,
            "features.taps": taps,
            "phases": [{"name": "feature_extraction", "solve": {"head": head}}],
        },
    )
    report = recipe.run(data / "train", folds=5, verbose=False)
    scores, (phase,) = report.metrics["validation"], report.record["phases"]
    figures = {"accuracy": scores["accuracy"], "log_loss": scores["log_loss"], "strength": phase["strength"]}
    return {"head": head, "data": data.name, **figures}


def main() -> None:
    """Measure every cell, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--backbone", default="MobileNetV2")
    parser.add_argument("--image-size", type=int, default=160)
    options = parser.parse_args()
    heads: list[Row] = []
    for taps in ("last", "all"):
        for head in HEADS:
            for data in options.data:
                heads.append({"taps": taps, **cell(data, head, taps, options.backbone, options.image_size)})
                print(heads[-1], flush=True)
    bounds: list[Row] = []
    for head in ("logistic_regression", "lda"):
        for bound in BOUNDS:
            # The cache must not find heads that were solved with another bound.
            with patch.object(rows, "MAX_DEVIATIONS", bound), patch.object(solve, "PROTOCOL", f"bound {bound}"):
                for data in options.data:
                    bounds.append({"bound": bound, **cell(data, head, "all", options.backbone, options.image_size)})
                    print(bounds[-1], flush=True)
    names = " ".join(data.name for data in options.data)
    command = f"python -m benchmarks.decisions.heads {names} --backbone {options.backbone}"
    command += f" --image-size {options.image_size}"
    results.replace("heads", "heads", heads)
    results.replace("heads", "bounds", bounds)
    results.replace("heads", results.MADE, [{**measure.made(command), "recipes": RECIPES}])
    print(pages.write_page("heads"))


if __name__ == "__main__":
    main()
