"""Logistic regression with a pretrained classifier as its prior."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from kerastune_recipes.heads.pretrained_prior import start
from kerastune_recipes.heads.rows import LabelledFeatures
from kerastune_recipes.heads.solve import solve
from kerastune_recipes.planning.plan import SolvePlan

STRONG, WEAK = 1e9, 1e-3


def problem(images, seed=0, features=30, classes=3, noise=2.0):
    """Draw overlapping classes and their optimal classifier: features, labels, kernel, bias."""
    centres = np.random.default_rng(99).normal(size=(classes, features))
    random = np.random.default_rng(seed)
    labels = np.arange(images) % classes
    rows = centres[labels] + noise * random.normal(size=(images, features))
    kernel, bias = centres.T / noise**2, -np.square(centres).sum(axis=1) / 2 / noise**2
    return rows.astype(np.float32), labels, kernel.astype(np.float32), bias.astype(np.float32)


def plan(*strengths, folds=3):
    names = dict.fromkeys("abc", (0,))
    return SolvePlan(head="pretrained_classifier", strengths=strengths, folds=folds, pretrained_classes=names)


def accuracy(solved, rows, labels):
    return (solved.probabilities(rows).argmax(axis=1) == labels).mean()


def accuracy_of(kernel, bias, rows, labels):
    return ((rows @ kernel + bias).argmax(axis=1) == labels).mean()


def test_columns_are_taken_averaged_or_missing():
    kernel, bias = np.arange(8, dtype=np.float32).reshape(2, 4), np.arange(4, dtype=np.float32)
    taken = start(kernel, bias, [(3,), (), (0, 1)])
    np.testing.assert_array_equal(taken.kernel, [[3, np.nan, 0.5], [7, np.nan, 4.5]])
    np.testing.assert_array_equal(taken.bias, [3, np.nan, 0.5])


@pytest.mark.parametrize("images", [9, 60])
def test_at_large_strength_the_head_is_the_classifier_up_to_a_temperature(images):
    rows, labels, kernel, bias = problem(images)
    solved = solve(plan(STRONG), LabelledFeatures(rows[None], labels), 0, start=start(kernel, bias, [[0], [1], [2]]))
    # The softmax ignores a constant common to all classes.
    expected = kernel - kernel.mean(axis=1, keepdims=True)
    found = solved.kernel - solved.kernel.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(found * solved.temperature, expected, atol=1e-4)
    np.testing.assert_allclose(solved.temperature * (solved.bias - solved.bias.mean()), bias - bias.mean(), atol=1e-3)


def test_without_folds_nothing_is_calibrated():
    rows, labels, kernel, bias = problem(9)
    solved = solve(
        plan(STRONG, folds=0), LabelledFeatures(rows[None], labels), 0, start=start(kernel, bias, [[0], [1], [2]])
    )
    assert solved.temperature == 1
    np.testing.assert_allclose(solved.kernel, kernel, atol=1e-5)
    np.testing.assert_allclose(solved.bias, bias, atol=1e-4)


def test_at_small_strength_the_head_is_logistic_regression():
    rows, labels, kernel, bias = problem(600)
    wrong = start(kernel, bias, [[1], [2], [0]])
    solved = solve(plan(WEAK, folds=0), LabelledFeatures(rows[None], labels), 0, start=wrong)
    reference = LogisticRegression(C=1e6, max_iter=5000, tol=1e-6).fit(rows, labels)
    np.testing.assert_allclose(solved.probabilities(rows), reference.predict_proba(rows), atol=0.02)


def test_a_few_images_suffice_where_the_classifier_has_the_classes():
    rows, labels, kernel, bias = problem(9)
    fresh, answers, *_ = problem(600, seed=1)
    strengths = (1000.0, 100.0, 10.0, 1.0)
    solved = solve(
        plan(*strengths), LabelledFeatures(rows[None], labels), 0, start=start(kernel, bias, [[0], [1], [2]])
    )
    without_prior = solve(
        SolvePlan(head="logistic_regression", strengths=strengths, folds=3), LabelledFeatures(rows[None], labels), 0
    )
    assert accuracy(solved, fresh, answers) > accuracy(without_prior, fresh, answers) + 0.1


def test_enough_images_overrule_a_wrong_classifier():
    rows, labels, kernel, bias = problem(600)
    fresh, answers, *_ = problem(600, seed=1)
    wrong = start(kernel, bias, [[1], [2], [0]])
    solved = solve(plan(1000.0, 100.0, 10.0, 1.0, 0.1), LabelledFeatures(rows[None], labels), 0, start=wrong)
    assert solved.strength < 100
    assert accuracy(solved, fresh, answers) > 0.9 * accuracy_of(kernel, bias, fresh, answers)


def test_classes_missing_in_the_classifier_start_from_their_means():
    rows, labels, kernel, bias = problem(300)
    fresh, answers, *_ = problem(600, seed=1)
    partial = start(kernel, bias, [[0], [1], []])
    solved = solve(plan(STRONG), LabelledFeatures(rows[None], labels), 0, start=partial)
    assert accuracy(solved, fresh, answers) > 0.9 * accuracy_of(kernel, bias, fresh, answers)
    # Over the training images, with equal class weights, its logits spread like the others.
    logits = rows @ solved.kernel + solved.bias
    assert logits[:, 2].std() == pytest.approx(logits[:, :2].std(axis=0).mean(), rel=1e-3)
    assert logits[:, 2].mean() == pytest.approx(logits[:, :2].mean(), abs=1e-3)


def test_features_that_hardly_vary_in_training_do_not_dominate_elsewhere():
    rows, labels, kernel, bias = problem(9)
    fresh, answers, *_ = problem(600, seed=1)
    constant = np.full((9, 20), 1.0, np.float32) + 1e-3 * np.random.default_rng(0).normal(size=(9, 20))
    varying = np.random.default_rng(1).normal(size=(600, 20)) * 3
    wider = np.vstack([kernel, np.zeros((20, 3), np.float32)])
    begin = start(wider, bias, [[0], [1], [2]])
    solved = solve(
        plan(10.0), LabelledFeatures(np.hstack([rows, constant])[None].astype(np.float32), labels), 0, start=begin
    )
    assert accuracy(solved, np.hstack([fresh, varying]), answers) > 0.9 * accuracy_of(kernel, bias, fresh, answers)


def test_two_classes_and_several_views():
    rows, labels, kernel, bias = problem(40, classes=2)
    views = np.stack([rows, rows + 0.1])
    solved = solve(plan(100.0, 1.0), LabelledFeatures(views, labels), 0, start=start(kernel, bias, [[1], [0]]))
    assert solved.kernel.shape == (30, 2)
    assert solved.held_out.shape == (40, 2)
