"""What test-time augmentation gains: the mean over several views of a test image, by a head solved on all stages.

    KERAS_HOME=... python -m benchmarks.decisions.evaluation_views DATA_FOLDER... [--backbone MobileNetV2]

A data folder holds train/ and test/ with a folder for each class. Writes
results/evaluation_views.jsonl and pages/evaluation_views.md. One view stays the default.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.lib import measure, pages, results
from benchmarks.lib.results import Row
from kerastune_recipes import Recipe
from kerastune_recipes.data.views import Flip
from kerastune_recipes.evaluation import predict
from kerastune_recipes.evaluation.saved_model import Saved

SOLVE_ONLY = {"phases": [{"name": "feature_extraction", "solve": {}}]}
VIEWS: tuple[tuple[int, Flip], ...] = (
    (1, "none"),
    (2, "horizontal"),
    (4, "none"),
    (4, "horizontal"),
    (8, "none"),
    (8, "horizontal"),
)


def rows(data: Path, backbone: str) -> list[Row]:
    """Train a head and return its accuracy and log loss with each number and kind of views."""
    report = Recipe.from_name("small_similar", backbone=backbone, **SOLVE_ONLY).run(data / "train", verbose=False)
    saved = Saved(report.model, report.class_names)
    found = []
    for count, flip in VIEWS:
        scores = predict.evaluate(saved, data / "test", tta=count, flip=flip)
        cell = {"data": data.name, "views": count, "flip": flip}
        found.append({**cell, "accuracy": scores["accuracy"], "log_loss": scores["log_loss"]})
    return found


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--backbone", default="MobileNetV2")
    options = parser.parse_args()
    names = " ".join(data.name for data in options.data)
    command = f"python -m benchmarks.decisions.evaluation_views {names} --backbone {options.backbone}"
    results.replace(
        "evaluation_views", "accuracy", [row for data in options.data for row in rows(data, options.backbone)]
    )
    results.replace("evaluation_views", results.MADE, [measure.made(command)])
    print(pages.write_page("evaluation_views"))


if __name__ == "__main__":
    main()
