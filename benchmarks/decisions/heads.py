"""The solved heads against one another, by cross-validation of the training images.

    KERAS_HOME=... python benchmarks/heads.py DATA_FOLDER... [--backbone MobileNetV2] [--image-size 160]

A data folder holds train/ with a folder for each class; nothing else is read. Every head is judged by five folds, with
its strength and its calibration chosen on the other folds. The table is printed and written to benchmarks/heads.md.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from unittest.mock import patch

from reporting import machine, versions

from kerastune_recipes import Recipe
from kerastune_recipes.heads import rows, solve

HEADS = ("logistic_regression", "linear_svm", "lda", "naive_bayes")
NOTES = """\
Each cell: accuracy by 5-fold cross-validation of the training images, log loss, and in brackets the strength that all
images together chose. Strength and calibration of a fold's heads were chosen on the other folds."""
BOUNDS = (float("inf"), 5.0, 3.0, 2.0)
NOTES_ON_BOUNDS = """\
## How far an image may be from the mean

Features are standardised so that the furthest image is at most so many deviations from the mean
(`kerastune_recipes/solvers/rows.py`); all stages, as above."""


def cell(data: Path, head: str, taps: str, backbone: str, size: int) -> str:
    """Run one head on the features of one set, and return what stands in the table."""
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
    return f"{scores['accuracy']:.1%}, {scores['log_loss']:.3f} ({phase['strength']:g})"


def main() -> None:
    """Measure every cell, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--backbone", default="MobileNetV2")
    parser.add_argument("--image-size", type=int, default=160)
    options = parser.parse_args()
    names = [data.name for data in options.data]
    lines = [
        "# The solved heads",
        "",
        f"{options.backbone} at {options.image_size} px. {machine()}; {versions()}. Made by:",
        "",
        f"    python benchmarks/heads.py {' '.join(names)} --backbone {options.backbone} "
        f"--image-size {options.image_size}",
        "",
        NOTES,
        "",
        f"| taps | head | {' | '.join(names)} |",
        f"|---|---|{'---|' * len(names)}",
    ]
    for taps in ("last", "all"):
        for head in HEADS:
            cells = [cell(data, head, taps, options.backbone, options.image_size) for data in options.data]
            lines.append(f"| {taps} | {head} | {' | '.join(cells)} |")
            print(lines[-1], flush=True)
    lines += ["", NOTES_ON_BOUNDS, "", f"| bound | head | {' | '.join(names)} |", f"|---|---|{'---|' * len(names)}"]
    for head in ("logistic_regression", "lda"):
        for bound in BOUNDS:
            # Heads that were solved by another bound are not to be found.
            with patch.object(rows, "FURTHEST", bound), patch.object(solve, "PROTOCOL", f"bound {bound}"):
                cells = [cell(data, head, "all", options.backbone, options.image_size) for data in options.data]
            lines.append(f"| {bound:g} | {head} | {' | '.join(cells)} |")
            print(lines[-1], flush=True)
    Path(__file__).with_suffix(".md").write_text("\n".join([*lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
