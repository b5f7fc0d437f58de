"""What a descent ends at has no slope, however its rows are divided."""

import numpy as np
import pytest

from kerastune_recipes.heads.linear import Effort, Head, Term, cross_entropy, descend, logits, squared_hinge

FAR = Effort(tol=1e-7, max_iter=10_000)


@pytest.fixture
def term(problem):
    """Sixty rows of three classes, each of another weight."""
    rows, labels = problem(images=60, features=5)
    rows = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    shares = np.linspace(1, 2, 60, dtype=np.float32)[:, None]
    return Term(rows, np.eye(3, dtype=np.float32)[labels], shares / shares.sum())


def parts(term, every=25):
    cuts = [slice(begin, begin + every) for begin in range(0, len(term.features), every)]
    return [Term(term.features[cut], term.right[cut], term.shares[cut]) for cut in cuts]


def nothing(features=5, classes=3):
    return Head(np.zeros((features, classes)), np.zeros(classes))


@pytest.mark.parametrize("objective", [cross_entropy, squared_hinge])
def test_a_slope_is_what_the_loss_changes_by(objective):
    random = np.random.default_rng(0)
    raw, right, shares = random.normal(size=(4, 3)), np.eye(3)[[0, 2, 1, 0]], random.uniform(size=(4, 1))
    loss, slope = objective(raw, right, shares)
    for at in np.ndindex(raw.shape):
        moved = raw.copy()
        moved[at] += 1e-6
        assert (objective(moved, right, shares)[0] - loss) / 1e-6 == pytest.approx(slope[at], abs=1e-5)


@pytest.mark.parametrize("objective", [cross_entropy, squared_hinge])
def test_rows_may_come_some_at_a_time(objective, term):
    whole = descend(objective, lambda: [term], nothing(), 0.1, FAR)
    divided = descend(objective, lambda: parts(term), nothing(), 0.1, FAR)
    np.testing.assert_allclose(divided.weights, whole.weights, atol=1e-3)
    np.testing.assert_allclose(divided.bias, whole.bias, atol=1e-3)


def test_the_penalty_balances_the_slope(term):
    found = descend(cross_entropy, lambda: [term], nothing(), 0.1, FAR)
    _, error = cross_entropy(term.features @ found.weights + found.bias, term.right, term.shares)
    np.testing.assert_allclose(term.features.T @ error, -0.1 * found.weights, atol=1e-4)
    np.testing.assert_allclose(error.sum(axis=0), 0, atol=1e-4)


def test_the_bias_may_be_penalised_too(term):
    found = descend(cross_entropy, lambda: [term], nothing(), 0.1, FAR, penalised_bias=True)
    _, error = cross_entropy(term.features @ found.weights + found.bias, term.right, term.shares)
    np.testing.assert_allclose(error.sum(axis=0), -0.1 * found.bias, atol=1e-4)


def test_what_is_known_already_need_not_be_learnt(term):
    """Behind logits that are the best there are, the way from them is nothing."""
    best = descend(cross_entropy, lambda: [term], nothing(), 1e-6, FAR)
    known = Term(term.features, term.right, term.shares, term.features @ best.weights + best.bias.astype(np.float32))
    way = descend(cross_entropy, lambda: [known], nothing(), 0.1, FAR)
    assert np.abs(way.weights).max() < 1e-3


def test_a_head_may_look_at_squares_too():
    features = np.array([[1.0, 2.0], [3.0, 4.0]])
    linear = Head(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0.5, -0.5]))
    squares = Head(np.vstack([linear.weights, 10 * linear.weights]), linear.bias)
    np.testing.assert_array_equal(logits(linear, features), [[1.5, 1.5], [3.5, 3.5]])
    np.testing.assert_array_equal(logits(squares, features), [[11.5, 41.5], [93.5, 163.5]])
