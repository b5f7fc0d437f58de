import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from kerastune_recipes.solvers import logistic_regression


def problem(images=120, features=20, classes=3, seed=0):
    random = np.random.default_rng(seed)
    labels = np.arange(images) % classes
    centres = random.normal(size=(classes, features))
    rows = centres[labels] + 3.0 * random.normal(size=(images, features))
    return (rows * random.uniform(0.1, 10, features) + 5).astype(np.float32), labels


@pytest.mark.parametrize(("images", "features"), [(120, 20), (60, 200)])
@pytest.mark.parametrize("classes", [2, 3])
def test_folded_weights_equal_scikit_learn_on_standardised_features(images, features, classes):
    rows, labels = problem(images, features, classes)
    solved = logistic_regression(rows[None], labels, strengths=(10.0,), folds=0, seed=0)
    scaler = StandardScaler().fit(rows)
    reference = LogisticRegression(C=0.1, tol=1e-6, max_iter=5000).fit(scaler.transform(rows), labels)
    expected = reference.predict_proba(scaler.transform(rows))
    np.testing.assert_allclose(solved.probabilities(rows), expected, atol=2e-3)


def test_strength_is_the_one_of_least_held_out_loss():
    rows, labels = problem()
    solved = logistic_regression(rows[None], labels, strengths=(1e4, 100.0, 1.0, 1e-2), folds=5, seed=0)
    losses = solved.log_loss_by_strength
    assert solved.strength == min(losses, key=losses.get)
    assert 1e-2 < solved.strength < 1e4


def test_the_path_is_left_once_the_loss_no_longer_falls():
    rows, labels = problem(images=60, features=200)
    random = np.random.default_rng(1).permutation(labels)
    solved = logistic_regression(rows[None], random, strengths=(1e4, 1e3, 100.0, 10.0, 1.0, 0.1), folds=3, seed=0)
    assert list(solved.log_loss_by_strength) == [1e4, 1e3, 100.0]


def test_calibration_makes_random_labels_say_so():
    rows, labels = problem(images=60, features=200)
    random = np.random.default_rng(1).permutation(labels)
    solved = logistic_regression(rows[None], random, strengths=(1.0,), folds=5, seed=0)
    assert solved.temperature > 3


def test_a_second_view_is_solved_on():
    rows, labels = problem()
    one = logistic_regression(rows[None], labels, strengths=(10.0,), folds=0, seed=0)
    same_twice = logistic_regression(np.stack([rows, rows]), labels, strengths=(20.0,), folds=0, seed=0)
    np.testing.assert_allclose(same_twice.probabilities(rows), one.probabilities(rows), atol=2e-3)


def test_a_constant_feature_does_no_harm():
    rows, labels = problem()
    rows[:, 3] = 7.0
    solved = logistic_regression(rows[None], labels, strengths=(10.0,), folds=5, seed=0)
    assert np.isfinite(solved.kernel).all()
    assert np.abs(solved.kernel[3]).max() < 1e-6
