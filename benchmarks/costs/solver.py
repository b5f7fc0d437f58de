"""What the solved heads cost, in seconds and forward passes: on real features, and on many artificial ones.

    KERAS_HOME=... python -m benchmarks.costs.solver DATA_FOLDER... [--large 40000x1448x10 ...]

The test splits are not touched. Seconds are the lowest of several repetitions; where the cores are shared CPU seconds
are steadier. Writes results/solver.jsonl and pages/solver.md; decisions/heads.py measures how good the heads are.
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

from benchmarks.lib import measure, pages, results
from benchmarks.lib.results import Row
from kerastune_recipes import Recipe
from kerastune_recipes.data import decoding
from kerastune_recipes.heads import solve
from kerastune_recipes.heads.rows import LabelledFeatures
from kerastune_recipes.model import forward
from kerastune_recipes.model.network import assemble
from kerastune_recipes.planning import rules
from kerastune_recipes.planning.plan import SolvePlan
from kerastune_recipes.run.options import RunOptions
from kerastune_recipes.run.prepare import prepare
from kerastune_recipes.spec import heads
from kerastune_recipes.spec.recipe_spec import SolvedHead

HEADS: tuple[SolvedHead, ...] = ("logistic_regression", "linear_svm", "lda", "naive_bayes")


def plan(head: SolvedHead, images: int) -> SolvePlan:
    """Return the plan of a head for this many images."""
    folds = rules.FOLDS if images <= rules.FEW_IMAGES else rules.FOLDS_OF_MORE
    return SolvePlan(head=head, strengths=heads.HEADS[head].strengths, folds=folds)


def extract(data: Path) -> tuple[np.ndarray, np.ndarray, float]:
    """Return features of all stages of MobileNetV2 (1, n, d), labels, and the seconds they took."""
    recipe = Recipe.from_name("small_similar", backbone="MobileNetV2")
    prepared = prepare(recipe.name, recipe.content, str(data), RunOptions())
    network = assemble(prepared.plan, prepared.facts, *prepared.networks)
    images = decoding.load(prepared.dataset.train, prepared.plan.backbone.image_size)
    seconds = forward.seconds_one_forward_pass(network.extractor, images[: forward.SAMPLE], len(images))
    return forward.predict(network.extractor, images)[None], prepared.dataset.train.labels, seconds


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Return wall and CPU seconds of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def real(data: Path, repeats: int) -> list[Row]:
    """Return the cost of each head on one data set."""
    views, labels, seconds_of_pass = extract(data)
    features = LabelledFeatures(views, labels)
    times: dict[SolvedHead, list[tuple[float, float]]] = {head: [] for head in HEADS}
    for _ in range(repeats):
        for head, found in times.items():
            stated = plan(head, len(labels))
            found.append(seconds(lambda stated=stated: solve.solve(stated, features, 0)))  # type: ignore[misc]
    rows: list[Row] = []
    for head, found in times.items():
        wall, cpu = np.min(found, axis=0).tolist()
        cell = {"data": data.name, "images": len(labels), "head": head, "seconds": wall, "cpu_seconds": cpu}
        rows.append({**cell, "forward_passes": wall / seconds_of_pass})
    return rows


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


def large(like: np.ndarray, shape: str) -> list[Row]:
    """Return cost and quality of each head on many artificial images; a fifth as many more, at most 4,000, judge."""
    images, width, classes = map(int, shape.split("x"))
    fresh = min(images // 5, 4000)
    rows, labels = made(like, images + fresh, width, classes)
    (views, judged), (labels, answers) = np.split(rows, [images], axis=1), np.split(labels, [images])
    data, rows_found = LabelledFeatures(views, labels), []
    for name in HEADS:
        stated = plan(name, images)
        solved: list[solve.Solved] = []
        wall, cpu = seconds(lambda stated=stated, solved=solved: solved.append(solve.solve(stated, data, 0)))  # type: ignore[misc]
        tracemalloc.start()
        solve.solve(stated, data, 0)
        copies = tracemalloc.get_traced_memory()[1] / (4 * images * width)
        tracemalloc.stop()
        loss = log_loss(answers, solved[0].probabilities(judged[0].astype(np.float32)))
        cell = {"images": images, "features": width, "classes": classes, "head": name, "seconds": wall}
        cell |= {"cpu_seconds": cpu, "ms_an_image": 1e3 * wall / images, "float32_copies": copies}
        rows_found.append({**cell, "strength": solved[0].strength, "log_loss": float(loss)})
        print(rows_found[-1], flush=True)
    return rows_found


def main() -> None:
    """Measure every data set, then every large shape with features made like those of the last data set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--large", nargs="*", default=[], metavar="IMAGESxFEATURESxCLASSES")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    heads = [row for data in options.data for row in real(data, options.repeats)]
    results.replace("solver", "heads", heads)
    if options.large:
        views, _, _ = extract(options.data[-1])
        many = [row for shape in options.large for row in large(views[0], shape)]
        results.replace("solver", "many_images", many)
    names = " ".join(data.name for data in options.data)
    command = f"python -m benchmarks.costs.solver {names} --repeats {options.repeats}"
    results.replace("solver", results.MADE, [measure.made(command)])
    print(pages.write_page("solver"))


if __name__ == "__main__":
    main()
