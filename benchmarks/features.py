"""Which taps, views and image sizes a head should be solved on, judged by cross-validation on training images.

    KERAS_HOME=... python benchmarks/features.py DATA_FOLDER... [--backbones MobileNetV2 MobileNet_0.25]

The test splits are not touched. Prints one line for each data set, backbone and image size.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from sklearn.model_selection import StratifiedKFold

from kerastune_recipes import Recipe, features, metrics, rules, solvers
from kerastune_recipes.data import arrays
from kerastune_recipes.model.assemble import assemble
from kerastune_recipes.preparation import prepare

FOLDS = 5


def held_out_accuracy(views: np.ndarray, labels: np.ndarray, seed: int) -> float:
    """Return accuracy on images that neither the head nor its strength was chosen by."""
    right = []
    for train, held in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(labels, labels):
        solved = solvers.logistic_regression(views[:, train], labels[train], rules.STRENGTHS, 3, seed)
        right.append(metrics.accuracy(solved.probabilities(views[0][held]), labels[held]))
    return float(np.mean(right))


def measure(data: Path, backbone: str, size: int | str, seed: int) -> None:
    """Extract all taps and both views once, and compare the choices on them."""
    overrides = {"backbone.name": backbone, "backbone.image_size": size, "features.taps": "all"}
    recipe = Recipe.from_name("small_similar", **overrides)
    prepared = prepare(recipe.name, recipe.content, str(data), seed=seed)
    network = assemble(prepared.plan, prepared.facts, prepared.network)
    images = arrays.load(prepared.dataset.train, prepared.plan.backbone.image_size)
    labels = prepared.dataset.train.labels
    both = features.extract(network.extractor, images, views=2)
    widths = [prepared.facts.tap(tap).shape[-1] for tap in prepared.plan.features.taps]
    last, early = slice(sum(widths[:-1]), None), slice(0, sum(widths[:-1]))
    choices = {
        "last": both[:1, :, last],
        "all": both[:1],
        "early": both[:1, :, early],
        "all, 2 views": both,
        "early, 2 views": both[:, :, early],
    }
    scores = {name: held_out_accuracy(chosen, labels, seed) for name, chosen in choices.items()}
    print(
        f"{data.name:16} {backbone:15} {prepared.plan.backbone.image_size:4} px {len(labels):5} images  "
        + "  ".join(f"{name} {score:.1%}" for name, score in scores.items()),
        flush=True,
    )


def main() -> None:
    """Measure every data set with every backbone at every size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--backbones", nargs="+", default=["MobileNetV2", "MobileNet_0.25"])
    parser.add_argument("--sizes", nargs="+", default=["auto"])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for data in options.data:
        for backbone in options.backbones:
            for size in options.sizes:
                measure(data, backbone, size if size == "auto" else int(size), options.seed)


if __name__ == "__main__":
    main()
