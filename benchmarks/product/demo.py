"""The demonstration: ten handwritten digits a class, with the embedded backbone, without it, and by raw pixels.

python benchmarks/demo.py              one seed, as `make demo` runs it
python benchmarks/demo.py --seeds 5    the figures of the README
"""

import argparse
import os
import time

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from rich.console import Console
from rich.table import Table

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
    """Return test probabilities of the same linear head, solved on pixels instead of features, of all images."""
    (x, y), (test, _) = ds["train"], ds["test"]
    plan = SolvePlan(head="logistic_regression", strengths=HEADS["logistic_regression"].strengths, folds=rules.FOLDS)
    return solve.solve(plan, LabelledFeatures(flat(x)[None], y), seed).probabilities(flat(test))


def flat(images: np.ndarray) -> np.ndarray:
    """Gray values 0..1, one row for each image; the three channels of a digit are equal."""
    return images[..., 0].reshape(len(images), -1) / 255


WAYS = {
    "small_similar, pretrained backbone": pretrained,
    "small_similar, random weights": random_weights,
    "from_scratch, the same network": from_scratch,
    "logistic regression on raw pixels": raw_pixels,
}


def main() -> None:
    """Run the four ways on the same images and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=1, help="how many draws of training images (default: 1)")
    seeds = range(parser.parse_args().seeds)
    console = Console(width=100)
    table = Table(title=f"Handwritten digits, {PER_CLASS} training images a class", title_justify="left")
    for column in ("", "test accuracy", "95% interval", "seconds"):
        table.add_column(column, justify="left" if not column else "right", no_wrap=True)
    for name, way in WAYS.items():
        correct, count, began = 0, 0, time.perf_counter()
        for seed in seeds:
            with console.status(f"{name}, seed {seed}"):
                ds = digits(PER_CLASS, seed)
                labels = ds["test"][1]
                correct += int((way(ds, seed).argmax(axis=1) == labels).sum())
                count += len(labels)
        low, high = metrics.wilson_interval(correct, count)
        seconds = (time.perf_counter() - began) / len(seeds)
        table.add_row(name, f"{correct / count:.1%}", f"{low:.1%} to {high:.1%}", f"{seconds:.1f}")
    console.print(table)


if __name__ == "__main__":
    main()
