"""Heads fitted by L-BFGS: the gradient vanishes at the result, however the rows are divided into blocks."""

import numpy as np
import pytest

from kerastune_recipes.heads.linear import Head, LBFGSOptions, LossTerm, cross_entropy, fit_lbfgs, logits, squared_hinge

PRECISE = LBFGSOptions(tol=1e-7, max_iter=10_000)


@pytest.fixture
def term(problem):
    """Sixty rows of three classes, with different weights."""
    rows, labels = problem(images=60, features=5)
    rows = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    weights = np.linspace(1, 2, 60, dtype=np.float32)[:, None]
    return LossTerm(rows, np.eye(3, dtype=np.float32)[labels], weights / weights.sum())


def divided(term, every=25):
    blocks = [slice(begin, begin + every) for begin in range(0, len(term.features), every)]
    return [LossTerm(term.features[block], term.targets[block], term.weights[block]) for block in blocks]


def zero_head(features=5, classes=3):
    return Head(np.zeros((features, classes)), np.zeros(classes))


@pytest.mark.parametrize("objective", [cross_entropy, squared_hinge])
def test_gradients_match_finite_differences(objective):
    random = np.random.default_rng(0)
    raw, targets, weights = random.normal(size=(4, 3)), np.eye(3)[[0, 2, 1, 0]], random.uniform(size=(4, 1))
    loss, gradient = objective(raw, targets, weights)
    for at in np.ndindex(raw.shape):
        moved = raw.copy()
        moved[at] += 1e-6
        assert (objective(moved, targets, weights)[0] - loss) / 1e-6 == pytest.approx(gradient[at], abs=1e-5)


@pytest.mark.parametrize("objective", [cross_entropy, squared_hinge])
def test_blocks_of_rows_give_the_same_head_as_one(objective, term):
    whole = fit_lbfgs(objective, lambda: [term], zero_head(), 0.1, PRECISE)
    blockwise = fit_lbfgs(objective, lambda: divided(term), zero_head(), 0.1, PRECISE)
    np.testing.assert_allclose(blockwise.weights, whole.weights, atol=1e-3)
    np.testing.assert_allclose(blockwise.bias, whole.bias, atol=1e-3)


def test_the_penalty_balances_the_gradient(term):
    found = fit_lbfgs(cross_entropy, lambda: [term], zero_head(), 0.1, PRECISE)
    _, error = cross_entropy(term.features @ found.weights + found.bias, term.targets, term.weights)
    np.testing.assert_allclose(term.features.T @ error, -0.1 * found.weights, atol=1e-4)
    np.testing.assert_allclose(error.sum(axis=0), 0, atol=1e-4)


def test_the_bias_may_be_penalised_too(term):
    found = fit_lbfgs(cross_entropy, lambda: [term], zero_head(), 0.1, PRECISE, penalise_bias=True)
    _, error = cross_entropy(term.features @ found.weights + found.bias, term.targets, term.weights)
    np.testing.assert_allclose(error.sum(axis=0), -0.1 * found.bias, atol=1e-4)


def test_nothing_is_learnt_on_top_of_optimal_base_logits(term):
    best = fit_lbfgs(cross_entropy, lambda: [term], zero_head(), 1e-6, PRECISE)
    optimal = LossTerm(
        term.features, term.targets, term.weights, term.features @ best.weights + best.bias.astype(np.float32)
    )
    update = fit_lbfgs(cross_entropy, lambda: [optimal], zero_head(), 0.1, PRECISE)
    assert np.abs(update.weights).max() < 1e-3


def test_a_head_may_use_squares_too():
    features = np.array([[1.0, 2.0], [3.0, 4.0]])
    linear = Head(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0.5, -0.5]))
    squares = Head(np.vstack([linear.weights, 10 * linear.weights]), linear.bias)
    np.testing.assert_array_equal(logits(linear, features), [[1.5, 1.5], [3.5, 3.5]])
    np.testing.assert_array_equal(logits(squares, features), [[11.5, 41.5], [93.5, 163.5]])
