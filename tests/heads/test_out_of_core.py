"""More features than memory holds: the head is that of all images all the same."""

import numpy as np
import pytest
from scipy.special import softmax

from kerastune_recipes.arrays.files import FileArray
from kerastune_recipes.heads import rows as rows_module
from kerastune_recipes.heads.out_of_core import solve_out_of_core
from kerastune_recipes.heads.pretrained_prior import start
from kerastune_recipes.heads.solve import solve
from kerastune_recipes.planning.plan import SolvePlan


def filed(rows: np.ndarray) -> FileArray:
    """Put features (v, n, d) into a file."""
    stored = FileArray(rows.shape, rows.dtype)
    for view, each in enumerate(rows):
        stored[view, :] = each
    return stored


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("head", ["logistic_regression", "linear_svm"])
def test_it_is_trained_until_it_is_what_would_be_solved_in_memory(head, classes, problem, monkeypatch):
    monkeypatch.setattr(rows_module, "AT_ONCE", 64)
    rows, labels = problem(images=400, classes=classes)
    views = np.stack([rows, rows + 0.1 * rows.std(axis=0)])
    plan = SolvePlan(head=head, strengths=(100.0,), folds=0)
    whole = solve(plan, views, labels, seed=0)
    sample = solve(plan, views[:, :100], labels[:100], seed=0)
    found = solve_out_of_core(plan, filed(views), labels, seed=0, most=100)
    expected = whole.probabilities(rows)
    assert np.abs(found.probabilities(rows) - expected).max() < 0.02
    assert np.abs(sample.probabilities(rows) - expected).max() > 0.05
    assert found.judged_by == "nothing, there being no folds; trained by gradient on all 400 images"


@pytest.mark.parametrize("strength", [1.0, 0.1])
@pytest.mark.parametrize("head", ["lda", "naive_bayes"])
def test_moments_are_those_of_all_images(head, strength, problem, monkeypatch):
    monkeypatch.setattr(rows_module, "AT_ONCE", 64)
    rows, labels = problem(images=400)
    views = np.stack([rows, rows + 0.1 * rows.std(axis=0)])
    plan = SolvePlan(head=head, strengths=(strength,), folds=0, class_balance="weights")
    found = solve_out_of_core(plan, filed(views), labels, seed=0, most=100)
    expected = solve(plan, views, labels, seed=0).probabilities(rows)
    np.testing.assert_allclose(found.probabilities(rows), expected, atol=1e-4)
    assert found.judged_by == "nothing, there being no folds; solved on all 400 images"


def test_naive_bayes_keeps_the_calibration_of_the_sample(problem):
    rows, labels = problem(images=400)
    plan = SolvePlan(head="naive_bayes", strengths=(0.9, 0.5), folds=3)
    found = solve_out_of_core(plan, filed(rows[None]), labels, seed=0, most=300)
    assert found.judged_by == "3-fold cross-validation of 300 images; solved on all 400 images"
    alone = SolvePlan(head="naive_bayes", strengths=(found.strength,), folds=0)
    raw = solve(alone, rows[None], labels, seed=0).probabilities(rows)
    expected = softmax(np.log(raw) / found.temperature + found.offsets, axis=1)
    np.testing.assert_allclose(found.probabilities(rows), expected, atol=1e-4)


def test_what_is_drawn_to_a_source_classifier_is_drawn_there_by_all_images(problem, monkeypatch):
    monkeypatch.setattr(rows_module, "AT_ONCE", 64)
    rows, labels = problem(images=400, classes=3)
    random = np.random.default_rng(0)
    begin = start(random.normal(size=(20, 5)).astype(np.float32), np.zeros(5, np.float32), [[0], [], [1, 2]])
    plan = SolvePlan(head="pretrained_classifier", strengths=(10.0,), folds=0)
    found = solve_out_of_core(plan, filed(rows[None]), labels, seed=0, most=100, start=begin)
    sample = solve(plan, rows[None, :100], labels[:100], seed=0, start=begin).probabilities(rows)
    expected = solve(plan, rows[None], labels, seed=0, start=begin).probabilities(rows)
    assert np.abs(found.probabilities(rows) - expected).max() < 0.03
    assert np.abs(sample - expected).max() > 0.05


def test_strength_and_temperature_are_those_of_the_sample(problem):
    rows, labels = problem(images=300)
    plan = SolvePlan(head="logistic_regression", strengths=(1000.0, 100.0, 10.0), folds=3)
    found = solve_out_of_core(plan, filed(rows[None]), labels, seed=0, most=200)
    assert found.judged_by == "3-fold cross-validation of 200 images; trained by gradient on all 300 images"
    assert found.strength in plan.strengths
    assert found.temperature > 0
    assert found.held_out.shape == (0, 3)  # those of the sample are not all


def test_a_rare_class_is_in_every_fold_of_the_sample(problem):
    rows, labels = problem(images=300)
    few = np.flatnonzero((labels > 0) | (np.arange(300) < 12))
    plan = SolvePlan(head="logistic_regression", strengths=(100.0,), folds=3)
    found = solve_out_of_core(plan, filed(rows[None, few]), labels[few], seed=0, most=20)
    assert found.judged_by.startswith("3-fold cross-validation of ")


def test_one_tap_stays_the_only_one(problem):
    rows, labels = problem(images=300)
    plan = SolvePlan(head="logistic_regression", strengths=(100.0,), folds=3, taps="best")
    found = solve_out_of_core(plan, filed(rows[None]), labels, seed=0, most=200, widths=(8, 12))
    used = np.flatnonzero(np.abs(found.kernel).any(axis=1))
    assert used.tolist() == [list(range(8)), list(range(8, 20))][found.tap]


def test_where_all_fit_they_are_solved(problem):
    rows, labels = problem()
    plan = SolvePlan(head="logistic_regression", strengths=(100.0,), folds=0)
    found = solve_out_of_core(plan, filed(rows[None]), labels, seed=0, most=1000)
    np.testing.assert_array_equal(found.kernel, solve(plan, rows[None], labels, seed=0).kernel)
