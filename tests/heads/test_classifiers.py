import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from kerastune_recipes.heads.classifiers import CLASSIFIERS
from kerastune_recipes.heads.cross_validation import FINE
from kerastune_recipes.heads.head import logits
from kerastune_recipes.heads.rows import Rows

# What each strength is in scikit-learn. Its linear SVM penalises the intercept, the less the greater the scaling.
SCIKIT_LEARN = {
    "logistic_regression": lambda strength: LogisticRegression(C=1 / strength, tol=1e-8, max_iter=1000),
    "linear_svm": lambda strength: LinearSVC(
        C=1 / strength, dual=False, tol=1e-8, max_iter=10**5, intercept_scaling=100.0
    ),
    "naive_bayes": lambda strength: GaussianNB(var_smoothing=strength),
    "lda": lambda strength: LinearDiscriminantAnalysis(solver="eigen", shrinkage=strength),
}


def values(model, rows):
    """Return what is told of classes up to what all have in common, (n, k)."""
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
def test_each_is_that_of_scikit_learn(name, strength, classes, problem):
    rows, labels = problem(classes=classes)
    rows = StandardScaler().fit_transform(rows).astype(np.float32)
    learn = CLASSIFIERS[name].learn(Rows(rows[:, None], labels, np.ones(len(rows), np.float32), 20))
    head = learn(strength, FINE, None)
    expected = values(SCIKIT_LEARN[name](strength).fit(rows, labels), rows)
    if name == "linear_svm" and classes == 2:  # one class against the other, and the other against the one
        expected = 2 * expected
    np.testing.assert_allclose(centred(logits(head, rows)), expected, rtol=0.01, atol=0.05)


@pytest.mark.parametrize("name", ["logistic_regression", "linear_svm", "lda"])
def test_an_image_that_weighs_two_is_two_images(name, problem):
    rows, labels = problem()
    rows = StandardScaler().fit_transform(rows).astype(np.float32)[:, None]
    heavy = np.where(labels == 0, 2, 1)
    weighed = Rows(rows, labels, heavy.astype(np.float32), 20)
    repeated = Rows(rows.repeat(heavy, axis=0), labels.repeat(heavy), np.ones(heavy.sum(), np.float32), 20)
    one, other = (CLASSIFIERS[name].learn(each)(0.5, FINE, None) for each in (weighed, repeated))
    np.testing.assert_allclose(logits(one, rows[:, 0]), logits(other, rows[:, 0]), rtol=0.01, atol=0.01)


@pytest.mark.parametrize("name", ["logistic_regression", "linear_svm"])
def test_a_good_start_is_kept(name, problem):
    rows, labels = problem(classes=4)
    rows = StandardScaler().fit_transform(rows).astype(np.float32)
    learn = CLASSIFIERS[name].learn(Rows(rows[:, None], labels, np.ones(len(rows), np.float32), 20))
    head = learn(1.0, FINE, None)
    again = learn(1.0, FINE, head)
    np.testing.assert_allclose(again.weights, head.weights, atol=1e-3)


def test_of_one_image_of_each_class_the_nearest_is_right():
    """There is no spread within the classes that could tell more."""
    rows = np.random.default_rng(0).normal(size=(3, 20)).astype(np.float32)
    head = CLASSIFIERS["lda"].learn(Rows(rows[:, None], np.arange(3), np.ones(3, np.float32), 20))(0.5, FINE, None)
    shown = rows + 0.1 * np.random.default_rng(1).normal(size=rows.shape).astype(np.float32)
    np.testing.assert_array_equal(logits(head, shown).argmax(axis=1), [0, 1, 2])
