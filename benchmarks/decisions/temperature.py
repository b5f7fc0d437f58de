"""How many folds find the temperature of linear discriminant analysis.

    KERAS_HOME=... python benchmarks/temperature.py DATA_FOLDER... [--backbones MobileNet_0.25] [--image-size 128]

A data folder holds train/ with a folder for each class; nothing else is read. So many images of each class are learnt
from, and at most 600 of the others judge. Strengths are chosen by three or five folds as ever; the temperature by as
many, or by more. The table is printed and written to benchmarks/temperature.md.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from unittest.mock import patch

import pandas as pd
from fine_tuning import divided
from reporting import versions

from kerastune_recipes import Recipe
from kerastune_recipes.heads import cross_validation, solve

# Fewer than a head is chosen by leave the temperature that it was chosen with.
FOLDS = {"those of the choice": 0, "10": 10, "20": 20}
EACH = ("4", "10", "30", "100")


def judged(data: Path, each: str, seed: int, recipe: Recipe, fine: int) -> dict[str, float]:
    """Return what the judges say of a head."""
    images = divided(data, each, seed).replace({"split": {"validation": "test"}})
    # Heads that were solved by other folds are not to be found.
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
                    for name, fine in FOLDS.items():
                        cell = {"each": each, "folds": name, "data": data.name}
                        found.append(cell | judged(data, each, seed, recipe, fine))
    table = pd.DataFrame(found).groupby(["each", "folds"], sort=False)[["log_loss", "ece"]].mean().reset_index()
    rows = [
        f"| {each} | " + " | ".join(f"{one.log_loss:.3f}, {one.ece:.3f}" for one in of_each.itertuples()) + " |"
        for each, of_each in table.groupby("each", sort=False)
    ]
    names = " ".join(data.name for data in options.data)
    text = "\n\n".join(
        [
            "# How many folds find the temperature of LDA",
            f"{' and '.join(options.backbones)} at {options.image_size} px, all stages, {len(options.data)} sets, "
            f"{options.seeds} seeds: log loss and calibration error on images that were not learnt from, means. LDA is "
            "the surer the more images it has learnt from, so that a temperature found on heads of two thirds of "
            f"them makes it doubt too much. {versions()}. Made by:",
            f"    python benchmarks/temperature.py {names} --backbones {' '.join(options.backbones)} "
            f"--seeds {options.seeds}",
            "\n".join(
                [
                    f"| images a class | {' | '.join(FOLDS)} |",
                    f"|---|{'---|' * len(FOLDS)}",
                    *rows,
                ]
            ),
        ]
    )
    Path(__file__).with_suffix(".md").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
