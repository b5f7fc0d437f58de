"""What the solved head costs and how good it is, against an earlier solver, on real features and on many made ones.

    git show COMMIT:kerastune_recipes/solvers.py > before.py
    KERAS_HOME=... python benchmarks/solver.py DATA_FOLDER... --before before.py [--large 40000x1448x10 ...]

The test splits are not touched: quality is that of nested cross-validation on the training images. Seconds are the
least of several repetitions, old and new by turns; CPU seconds tell more than they do where the cores are shared.
"""

import argparse
import importlib.util
import os
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold

from kerastune_recipes import Recipe, features, metrics, rules, solvers
from kerastune_recipes.data import arrays
from kerastune_recipes.model.assemble import assemble
from kerastune_recipes.preparation import prepare

OUTER_FOLDS = 5


def solve(module: ModuleType, views: np.ndarray, labels: np.ndarray, folds: int, seed: int) -> solvers.Solved:
    """Solve with a module's solver at the package's own candidates."""
    return module.logistic_regression(views, labels, rules.STRENGTHS, folds, seed)


def extract(data: Path) -> tuple[np.ndarray, np.ndarray, float]:
    """Return features of all stages of MobileNetV2 (1, n, d), labels, and the seconds they took."""
    changes = {"backbone": "MobileNetV2", "features.taps": "all", "features.views": 1}
    recipe = Recipe.from_name("small_similar", **changes)
    prepared = prepare(recipe.name, recipe.content, str(data), seed=0)
    network = assemble(prepared.plan, prepared.facts, *prepared.networks)
    images = arrays.load(prepared.dataset.train, prepared.plan.backbone.image_size)
    seconds = features.seconds_one_forward_pass(network.extractor, images, len(images))
    return features.extract(network.extractor, images), prepared.dataset.train.labels, seconds


def folds_of(labels: np.ndarray) -> int:
    """Return the folds that a plan for so many images has."""
    return rules.FOLDS if len(labels) <= rules.FEW_IMAGES else rules.FOLDS_OF_MORE


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Return wall and CPU seconds of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def quality(module: ModuleType, views: np.ndarray, labels: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Return accuracy and log loss (outer folds, 2) on images that the head never saw."""
    scores = []
    for train, held in StratifiedKFold(OUTER_FOLDS, shuffle=True, random_state=seed).split(labels, labels):
        probabilities = solve(module, views[:, train], labels[train], folds, seed).probabilities(views[0][held])
        scores.append((metrics.accuracy(probabilities, labels[held]), log_loss(labels[held], probabilities)))
    return np.array(scores)


def real(data: Path, before: ModuleType, repeats: int, seeds: int) -> None:
    """Print cost and quality of both solvers on one data set."""
    views, labels, forward = extract(data)
    ways = {"before": (before, rules.FOLDS), "now": (solvers, folds_of(labels))}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, (module, folds) in ways.items():
            times[name].append(seconds(lambda module=module, folds=folds: solve(module, views, labels, folds, 0)))
    scores = {
        name: np.concatenate([quality(module, views, labels, folds, seed) for seed in range(seeds)])
        for name, (module, folds) in ways.items()
    }
    change = scores["now"][:, 1] - scores["before"][:, 1]
    for name in ways:
        wall, cpu = np.min(times[name], axis=0)
        accuracy, loss = scores[name].mean(axis=0)
        print(
            f"{data.name:15} {name:6} {views.shape[1]:5} images  {wall:.3f} s, CPU {cpu:.3f} s, "
            f"{wall / forward:.3f} forward passes  accuracy {accuracy:.1%}, log loss {loss:.4f}",
            flush=True,
        )
    ratios = np.min(times["now"], axis=0) / np.min(times["before"], axis=0)
    error = change.std(ddof=1) / np.sqrt(len(change))
    print(
        f"{data.name:15} now / before: wall {ratios[0]:.2f}, CPU {ratios[1]:.2f}; "
        f"log loss {change.mean():+.4f} +- {error:.4f}"
    )


def made(like: np.ndarray, images: int, width: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Make float16 features (1, images, width) with the covariance of real ones and class means in leading directions.

    Each image has its own extent, so that the classes are not Gaussian and probabilities need calibrating.
    """
    random = np.random.default_rng(0)
    real = (like - like.mean(axis=0)) / np.maximum(like.std(axis=0), 1e-6)
    if width > real.shape[1]:
        mixed = real @ random.normal(size=(real.shape[1], width - real.shape[1])).astype(np.float32)
        real = np.hstack([real, np.maximum(mixed / np.sqrt(real.shape[1]), -0.3)])
    _, extents, axes = np.linalg.svd(real[:, :width] - real[:, :width].mean(axis=0), full_matrices=False)
    deviations = (extents / np.sqrt(len(real))).astype(np.float32)
    means = np.zeros((classes, len(deviations)), np.float32)
    means[:, :150] = 0.2 * random.normal(size=(classes, 150)) * deviations[:150]
    labels = random.integers(0, classes, images)
    rows = np.empty((1, images, width), np.float16)
    for begin in range(0, images, 4000):
        block = labels[begin : begin + 4000]
        noise = random.normal(size=(len(block), len(deviations))) * deviations
        rows[0, begin : begin + 4000] = (means[block] + noise * random.normal(1, 0.3, (len(block), 1))) @ axes
    return rows, labels


def large(like: np.ndarray, shape: str) -> None:
    """Print cost and quality on many made images; a fifth as many again, at most 4,000, judge."""
    images, width, classes = map(int, shape.split("x"))
    fresh = min(images // 5, 4000)
    rows, labels = made(like, images + fresh, width, classes)
    (views, judged), (labels, answers) = np.split(rows, [images], axis=1), np.split(labels, [images])
    heads: list[solvers.Solved] = []
    wall, cpu = seconds(lambda: heads.append(solve(solvers, views, labels, rules.FOLDS_OF_MORE, 0)))
    tracemalloc.start()
    solve(solvers, views, labels, rules.FOLDS_OF_MORE, 0)
    copies = tracemalloc.get_traced_memory()[1] / (4 * images * width)
    tracemalloc.stop()
    (head,) = heads

    def loss(head: solvers.Solved) -> float:
        return log_loss(answers, head.probabilities(judged[0].astype(np.float32)))

    print(
        f"{shape:15} {wall:.1f} s, CPU {cpu:.1f} s, {1e3 * wall / images:.2f} ms an image, "
        f"{copies:.2f} float32 copies, strength {head.strength:g}: log loss {loss(head):.4f} on fresh images; "
        f"judged by {head.judged_by}",
        flush=True,
    )
    for strength in rules.STRENGTHS[:6]:
        fixed = solvers.logistic_regression(views, labels, (strength,), rules.FOLDS_OF_MORE, 0)
        print(f"{'':15} at strength {strength:g}: log loss {loss(fixed):.4f}", flush=True)


def load(path: Path) -> ModuleType:
    """Return the module in a file."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Measure every data set, then every large shape with features made like those of the last data set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--before", type=Path, required=True, help="an earlier solvers.py")
    parser.add_argument("--large", nargs="*", default=[], metavar="IMAGESxFEATURESxCLASSES")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=2, help="of the outer folds")
    options = parser.parse_args()
    for data in options.data:
        real(data, load(options.before), options.repeats, options.seeds)
    if options.large:
        views, _, _ = extract(options.data[-1])
        for shape in options.large:
            large(views[0], shape)


if __name__ == "__main__":
    main()
