"""The demonstration: ten handwritten digits a class, with the embedded backbone, without it, and on raw pixels.

python -m benchmarks.product.demo                      one seed, as `make demo` runs it
python -m benchmarks.product.demo --seeds 5 --write    stores results/demo.jsonl and writes pages/demo.md
"""

import argparse
import os
import time

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from rich.console import Console
from rich.table import Table

from benchmarks.lib import measure, pages, results
from benchmarks.lib.results import Row
from kerastune_recipes import Recipe
from kerastune_recipes.demo.digits import digits
from kerastune_recipes.evaluation import metrics
from kerastune_recipes.heads import solve
from kerastune_recipes.heads.rows import LabelledFeatures
from kerastune_recipes.planning import rules
from kerastune_recipes.planning.plan import SolvePlan
from kerastune_recipes.spec.heads import HEADS

Labelled = tuple[np.ndarray, np.ndarray]
PER_CLASS = 10


def pretrained(ds: dict[str, Labelled], seed: int) -> np.ndarray:
    """Return test probabilities of `small_similar` on the embedded backbone."""
    return small_similar(ds, seed, "demo")


def random_weights(ds: dict[str, Labelled], seed: int) -> np.ndarray:
    """Return test probabilities of the same recipe on the same network with random weights."""
    return small_similar(ds, seed, "none")


def small_similar(ds: dict[str, Labelled], seed: int, weights: str) -> np.ndarray:
    """Return test probabilities of the recipe, without flips: a mirrored digit is another shape."""
    changes = {"backbone.name": "DemoNet", "backbone.weights": weights, "phases.fine_tuning.fit.flip": "none"}
    return Recipe.from_name("small_similar", **changes).run(ds, seed=seed, verbose=False).splits["test"].probabilities


def from_scratch(ds: dict[str, Labelled], seed: int) -> np.ndarray:
    """Return test probabilities of the same network, every layer trained from random weights."""
    changes = {"backbone.name": "DemoNet", "phases.training.fit.flip": "none"}
    return Recipe.from_name("from_scratch", **changes).run(ds, seed=seed, verbose=False).splits["test"].probabilities


def raw_pixels(ds: dict[str, Labelled], seed: int) -> np.ndarray:
    """Return test probabilities of the same linear head, solved on the pixels of all training images."""
    (x, y), (test, _) = ds["train"], ds["test"]
    plan = SolvePlan(head="logistic_regression", strengths=HEADS["logistic_regression"].strengths, folds=rules.FOLDS)
    return solve.solve(plan, LabelledFeatures(flat(x)[None], y), seed).probabilities(flat(test))


def flat(images: np.ndarray) -> np.ndarray:
    """Return grey values 0..1, one row for each image; the three channels of a digit are equal."""
    return images[..., 0].reshape(len(images), -1) / 255


# Key in the results, name in the terminal, and function of each way.
WAYS = {
    "pretrained": ("small_similar, pretrained backbone", pretrained),
    "random_weights": ("small_similar, random weights", random_weights),
    "from_scratch": ("from_scratch, the same network", from_scratch),
    "raw_pixels": ("logistic regression on raw pixels", raw_pixels),
}


def main() -> None:
    """Run the four ways on the same images and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=1, help="number of draws of training images (default: 1)")
    parser.add_argument("--write", action="store_true", help="store the figures and write the page")
    options = parser.parse_args()
    seeds = range(options.seeds)
    console = Console(width=100)
    table = Table(title=f"Handwritten digits, {PER_CLASS} training images a class", title_justify="left")
    for column in ("", "test accuracy", "95% interval", "seconds"):
        table.add_column(column, justify="left" if not column else "right", no_wrap=True)
    rows: list[Row] = []
    for key, (name, way) in WAYS.items():
        correct, count, began = 0, 0, time.perf_counter()
        for seed in seeds:
            with console.status(f"{name}, seed {seed}"):
                ds = digits(PER_CLASS, seed)
                labels = ds["test"][1]
                correct += int((way(ds, seed).argmax(axis=1) == labels).sum())
                count += len(labels)
        low, high = metrics.wilson_interval(correct, count)
        seconds = (time.perf_counter() - began) / len(seeds)
        rows.append({"way": key, "accuracy": correct / count, "interval": [low, high], "seconds": seconds})
        table.add_row(name, f"{correct / count:.1%}", f"{low:.1%} to {high:.1%}", f"{seconds:.1f}")
    console.print(table)
    if options.write:
        made = measure.made(f"python -m benchmarks.product.demo --seeds {options.seeds} --write")
        results.replace("demo", "accuracy", rows)
        results.replace("demo", results.MADE, [{**made, "recipes": ["from_scratch"], "seeds": options.seeds}])
        pages.write_page("demo")


if __name__ == "__main__":
    main()
