"""Learning from unlabelled images: it helps where classes are clusters, and changes nothing where they are not."""

from dataclasses import replace

import numpy as np
import pytest

from kerastune_recipes.heads import pseudo_labels
from kerastune_recipes.heads import solve as solve_module
from kerastune_recipes.planning.plan import SolvePlan
from kerastune_recipes.spec.recipe_spec import PseudoLabelsSpec

METHODS = ["self_train", "cotrain"]


def plan(method: str = "self_train", folds: int = 4) -> SolvePlan:
    how = PseudoLabelsSpec(method=method)
    return SolvePlan(head="logistic_regression", strengths=(10.0,), folds=folds, pseudo_labels=how)


def clusters(each: int, apart: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return points of three classes in twenty dimensions, of which only two tell the classes apart."""
    random = np.random.default_rng(seed)
    labels = np.arange(3 * each) % 3
    centres = apart * np.eye(3, 20) + 2 * apart * np.eye(3, 20, k=10)
    # The features differ in scale, which four images of a class cannot tell.
    scales = np.random.default_rng(1).uniform(0.1, 30, 20)
    return ((centres[labels] + random.normal(size=(len(labels), 20))) * scales).astype(np.float32), labels


def supervised_by(few, folds=4):
    features, labels = few
    return solve_module.solve(plan(folds=folds), features[None], labels, seed=0, every_image=True)


def solve(few, unlabelled, method):
    supervised = supervised_by(few)
    return supervised, pseudo_labels.with_pseudo_labels(
        supervised, plan(method), *few, unlabelled, seed=0, widths=(10, 10)
    )


def accuracy(head, points):
    features, labels = points
    return (head.probabilities(features).argmax(axis=1) == labels).mean()


@pytest.mark.parametrize("method", METHODS)
def test_unlabelled_images_help_where_classes_are_clusters(method):
    supervised, improved = solve(clusters(4, apart=2.0), clusters(100, apart=2.0, seed=1)[0], method)
    fresh = clusters(300, apart=2.0, seed=2)
    assert accuracy(improved, fresh) > accuracy(supervised, fresh) + 0.05
    assert f"{method} on 300 unlabelled ones" in improved.judged_by


@pytest.mark.parametrize("method", METHODS)
def test_where_they_do_not_help_nothing_changes(method):
    few = _, labels = clusters(4, apart=2.0)
    # Better than any, so that nothing gains.
    best = replace(supervised_by(few), held_out=np.eye(3, dtype=np.float32)[labels] * 0.97 + 0.01)
    unlabelled, _ = clusters(100, apart=2.0, seed=1)
    same = pseudo_labels.with_pseudo_labels(best, plan(method), *few, unlabelled, seed=0, widths=(10, 10))
    np.testing.assert_array_equal(same.kernel, best.kernel)
    np.testing.assert_array_equal(same.bias, best.bias)
    assert "unlabelled images left out" in same.judged_by


def test_heads_of_no_information_are_mostly_left_out():
    left = []
    for seed in range(8):
        unlabelled, _ = clusters(100, apart=0.0, seed=seed + 1)
        left.append("left out" in solve(clusters(4, apart=0.0, seed=seed), unlabelled, "self_train")[1].judged_by)
    assert sum(left) > 4


def test_the_held_out_probabilities_are_those_of_heads_that_have_not_seen_the_image():
    """Labels at random cannot be foretold, and the held-out probabilities must not pretend so."""
    few = features, labels = clusters(40, apart=0.0)
    # Worse than any, so that whatever is found is taken.
    worst = replace(supervised_by(few), held_out=np.roll(np.eye(3, dtype=np.float32)[labels], 1, axis=1) * 0.9 + 0.03)
    found = pseudo_labels.with_pseudo_labels(worst, plan(), *few, features, seed=0)
    assert (found.held_out.argmax(axis=1) == labels).mean() < 0.5


def test_a_single_image_of_a_class_cannot_be_cross_validated():
    few = clusters(4, apart=2.0)
    same = pseudo_labels.with_pseudo_labels(supervised_by(few, folds=0), plan(folds=0), *few, few[0], seed=0)
    assert "a class has a single image" in same.judged_by
