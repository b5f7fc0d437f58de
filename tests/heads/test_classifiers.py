import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from kerastune_recipes.heads.classifiers import CLASSIFIERS, learn, learn_anew, unscaled
from kerastune_recipes.heads.cross_validation import FINE
from kerastune_recipes.heads.linear import Effort, Head, logits
from kerastune_recipes.heads.rows import Rows, Scale, blocks

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


def made(rows, labels):
    return Rows(rows[:, None].copy(), labels, np.ones(len(rows), np.float32), rows.shape[1])


def scaled(rows):
    rows = rows.copy()
    Scale.of(blocks(rows)).apply(rows)
    return rows


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_in_the_span_of_the_rows_the_head_is_the_same(name, problem):
    rows, labels = problem(images=40, features=200)
    rows = scaled(rows)
    here, there = (
        how(made(rows, labels))(0.5, Effort(1e-6, 10_000), None) for how in (CLASSIFIERS[name].learn, learn_whole(name))
    )
    np.testing.assert_allclose(logits(here, rows), logits(there, rows), rtol=0.02, atol=0.02)


def learn_whole(name):
    return lambda rows: learn(CLASSIFIERS[name], rows)


@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.parametrize("features", [20, 200])
def test_learning_anew_is_learning_from_what_was_standardised_by_itself(name, features, problem):
    rows, labels = problem(images=60, features=features)
    first = learn_whole(name)(made(scaled(rows), labels))(10.0 if name != "lda" else 0.5, FINE, None)
    anew = learn_anew(CLASSIFIERS[name], made(rows, labels))
    head = anew(10.0 if name != "lda" else 0.5, FINE, None)
    np.testing.assert_allclose(logits(head, rows.astype(float)), logits(first, scaled(rows)), rtol=0.01, atol=0.02)
    again = anew(10.0 if name != "lda" else 0.5, FINE, head)
    np.testing.assert_allclose(again.weights, head.weights, atol=1e-3)


@pytest.mark.parametrize("precision", [np.float32, float])
def test_rounded_terms_fit_one_another(precision):
    random = np.random.default_rng(0)
    scale = Scale(mean=np.full(50, 300.0), deviation=np.full(50, 10.0))
    head = Head(random.normal(size=(100, 3)) / 50, random.normal(size=3))
    rows = 300 + 10 * random.normal(size=(40, 50))
    found = unscaled(head, scale, precision)
    assert found.weights.dtype == precision
    # Single precision of weights alone: what is computed with them is exact here.
    exact = Head(found.weights.astype(float), found.bias)
    np.testing.assert_allclose(logits(exact, rows), logits(head, (rows - 300) / 10), atol=1e-4)
