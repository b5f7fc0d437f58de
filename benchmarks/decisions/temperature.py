"""How many folds find the temperature of linear discriminant analysis.

    KERAS_HOME=... python -m benchmarks.decisions.temperature DATA_FOLDER... [--backbones MobileNet_0.25]

A data folder holds train/ with a folder for each class; nothing else is read. Heads train on some images of each
class, and at most 600 of the others judge. Strengths are chosen by three or five folds; the temperature by the same
folds, or by more. Writes results/temperature.jsonl and pages/temperature.md.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from unittest.mock import patch

import pandas as pd

from benchmarks.lib import measure, pages, results
from benchmarks.lib.images import divided
from kerastune_recipes import Recipe
from kerastune_recipes.heads import cross_validation, solve

# With 0, which is fewer than the folds of the choice, the temperature of the choice stays.
FOLDS = (0, 10, 20)
EACH = ("4", "10", "30", "100")


def judged(data: Path, each: str, seed: int, recipe: Recipe, fine: int) -> dict[str, float]:
    """Return log loss and calibration error of a head on the judging images."""
    images = divided(data, each, seed).replace({"split": {"validation": "test"}})
    # The cache must not find heads that were solved with other folds.
    with patch.object(cross_validation, "FINE_FOLDS", fine), patch.object(solve, "PROTOCOL", f"fine folds {fine}"):
        report = recipe.run(images, seed=seed, verbose=False)
    return {figure: report.metrics["test"][figure] for figure in ("log_loss", "ece")}


def main() -> None:
    """Measure every cell, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--backbones", nargs="+", default=["MobileNet_0.25", "MobileNetV2"])
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    found = []
    for backbone in options.backbones:
        recipe = Recipe.from_name(
            "small_dissimilar",
            **{
                "backbone.name": backbone,
                "backbone.image_size": options.image_size,
                "phases": [{"name": "feature_extraction", "solve": {"head": "lda"}}],
            },
        )
        for data in options.data:
            for each in EACH:
                for seed in range(options.seeds):
                    for fine in FOLDS:
                        cell = {"each": each, "folds": fine, "data": data.name}
                        found.append(cell | judged(data, each, seed, recipe, fine))
    table = pd.DataFrame(found).groupby(["each", "folds"], sort=False)[["log_loss", "ece"]].mean().reset_index()
    rows = [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]
    names = " ".join(data.name for data in options.data)
    command = f"python -m benchmarks.decisions.temperature {names} --backbones {' '.join(options.backbones)}"
    command += f" --seeds {options.seeds}"
    results.replace("temperature", "folds", rows)
    results.replace("temperature", results.MADE, [measure.made(command)])
    print(pages.write_page("temperature"))


if __name__ == "__main__":
    main()
