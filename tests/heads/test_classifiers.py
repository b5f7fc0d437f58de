"""The classifiers: equal to scikit-learn's, in any coordinates and on any scale."""

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from kerastune_recipes.heads.classifiers import CLASSIFIERS, restandardising_solver, solver_for, to_raw
from kerastune_recipes.heads.cross_validation import FINE
from kerastune_recipes.heads.linear import Head, LBFGSOptions, logits
from kerastune_recipes.heads.rows import Rows, Scale, blocks

# The same strengths in scikit-learn. Its linear SVM penalises the intercept, less so with a larger scaling.
SCIKIT_LEARN = {
    "logistic_regression": lambda strength: LogisticRegression(C=1 / strength, tol=1e-8, max_iter=1000),
    "linear_svm": lambda strength: LinearSVC(
        C=1 / strength, dual=False, tol=1e-8, max_iter=10**5, intercept_scaling=100.0
    ),
    "naive_bayes": lambda strength: GaussianNB(var_smoothing=strength),
    "lda": lambda strength: LinearDiscriminantAnalysis(solver="eigen", shrinkage=strength),
}


def centred_logits(model, rows):
    """Return the logits (n, k) of a scikit-learn model, centred: a constant common to all classes does not matter."""
    found = model.predict_joint_log_proba(rows) if hasattr(model, "predict_joint_log_proba") else None
    if found is None:
        found = model.decision_function(rows)
    if found.ndim == 1:
        found = np.column_stack([-found / 2, found / 2])
    return centred(found)


def centred(found):
    return found - found.mean(axis=1, keepdims=True)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("strength", [1.0, 0.3])
@pytest.mark.parametrize("name", SCIKIT_LEARN)
def test_each_classifier_equals_that_of_scikit_learn(name, strength, classes, problem):
    rows, labels = problem(classes=classes)
    rows = StandardScaler().fit_transform(rows).astype(np.float32)
    solver = CLASSIFIERS[name].solver(Rows(rows[:, None], labels, np.ones(len(rows), np.float32), 20))
    head = solver(strength, FINE, None)
    expected = centred_logits(SCIKIT_LEARN[name](strength).fit(rows, labels), rows)
    if name == "linear_svm" and classes == 2:  # each class against the other
        expected = 2 * expected
    np.testing.assert_allclose(centred(logits(head, rows)), expected, rtol=0.01, atol=0.05)


@pytest.mark.parametrize("name", ["logistic_regression", "linear_svm", "lda"])
def test_an_image_of_weight_two_equals_two_images(name, problem):
    rows, labels = problem()
    rows = StandardScaler().fit_transform(rows).astype(np.float32)[:, None]
    heavy = np.where(labels == 0, 2, 1)
    weighted = Rows(rows, labels, heavy.astype(np.float32), 20)
    repeated = Rows(rows.repeat(heavy, axis=0), labels.repeat(heavy), np.ones(heavy.sum(), np.float32), 20)
    one, other = (CLASSIFIERS[name].solver(each)(0.5, FINE, None) for each in (weighted, repeated))
    np.testing.assert_allclose(logits(one, rows[:, 0]), logits(other, rows[:, 0]), rtol=0.01, atol=0.01)


@pytest.mark.parametrize("name", ["logistic_regression", "linear_svm"])
def test_the_solution_is_a_fixed_point_of_the_solver(name, problem):
    rows, labels = problem(classes=4)
    rows = StandardScaler().fit_transform(rows).astype(np.float32)
    solver = CLASSIFIERS[name].solver(Rows(rows[:, None], labels, np.ones(len(rows), np.float32), 20))
    head = solver(1.0, FINE, None)
    again = solver(1.0, FINE, head)
    np.testing.assert_allclose(again.weights, head.weights, atol=1e-3)


def test_lda_with_one_image_per_class_chooses_the_nearest():
    """There is no spread within the classes to learn from."""
    rows = np.random.default_rng(0).normal(size=(3, 20)).astype(np.float32)
    head = CLASSIFIERS["lda"].solver(Rows(rows[:, None], np.arange(3), np.ones(3, np.float32), 20))(0.5, FINE, None)
    nearby = rows + 0.1 * np.random.default_rng(1).normal(size=rows.shape).astype(np.float32)
    np.testing.assert_array_equal(logits(head, nearby).argmax(axis=1), [0, 1, 2])


def as_rows(rows, labels):
    return Rows(rows[:, None].copy(), labels, np.ones(len(rows), np.float32), rows.shape[1])


def standardised(rows):
    rows = rows.copy()
    Scale.of(blocks(rows)).apply(rows)
    return rows


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_in_the_span_of_the_rows_the_head_is_the_same(name, problem):
    rows, labels = problem(images=40, features=200)
    rows = standardised(rows)
    options, classifier = LBFGSOptions(1e-6, 10_000), CLASSIFIERS[name]
    here = classifier.solver(as_rows(rows, labels))(0.5, options, None)
    there = solver_for(classifier, as_rows(rows, labels))(0.5, options, None)
    np.testing.assert_allclose(logits(here, rows), logits(there, rows), rtol=0.02, atol=0.02)


@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.parametrize("features", [20, 200])
def test_restandardising_equals_standardising_before(name, features, problem):
    rows, labels = problem(images=60, features=features)
    strength, classifier = 10.0 if name != "lda" else 0.5, CLASSIFIERS[name]
    first = solver_for(classifier, as_rows(standardised(rows), labels))(strength, FINE, None)
    solver = restandardising_solver(classifier, as_rows(rows, labels))
    head = solver(strength, FINE, None)
    np.testing.assert_allclose(
        logits(head, rows.astype(float)), logits(first, standardised(rows)), rtol=0.01, atol=0.02
    )
    again = solver(strength, FINE, head)
    np.testing.assert_allclose(again.weights, head.weights, atol=1e-3)


@pytest.mark.parametrize("dtype", [np.float32, float])
def test_rounding_of_one_term_is_compensated_in_the_others(dtype):
    random = np.random.default_rng(0)
    scale = Scale(mean=np.full(50, 300.0), deviation=np.full(50, 10.0))
    head = Head(random.normal(size=(100, 3)) / 50, random.normal(size=3))
    rows = 300 + 10 * random.normal(size=(40, 50))
    found = to_raw(head, scale, dtype)
    assert found.weights.dtype == dtype
    # Only the weights are in single precision; computing with them is exact here.
    exact = Head(found.weights.astype(float), found.bias)
    np.testing.assert_allclose(logits(exact, rows), logits(head, (rows - 300) / 10), atol=1e-4)
