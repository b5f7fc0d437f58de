import numpy as np
import pytest

from kerastune_recipes.heads.classifiers import CLASSIFIERS
from kerastune_recipes.heads.cross_validation import FINE
from kerastune_recipes.heads.head import Effort, Head, logits
from kerastune_recipes.heads.learning import learn, learn_anew, unscaled
from kerastune_recipes.heads.rows import Rows, Scale, blocks


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
