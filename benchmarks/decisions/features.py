"""Which taps, views and image sizes a head should be solved on, judged by cross-validation on training images.

    KERAS_HOME=... python -m benchmarks.decisions.features DATA_FOLDER... [--backbones MobileNetV2 MobileNet_0.25]

The test splits are not touched. Writes results/features.jsonl and pages/features.md.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from sklearn.model_selection import StratifiedKFold

from benchmarks.lib import measure, pages, results
from benchmarks.lib.results import Row
from kerastune_recipes import Recipe
from kerastune_recipes.data import decoding
from kerastune_recipes.data.views import WHOLE, View
from kerastune_recipes.evaluation import metrics
from kerastune_recipes.features import cache, extraction
from kerastune_recipes.features.fingerprint import fingerprint
from kerastune_recipes.heads import solve
from kerastune_recipes.heads.rows import LabelledFeatures
from kerastune_recipes.model import forward
from kerastune_recipes.model.network import assemble
from kerastune_recipes.planning import rules
from kerastune_recipes.planning.forecast import feature_counts
from kerastune_recipes.planning.plan import SolvePlan
from kerastune_recipes.run.options import RunOptions
from kerastune_recipes.run.prepare import prepare
from kerastune_recipes.spec.heads import HEADS

FOLDS = 5
PLAN = SolvePlan(
    head="logistic_regression", strengths=HEADS["logistic_regression"].strengths, folds=rules.FOLDS_OF_MORE
)

# Everything that is compared below, extracted once; crop 2 both ways, because it is mirrored in `flip: horizontal`.
VIEWS = (WHOLE, View(mirrored=True), View(1), View(2), View(3), View(2, mirrored=True))


def held_out(rows: np.ndarray, labels: np.ndarray, seed: int) -> tuple[float, float]:
    """Return accuracy and log loss on images that chose neither the head nor its strength."""
    scores = []
    for train, held in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(labels, labels):
        solved = solve.solve(PLAN, LabelledFeatures(rows[:, train], labels[train]), seed)
        summary = metrics.summary(solved.probabilities(rows[0][held]), labels[held])
        scores.append((summary["accuracy"], summary["log_loss"]))
    accuracy, log_loss = np.mean(scores, axis=0)
    return float(accuracy), float(log_loss)


def compared(data: Path, backbone: str, size: int | str, seed: int) -> list[Row]:
    """Extract all taps of all views once, and return accuracy and log loss of each choice of them."""
    overrides = {"backbone.name": backbone, "backbone.image_size": size, "features.taps": "all"}
    recipe = Recipe.from_name("small_similar", **overrides)
    prepared = prepare(recipe.name, recipe.content, str(data), RunOptions(seed=seed))
    network = assemble(prepared.plan, prepared.facts, *prepared.networks)
    images, pixels = prepared.dataset.train, prepared.plan.backbone.image_size
    with cache.open_cache() as opened:
        digest = fingerprint(network.members[0], prepared.plan.head.pooling)
        extractor = extraction.Extractor(network.extractor, opened.network(digest, f"{backbone}, {pixels} px"))
        rows = extraction.extract(extractor, extraction.ExtractionRequest(images, pixels, VIEWS)).rows
    single = forward.predict(network.extractor, decoding.load(images, pixels))[None]
    widths = feature_counts(prepared.plan, prepared.facts)
    last, early = slice(sum(widths[:-1]), None), slice(0, sum(widths[:-1]))
    choices = {
        "last": rows[:1, :, last],
        "early": rows[:1, :, early],
        "all": rows[:1],
        "all, single precision": single,
        "all, mirror": rows[[0, 1]],
        "all, crop": rows[[0, 2]],
        "all, 3 crops": rows[[0, 2, 3, 4]],
        "all, mirror, 2 crops": rows[[0, 1, 2, 5]],
    }
    found: list[Row] = []
    for name, chosen in choices.items():
        accuracy, log_loss = held_out(chosen, images.labels, seed)
        cell = {"data": data.name, "backbone": backbone, "image_size": size, "seed": seed, "features": name}
        found.append({**cell, "views": len(chosen), "accuracy": accuracy, "log_loss": log_loss})
        print(found[-1], flush=True)
    return found


def main() -> None:
    """Measure every data set with every backbone at every size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--backbones", nargs="+", default=["MobileNetV2", "MobileNet_0.25"])
    parser.add_argument("--sizes", nargs="+", default=["auto"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    options = parser.parse_args()
    sizes = [size if size == "auto" else int(size) for size in options.sizes]
    found = [
        row
        for data in options.data
        for backbone in options.backbones
        for size in sizes
        for seed in options.seeds
        for row in compared(data, backbone, size, seed)
    ]
    names = " ".join(data.name for data in options.data)
    command = f"python -m benchmarks.decisions.features {names} --backbones {' '.join(options.backbones)}"
    results.replace("features", "views", found)
    results.replace("features", results.MADE, [measure.made(command)])
    print(pages.write_page("features"))


if __name__ == "__main__":
    main()
