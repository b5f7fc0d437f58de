"""What the solved heads cost, in forward passes: on real features, and on many made ones.

    KERAS_HOME=... python benchmarks/solver.py DATA_FOLDER... [--large 40000x1448x10 ...]

The test splits are not touched. Seconds are the least of several repetitions; CPU seconds tell more than they do where
the cores are shared. How good the heads are stands in benchmarks/heads.md.
"""

import argparse
import os
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from sklearn.metrics import log_loss

from kerastune_recipes import Recipe
from kerastune_recipes.data import decoding
from kerastune_recipes.heads import solve
from kerastune_recipes.heads.rows import LabelledFeatures
from kerastune_recipes.model import forward as forward_module
from kerastune_recipes.model.network import assemble
from kerastune_recipes.planning import rules
from kerastune_recipes.planning.plan import SolvePlan
from kerastune_recipes.run.prepare import prepare
from kerastune_recipes.spec import heads
from kerastune_recipes.spec.recipe_spec import SolvedHead

HEADS: tuple[SolvedHead, ...] = ("logistic_regression", "linear_svm", "lda", "naive_bayes")


def plan(head: SolvedHead, images: int) -> SolvePlan:
    """Return what a plan for so many images says of a head."""
    folds = rules.FOLDS if images <= rules.FEW_IMAGES else rules.FOLDS_OF_MORE
    return SolvePlan(head=head, strengths=heads.HEADS[head].strengths, folds=folds)


def extract(data: Path) -> tuple[np.ndarray, np.ndarray, float]:
    """Return features of all stages of MobileNetV2 (1, n, d), labels, and the seconds they took."""
    recipe = Recipe.from_name("small_similar", backbone="MobileNetV2")
    prepared = prepare(recipe.name, recipe.content, str(data), seed=0)
    network = assemble(prepared.plan, prepared.facts, *prepared.networks)
    images = decoding.load(prepared.dataset.train, prepared.plan.backbone.image_size)
    seconds = forward_module.seconds_one_forward_pass(network.extractor, images[: forward_module.SAMPLE], len(images))
    return forward_module.predict(network.extractor, images)[None], prepared.dataset.train.labels, seconds


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Return wall and CPU seconds of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def real(data: Path, repeats: int) -> None:
    """Print what each head costs on one data set."""
    views, labels, forward = extract(data)
    features = LabelledFeatures(views, labels)
    times: dict[SolvedHead, list[tuple[float, float]]] = {head: [] for head in HEADS}
    for _ in range(repeats):
        for head, found in times.items():
            stated = plan(head, len(labels))
            found.append(seconds(lambda stated=stated: solve.solve(stated, features, 0)))  # type: ignore[misc]
    for head, found in times.items():
        wall, cpu = np.min(found, axis=0)
        print(f"| {data.name} | {len(labels)} | {head} | {wall:.2f} | {cpu:.2f} | {wall / forward:.3f} |", flush=True)


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
    """Print cost and quality of each head on many made images; a fifth as many again, at most 4,000, judge."""
    images, width, classes = map(int, shape.split("x"))
    fresh = min(images // 5, 4000)
    rows, labels = made(like, images + fresh, width, classes)
    (views, judged), (labels, answers) = np.split(rows, [images], axis=1), np.split(labels, [images])
    data = LabelledFeatures(views, labels)
    for name in HEADS:
        stated = plan(name, images)
        heads: list[solve.Solved] = []
        wall, cpu = seconds(lambda stated=stated, heads=heads: heads.append(solve.solve(stated, data, 0)))  # type: ignore[misc]
        tracemalloc.start()
        solve.solve(stated, data, 0)
        copies = tracemalloc.get_traced_memory()[1] / (4 * images * width)
        tracemalloc.stop()
        loss = log_loss(answers, heads[0].probabilities(judged[0].astype(np.float32)))
        print(
            f"| {shape} | {name} | {wall:.1f} | {cpu:.1f} | {1e3 * wall / images:.2f} | {copies:.2f} "
            f"| {heads[0].strength:g} | {loss:.4f} |",
            flush=True,
        )


def main() -> None:
    """Measure every data set, then every large shape with features made like those of the last data set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--large", nargs="*", default=[], metavar="IMAGESxFEATURESxCLASSES")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    print("| data | images | head | s | CPU s | forward passes |\n|---|---|---|---|---|---|")
    for data in options.data:
        real(data, options.repeats)
    if options.large:
        columns = ("images x features x classes", "head", "s", "CPU s", "ms an image", "float32 copies", "strength")
        print(f"\n| {' | '.join(columns)} | log loss |\n|{'---|' * 8}")
        views, _, _ = extract(options.data[-1])
        for shape in options.large:
            large(views[0], shape)


if __name__ == "__main__":
    main()
