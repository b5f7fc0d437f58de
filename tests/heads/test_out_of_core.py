"""More features than memory holds: the head is still learnt from all images."""

import numpy as np
import pytest
from scipy.special import softmax

from kerastune_recipes.arrays.files import FileArray
from kerastune_recipes.heads import rows as rows_module
from kerastune_recipes.heads.out_of_core import solve_out_of_core
from kerastune_recipes.heads.pretrained_prior import start
from kerastune_recipes.heads.rows import LabelledFeatures
from kerastune_recipes.heads.solve import solve
from kerastune_recipes.planning.plan import SolvePlan


def in_file(views: np.ndarray, labels: np.ndarray, widths: tuple[int, ...] | None = None) -> LabelledFeatures:
    """Put features (v, n, d) into a file."""
    stored = FileArray(views.shape, views.dtype)
    for view, rows in enumerate(views):
        stored[view, :] = rows
    return LabelledFeatures(stored, labels, widths=widths)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("head", ["logistic_regression", "linear_svm"])
def test_training_reaches_the_head_that_is_solved_in_memory(head, classes, problem, monkeypatch):
    monkeypatch.setattr(rows_module, "CHUNK_ROWS", 64)
    rows, labels = problem(images=400, classes=classes)
    views = np.stack([rows, rows + 0.1 * rows.std(axis=0)])
    plan = SolvePlan(head=head, strengths=(100.0,), folds=0)
    whole = solve(plan, LabelledFeatures(views, labels), seed=0)
    sample = solve(plan, LabelledFeatures(views[:, :100], labels[:100]), seed=0)
    found = solve_out_of_core(plan, in_file(views, labels), seed=0, max_images=100)
    expected = whole.probabilities(rows)
    assert np.abs(found.probabilities(rows) - expected).max() < 0.02
    assert np.abs(sample.probabilities(rows) - expected).max() > 0.05
    assert found.judged_by == "default (no folds); trained by gradient on all 400 images"


@pytest.mark.parametrize("strength", [1.0, 0.1])
@pytest.mark.parametrize("head", ["lda", "naive_bayes"])
def test_closed_form_heads_equal_those_solved_in_memory(head, strength, problem, monkeypatch):
    monkeypatch.setattr(rows_module, "CHUNK_ROWS", 64)
    rows, labels = problem(images=400)
    views = np.stack([rows, rows + 0.1 * rows.std(axis=0)])
    plan = SolvePlan(head=head, strengths=(strength,), folds=0, class_balance="weights")
    found = solve_out_of_core(plan, in_file(views, labels), seed=0, max_images=100)
    expected = solve(plan, LabelledFeatures(views, labels), seed=0).probabilities(rows)
    np.testing.assert_allclose(found.probabilities(rows), expected, atol=1e-4)
    assert found.judged_by == "default (no folds); solved on all 400 images"


def test_naive_bayes_keeps_the_calibration_of_the_sample(problem):
    rows, labels = problem(images=400)
    plan = SolvePlan(head="naive_bayes", strengths=(0.9, 0.5), folds=3)
    found = solve_out_of_core(plan, in_file(rows[None], labels), seed=0, max_images=300)
    assert found.judged_by == "3-fold cross-validation of 300 images; solved on all 400 images"
    uncalibrated = SolvePlan(head="naive_bayes", strengths=(found.strength,), folds=0)
    raw = solve(uncalibrated, LabelledFeatures(rows[None], labels), seed=0).probabilities(rows)
    expected = softmax(np.log(raw) / found.temperature + found.offsets, axis=1)
    np.testing.assert_allclose(found.probabilities(rows), expected, atol=1e-4)


def test_a_pretrained_prior_is_combined_with_all_images(problem, monkeypatch):
    monkeypatch.setattr(rows_module, "CHUNK_ROWS", 64)
    rows, labels = problem(images=400, classes=3)
    random = np.random.default_rng(0)
    begin = start(random.normal(size=(20, 5)).astype(np.float32), np.zeros(5, np.float32), [[0], [], [1, 2]])
    plan = SolvePlan(head="pretrained_classifier", strengths=(10.0,), folds=0)
    found = solve_out_of_core(plan, in_file(rows[None], labels), seed=0, max_images=100, start=begin)
    sample = solve(plan, LabelledFeatures(rows[None, :100], labels[:100]), seed=0, start=begin).probabilities(rows)
    expected = solve(plan, LabelledFeatures(rows[None], labels), seed=0, start=begin).probabilities(rows)
    assert np.abs(found.probabilities(rows) - expected).max() < 0.03
    assert np.abs(sample - expected).max() > 0.05


def test_strength_and_temperature_come_from_the_sample(problem):
    rows, labels = problem(images=300)
    plan = SolvePlan(head="logistic_regression", strengths=(1000.0, 100.0, 10.0), folds=3)
    found = solve_out_of_core(plan, in_file(rows[None], labels), seed=0, max_images=200)
    assert found.judged_by == "3-fold cross-validation of 200 images; trained by gradient on all 300 images"
    assert found.strength in plan.strengths
    assert found.temperature > 0
    assert found.held_out.shape == (0, 3)  # the sample does not cover all images


def test_a_rare_class_is_in_every_fold_of_the_sample(problem):
    rows, labels = problem(images=300)
    few = np.flatnonzero((labels > 0) | (np.arange(300) < 12))
    plan = SolvePlan(head="logistic_regression", strengths=(100.0,), folds=3)
    found = solve_out_of_core(plan, in_file(rows[None, few], labels[few]), seed=0, max_images=20)
    assert found.judged_by.startswith("3-fold cross-validation of ")


def test_only_the_chosen_tap_is_used(problem):
    rows, labels = problem(images=300)
    plan = SolvePlan(head="logistic_regression", strengths=(100.0,), folds=3, taps="best")
    found = solve_out_of_core(plan, in_file(rows[None], labels, widths=(8, 12)), seed=0, max_images=200)
    used = np.flatnonzero(np.abs(found.kernel).any(axis=1))
    assert used.tolist() == [list(range(8)), list(range(8, 20))][found.tap]


def test_the_head_is_solved_in_memory_where_all_images_fit(problem):
    rows, labels = problem()
    plan = SolvePlan(head="logistic_regression", strengths=(100.0,), folds=0)
    found = solve_out_of_core(plan, in_file(rows[None], labels), seed=0, max_images=1000)
    np.testing.assert_array_equal(found.kernel, solve(plan, LabelledFeatures(rows[None], labels), seed=0).kernel)
