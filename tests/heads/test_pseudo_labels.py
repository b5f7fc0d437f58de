"""Learning from unlabelled images: it helps where classes are clusters, and changes nothing elsewhere."""

from dataclasses import replace

import numpy as np
import pytest

from kerastune_recipes.heads import solve
from kerastune_recipes.heads.pseudo_labels import with_pseudo_labels
from kerastune_recipes.heads.rows import LabelledFeatures
from kerastune_recipes.planning.plan import SolvePlan
from kerastune_recipes.spec.recipe_spec import PseudoLabelsSpec

METHODS = ["self_train", "cotrain"]


def plan(method: str = "self_train", folds: int = 4) -> SolvePlan:
    options = PseudoLabelsSpec(method=method)
    return SolvePlan(head="logistic_regression", strengths=(10.0,), folds=folds, pseudo_labels=options)


def clusters(each: int, apart: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw points of three classes in twenty dimensions; few dimensions separate the classes."""
    random = np.random.default_rng(seed)
    labels = np.arange(3 * each) % 3
    centres = apart * np.eye(3, 20) + 2 * apart * np.eye(3, 20, k=10)
    # The features differ in scale, which cannot be estimated from four images of a class.
    scales = np.random.default_rng(1).uniform(0.1, 30, 20)
    return ((centres[labels] + random.normal(size=(len(labels), 20))) * scales).astype(np.float32), labels


def supervised_by(few, folds=4):
    features, labels = few
    return solve.solve(plan(folds=folds), LabelledFeatures(features[None], labels), seed=0, every_image=True)


def improve(supervised, few, unlabelled, method="self_train", folds=4):
    features, labels = few
    data = LabelledFeatures(features[None], labels, widths=(10, 10))
    return with_pseudo_labels(supervised, plan(method, folds), data, unlabelled, seed=0)


def accuracy(head, points):
    features, labels = points
    return (head.probabilities(features).argmax(axis=1) == labels).mean()


@pytest.mark.parametrize("method", METHODS)
def test_unlabelled_images_help_where_classes_are_clusters(method):
    few, (unlabelled, _) = clusters(4, apart=2.0), clusters(100, apart=2.0, seed=1)
    supervised = supervised_by(few)
    improved = improve(supervised, few, unlabelled, method)
    fresh = clusters(300, apart=2.0, seed=2)
    assert accuracy(improved, fresh) > accuracy(supervised, fresh) + 0.05
    assert f"{method} on 300 unlabelled ones" in improved.judged_by


@pytest.mark.parametrize("method", METHODS)
def test_nothing_changes_where_they_do_not_help(method):
    few = _, labels = clusters(4, apart=2.0)
    # Nearly perfect, so that nothing can be gained.
    best = replace(supervised_by(few), held_out=np.eye(3, dtype=np.float32)[labels] * 0.97 + 0.01)
    unlabelled, _ = clusters(100, apart=2.0, seed=1)
    same = improve(best, few, unlabelled, method)
    np.testing.assert_array_equal(same.kernel, best.kernel)
    np.testing.assert_array_equal(same.bias, best.bias)
    assert "unlabelled images not used" in same.judged_by


def test_on_noise_the_unlabelled_images_are_mostly_not_used():
    unused = []
    for seed in range(8):
        few, (unlabelled, _) = clusters(4, apart=0.0, seed=seed), clusters(100, apart=0.0, seed=seed + 1)
        unused.append("not used" in improve(supervised_by(few), few, unlabelled).judged_by)
    assert sum(unused) > 4


def test_held_out_probabilities_come_from_heads_that_have_not_seen_the_image():
    """Random labels cannot be predicted, so held-out probabilities must not seem to predict them."""
    few = features, labels = clusters(40, apart=0.0)
    # Mostly wrong, so that any other head is better.
    worst = replace(supervised_by(few), held_out=np.roll(np.eye(3, dtype=np.float32)[labels], 1, axis=1) * 0.9 + 0.03)
    found = improve(worst, few, features)
    assert (found.held_out.argmax(axis=1) == labels).mean() < 0.5


def test_without_folds_the_unlabelled_images_are_not_used():
    few = clusters(4, apart=2.0)
    same = improve(supervised_by(few, folds=0), few, few[0], folds=0)
    assert "no class can be divided" in same.judged_by
