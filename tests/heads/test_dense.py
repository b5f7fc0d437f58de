"""A solved head as a Dense layer: the answers of the layer are those that were solved, or a warning says so."""

import warnings

import numpy as np
import pytest
from scipy.special import softmax

from kerastune_recipes.errors import PrecisionWarning
from kerastune_recipes.heads import dense
from kerastune_recipes.heads.calibration import Calibration
from kerastune_recipes.heads.dense import StandardisedHead, differences
from kerastune_recipes.heads.linear import Head, logits
from kerastune_recipes.heads.rows import LabelledFeatures, Scale
from kerastune_recipes.heads.solve import solve
from kerastune_recipes.planning.plan import SolvePlan

HEADS = ["logistic_regression", "linear_svm", "naive_bayes", "lda"]


@pytest.fixture
def far(problem):
    """Features whose means are 10,000 deviations from zero, and labels."""
    rows, labels = problem(images=300, features=60)
    scaled = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    return (scaled + 10_000).astype(np.float32), labels


@pytest.mark.parametrize("columns", [slice(0, 4), slice(1, 3)])
@pytest.mark.parametrize("squares", [False, True])
def test_the_layer_equals_the_calibrated_head_on_standardised_features(columns, squares):
    random = np.random.default_rng(0)
    rows = random.normal(5, 2, (10, 4))
    used = columns.stop - columns.start
    head = Head(random.normal(size=(used * (1 + squares), 3)), random.normal(size=3))
    scale = Scale(rows.mean(axis=0), rows.std(axis=0))
    solved = StandardisedHead(head, scale, columns, Calibration(2.0, np.array([0.1, 0.2, -0.3])))
    standard = ((rows - scale.mean) / scale.deviation)[:, columns]
    inputs = np.hstack([standard, standard**2]) if squares else standard
    expected = (inputs @ head.weights + head.bias) / 2.0 + [0.1, 0.2, -0.3]
    np.testing.assert_allclose(solved.logits(rows), expected)
    layer = solved.dense()
    assert (layer.weights.dtype, layer.bias.dtype, layer.centre.dtype) == (np.float32,) * 3
    assert (layer.weights.shape, layer.centre.shape) == (((8, 3), (4,)) if squares else ((4, 3), (0,)))
    np.testing.assert_allclose(logits(layer, rows.astype(np.float32)), expected, atol=1e-4)


@pytest.mark.parametrize("head", HEADS)
def test_ordinary_heads_agree(head, problem):
    rows, labels = problem()
    plan = SolvePlan(head=head, strengths=(1.0, 0.5), folds=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error", PrecisionWarning)
        assert solve(plan, LabelledFeatures(rows[None], labels), seed=0).layer_differs == {}


def test_naive_bayes_far_from_zero_answers_as_in_its_folds(far):
    """Squares of the features themselves have errors of ten square deviations there."""
    rows, labels = far
    plan = SolvePlan(head="naive_bayes", strengths=(1.0, 0.1), folds=5)
    solved = solve(plan, LabelledFeatures(rows[None], labels), seed=0)
    in_folds = (solved.held_out.argmax(axis=1) == labels).mean()
    of_layer = (solved.probabilities(rows).argmax(axis=1) == labels).mean()
    assert in_folds > 0.8
    assert of_layer >= in_folds
    assert solved.layer_differs == {}


def test_a_layer_that_differs_is_told():
    def solved(features):
        return features @ np.array([[0.0, 1.0], [0.0, 0.0]])

    features = np.array([[-1.0, 0.0], [1.0, 0.0], [2.0, 0.0], [3.0, 0.0]])
    same = Head(np.array([[0, 1], [0, 0]], np.float32), np.zeros(2, np.float32))
    assert differences(solved, same, features) == {}
    shifted = Head(same.weights, np.array([1.5, 0], np.float32))
    with pytest.warns(PrecisionWarning, match=r"by up to 0.354, and 25.0% of the training images get another class"):
        found = differences(solved, shifted, features)
    assert found["changed_answers"] == 0.25
    expected = np.abs(softmax(logits(shifted, features), axis=1) - softmax(solved(features), axis=1)).max()
    assert found["largest_difference"] == pytest.approx(expected)


def test_a_layer_that_is_not_finite_is_told():
    layer = Head(np.full((1, 2), np.nan, np.float32), np.zeros(2, np.float32))
    with pytest.warns(PrecisionWarning):
        found = differences(lambda rows: np.hstack([rows, -rows]), layer, np.ones((3, 1)))
    assert found["largest_difference"] == 1.0


def test_answers_without_a_margin_may_change():
    layer = Head(np.array([[0, 1]], np.float32), np.array([0, 1e-4], np.float32))
    assert differences(lambda rows: rows @ np.array([[0.0, 1.0]]), layer, np.array([[-5e-5], [1.0]])) == {}


def test_at_most_2000_rows_are_compared(monkeypatch):
    seen = []

    def solved(rows):
        seen.extend(rows[:, 0].tolist())
        return rows @ np.array([[0.0, 1.0]])

    layer = Head(np.array([[0, 1]], np.float32), np.zeros(2, np.float32))
    features = np.arange(5000, dtype=np.float32)[:, None]
    differences(solved, layer, features)
    assert len(seen) == len(set(seen)) == 2000
    assert (seen[0], seen[-1]) == (0, 4999)
    monkeypatch.setattr(dense, "_MOST_NUMBERS", 10)
    seen.clear()
    differences(solved, layer, features)
    assert len(seen) == 10


def test_figures_within_bounds_need_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dense.warn({})
