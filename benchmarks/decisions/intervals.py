"""Whether 95% intervals cover 95%, and tests at 5% err in 5%, where images come in groups.

    python -m benchmarks.decisions.intervals [--repetitions 2000]

Needs no data: correct and wrong predictions are drawn. The accuracy of a group is beta-distributed, with the stated
mean and intraclass correlation; sizes of groups are unequal. The formulas are those of the package. Four minutes on a
core. Writes results/intervals.jsonl and pages/intervals.md.
"""

import argparse
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from unittest.mock import patch

import numpy as np

from benchmarks.lib import measure, pages, results
from benchmarks.lib.results import Row
from kerastune_recipes.evaluation import clusters, metrics
from kerastune_recipes.studies import significance

IMAGES = (50, 200, 1000)
GROUPS = (None, 10, 30, 100)
ACCURACIES = (0.7, 0.9, 0.97)
CORRELATIONS = (0.0, 0.2, 0.6)
# Accuracy of the first classifier, less that of the second.
DIFFERENCES = (0.0, 0.05)
# Parameter of the Dirichlet distribution of the sizes of groups: the largest of ten groups has 2.3 times the mean.
EVENNESS = 2.0
# Share of images that are as hard for one classifier as for the other.
SHARED = 0.5
# Where sizes tell: images of the hardest group, divided by those of the easiest, or the reverse.
SIZE_BY_RANK = 6.0
# Draws from which the accuracy over all groups is computed, where their sizes tell.
POPULATION = 1_000_000


@dataclass(frozen=True)
class Cell:
    """What predictions are drawn from.

    Args:
        images: Number of images.
        groups: Number of groups, or None.
        accuracy: Expected accuracy.
        correlation: Intraclass correlation of correct predictions, 0..1.
    """

    images: int
    groups: int | None
    accuracy: float
    correlation: float


def cells() -> Iterator[Cell]:
    """Yield every cell of the grid; without groups there is no correlation."""
    for groups, images, accuracy, correlation in itertools.product(GROUPS, IMAGES, ACCURACIES, CORRELATIONS):
        if (groups or 0) < images and (groups is not None or correlation == 0):
            yield Cell(images, groups, accuracy, correlation)


def grouped(cell: Cell, repetitions: int, rng: np.random.Generator) -> np.ndarray:
    """Return the group of each image, int (repetitions, images); each image its own without groups."""
    if cell.groups is None:
        return np.tile(np.arange(cell.images), (repetitions, 1))
    shares = rng.dirichlet(np.full(cell.groups, EVENNESS), repetitions)
    sizes = 1 + rng.multinomial(cell.images - cell.groups, shares)
    return np.repeat(np.tile(np.arange(cell.groups), repetitions), sizes.ravel()).reshape(repetitions, -1)


