"""The table of solved heads, and that it agrees with the recipe format and with the implementations."""

from typing import get_args

import pytest

from kerastune_recipes.heads.classifiers import CLASSIFIERS
from kerastune_recipes.spec.heads import HEADS
from kerastune_recipes.spec.recipe_spec import SolvedHead


def test_the_recipe_format_names_the_heads_of_the_table():
    assert get_args(SolvedHead) == tuple(HEADS)


def test_every_head_is_implemented():
    """The head from the pretrained classifier is logistic regression with another penalty, `heads.pretrained_prior`."""
    assert [name for name, head in HEADS.items() if head.pretrained] == ["pretrained_classifier"]
    assert set(CLASSIFIERS) == set(HEADS) - {"pretrained_classifier"}


@pytest.mark.parametrize("name", list(CLASSIFIERS))
def test_table_and_implementation_agree_on_squares(name):
    assert HEADS[name].squares == CLASSIFIERS[name].squares


@pytest.mark.parametrize("head", HEADS.values(), ids=list(HEADS))
def test_strengths_fall_within_the_allowed_range(head):
    assert list(head.strengths) == sorted(set(head.strengths), reverse=True)
    assert all(map(head.allows, (*head.strengths, head.default_strength)))
    assert min(head.strengths) <= head.default_strength <= max(head.strengths)


def test_only_shrinkage_has_a_range():
    assert HEADS["lda"].allows(1e-6)
    assert HEADS["lda"].allows(1.0)
    assert not HEADS["lda"].allows(1.1)
    assert HEADS["naive_bayes"].allows(1e9)


def test_strengths_are_half_decades():
    assert HEADS["linear_svm"].strengths == (
        31622.776602,
        10000.0,
        3162.27766,
        1000.0,
        316.227766,
        100.0,
        31.622777,
        10.0,
    )
