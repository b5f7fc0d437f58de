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
from sklearn.linear_model import LogisticRegressionCV

from kerastune_recipes import Recipe, metrics
from kerastune_recipes.demo.digits import digits

Labelled = tuple[np.ndarray, np.ndarray]
PER_CLASS = 10


def pretrained(ds: dict[str, Labelled], seed: int) -> np.ndarray:
    """Return test probabilities of `small_similar` on the embedded backbone."""
    recipe = Recipe.from_name("small_similar", **{"backbone.name": "DemoNet", "backbone.weights": "demo"})
    return recipe.run(ds, seed=seed, verbose=False).splits["test"].probabilities


def from_scratch(ds: dict[str, Labelled], seed: int) -> np.ndarray:
    """Return test probabilities of the same network, trained from random weights."""
    recipe = Recipe.from_name("from_scratch", **{"backbone.name": "DemoNet", "phases.training.fit.flip": "none"})
    return recipe.run(ds, seed=seed, verbose=False).splits["test"].probabilities


def raw_pixels(ds: dict[str, Labelled], seed: int) -> np.ndarray:
    """Return test probabilities of logistic regression on pixels, its strength chosen by cross-validation."""
    (x, y), (test, _) = ds["train"], ds["test"]
    classifier = LogisticRegressionCV(Cs=10, cv=5, max_iter=2000, use_legacy_attributes=False)
    classifier.fit(flat(x), y)
    return classifier.predict_proba(flat(test))


def flat(images: np.ndarray) -> np.ndarray:
    """Gray values 0..1, one row for each image; the three channels of a digit are equal."""
    return images[..., 0].reshape(len(images), -1) / 255


WAYS = {
    "small_similar, pretrained backbone": pretrained,
    "from_scratch, the same network": from_scratch,
    "logistic regression on raw pixels": raw_pixels,
}


def main() -> None:
    """Run the three ways on the same images and print a table."""
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