def chances(cell: Cell, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Return the accuracy of each group."""
    if cell.correlation == 0:
        return np.full(shape, cell.accuracy)
    scale = (1 - cell.correlation) / cell.correlation
    return rng.beta(cell.accuracy * scale, (1 - cell.accuracy) * scale, shape)


def predicted(cell: Cell, groups: np.ndarray, difficulty: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return which images a classifier with this accuracy predicts correctly, bool (repetitions, images)."""
    of_group = chances(cell, (len(groups), groups.max() + 1), rng)
    return difficulty < np.take_along_axis(of_group, groups, axis=1)


def covered(interval: tuple[float, float], truth: float) -> bool:
    return interval[0] <= truth <= interval[1]


def wilson(correct: np.ndarray, images: float) -> tuple[float, float]:
    """Return Wilson's interval for any number of images."""
    return metrics.wilson_interval(min(images, correct.mean() * images), images)


def of_accuracy(cell: Cell, groups: np.ndarray, correct: np.ndarray) -> Row:
    """Return how often each interval of the accuracy covers it, and the mean width of the one that is used."""
    found = []
    for of_group, values in zip(groups if cell.groups else [None] * len(groups), correct, strict=True):
        used = significance.accuracy_interval(values, np.ones(cell.images), of_group)
        robust = wilson(values, clusters.effective_images(values, of_group, symmetric=True))
        alone = wilson(values, cell.images)
        found.append([*(covered(interval, cell.accuracy) for interval in (alone, robust, used)), used[1] - used[0]])
    figures = zip(("ungrouped", "robust", "used", "width"), np.mean(found, axis=0), strict=True)
    return {**vars(cell), **{name: round(float(value), 4) for name, value in figures}}


def of_difference(cell: Cell, difference: float, groups: np.ndarray, correct: np.ndarray, other: np.ndarray) -> Row:
    """Return how often the intervals of a difference cover it, and how often its p-values are at most 5%."""
    found = []
    for of_group, first, second in zip(groups, correct.astype(float), other.astype(float), strict=True):
        alone = significance.paired(first, second, np.ones(cell.images))
        used = significance.paired(first, second, np.ones(cell.images), of_group) if cell.groups else alone
        found.append(
            [covered(each.interval, difference) for each in (alone, used)]
            + [each.p_value <= 0.05 for each in (alone, used)]
        )
    figures = zip(("ungrouped", "used", "ungrouped_found", "used_found"), np.mean(found, axis=0), strict=True)
    return {**vars(cell), "difference": difference, **{name: round(float(value), 4) for name, value in figures}}


def measured(cell: Cell, repetitions: int, rng: np.random.Generator) -> tuple[Row, list[Row]]:
    """Return the rates of one cell: of the accuracy, and of each difference."""
    groups = grouped(cell, repetitions, rng)
    difficulty = rng.random(groups.shape)
    first = predicted(cell, groups, difficulty, rng)
    others = np.where(rng.random(groups.shape) < SHARED, difficulty, rng.random(groups.shape))
    differences = []
    for difference in DIFFERENCES:
        second = predicted(replace(cell, accuracy=cell.accuracy - difference), groups, others, rng)
        # Half of the repetitions are enough for the power of a test.
        some = slice(None, None, 1 if difference == 0 else 2)
        differences.append(of_difference(cell, difference, groups[some], first[some], second[some]))
    return of_accuracy(cell, groups, first), differences


def where_sizes_tell(cell: Cell, larger: str, repetitions: int, rng: np.random.Generator) -> Row:
    """Return coverage of the accuracy where groups are the larger, the harder they are, or the easier.

    Args:
        cell: Its `images` are expected; its `accuracy` is the mean over groups.
        larger: "harder" or "easier".
        repetitions: Number of draws.
        rng: Source of chance.
    """
    assert cell.groups is not None
    population = np.sort(chances(cell, (POPULATION,), rng))
    sizes = np.geomspace(SIZE_BY_RANK, 1, POPULATION)[:: 1 if larger == "harder" else -1]
    sizes = cell.images / cell.groups * sizes / sizes.mean()
    truth = float(np.average(population, weights=1 + sizes))
    found = []
    for _ in range(repetitions):
        drawn = rng.integers(0, POPULATION, cell.groups)
        groups = np.repeat(np.arange(cell.groups), 1 + rng.poisson(sizes[drawn]))
        correct = rng.random(len(groups)) < population[drawn][groups]
        with patch.object(clusters, "robust_design_effect", lambda *_: 0.0):
            correlated = clusters.effective_images(correct, groups)
        robust = clusters.effective_images(correct, groups, symmetric=True)
        used = clusters.effective_images(correct, groups)
        found.append([covered(wilson(correct, each), truth) for each in (len(groups), robust, correlated, used)])
    figures = zip(("ungrouped", "robust", "correlated", "used"), np.mean(found, axis=0), strict=True)
    return {**vars(cell), "larger": larger, **{name: round(float(value), 4) for name, value in figures}}


def main() -> None:
    """Measure every cell, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=2000)
    repetitions = parser.parse_args().repetitions
    rng = np.random.default_rng(0)
    accuracy, difference = [], []
    # The same counts occur again and again.
    with patch.object(significance, "binomtest", cache(significance.binomtest)):
        for cell in cells():
            of_cell, differences = measured(cell, repetitions, rng)
            accuracy.append(of_cell)
            difference += differences
    telling = [
        where_sizes_tell(Cell(1000, groups, 0.9, correlation), larger, repetitions // 2, rng)
        for larger, groups, correlation in itertools.product(("harder", "easier"), GROUPS[1:], CORRELATIONS[1:])
    ]
    results.replace("intervals", "accuracy", accuracy)
    results.replace("intervals", "difference", difference)
    results.replace("intervals", "sizes", telling)
    command = f"python -m benchmarks.decisions.intervals --repetitions {repetitions}"
    results.replace("intervals", results.MADE, [measure.made(command)])
    print(pages.write_page("intervals"))


if __name__ == "__main__":
    main()
