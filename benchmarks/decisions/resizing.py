"""How far the saved model on raw images is from the figures of its run, which resizes before the model.

    KERAS_HOME=... python -m benchmarks.decisions.resizing DATA_FOLDER... [--backbone NAME] [--recipes NAME...]

A data folder holds train/ and test/ with a folder for each class. A run trains; `evaluate` then finds its test figures
again, and all test images go through the saved model alone. Writes results/resizing.jsonl and pages/resizing.md.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from benchmarks.lib import measure, pages, results
from benchmarks.lib.results import Row
from kerastune_recipes import Recipe
from kerastune_recipes.data.sources.open import open_for_evaluation
from kerastune_recipes.evaluation.predict import evaluate, resizing_difference
from kerastune_recipes.evaluation.saved_model import Saved

# Images that `resizing_difference` compares at most.
BATCH = 32


def row(data: Path, backbone: str, recipe: str) -> Row:
    """Run a recipe, and return how far its model alone is from its test figures."""
    report = Recipe.from_name(recipe, backbone=backbone).run(data, verbose=False)
    again = evaluate(Saved(report.model, report.class_names), data)
    samples = open_for_evaluation(data, report.class_names)
    starts = range(0, len(samples), BATCH)
    batches = [samples.select(np.arange(start, min(start + BATCH, len(samples)))) for start in starts]
    found = [resizing_difference(report.model, batch) for batch in batches]
    counts = [each["images"] for each in found]
    run = report.metrics["test"]
    return {
        "data": data.name,
        "recipe": recipe,
        "backbone": backbone,
        "image_size": report.plan.backbone.image_size,
        "images": sum(counts),
        "log_loss": run["log_loss"],
        "log_loss_again": again["log_loss"],
        "same_answers_again": run["accuracy"] == again["accuracy"],
        "largest_difference": max(each["largest_difference"] for each in found),
        "mean_difference": float(np.average([each["mean_difference"] for each in found], weights=counts)),
        "changed_answers": float(np.average([each["changed_answers"] for each in found], weights=counts)),
    }


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--backbone", default="MobileNet_0.25")
    parser.add_argument("--recipes", nargs="+", default=["small_similar", "features_svm"])
    options = parser.parse_args()
    found = []
    for data in options.data:
        for recipe in options.recipes:
            found.append(row(data, options.backbone, recipe))
            print(found[-1], flush=True)
    names = " ".join(data.name for data in options.data)
    command = f"python -m benchmarks.decisions.resizing {names} --backbone {options.backbone}"
    results.replace("resizing", "differences", found)
    results.replace("resizing", results.MADE, [measure.made(command)])
    print(pages.write_page("resizing"))


if __name__ == "__main__":
    main()
