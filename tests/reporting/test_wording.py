"""Phrases that plan, report and pages share."""

import pytest

from kerastune_recipes.reporting import wording


def test_cross_validation():
    assert wording.cross_validation(5) == "5-fold cross-validation"


@pytest.mark.parametrize(("method", "words"), [("weights", "weighted"), ("sampling", "sampled equally often")])
def test_class_balance(method, words):
    assert wording.class_balance(method, 10 / 3) == f"unbalanced, 3.33 to 1: {words}"


def test_at_most_three_pretrained_classes_of_a_class_are_named():
    sources = {"dogs": ["beagle", "boxer", "husky", "pug"], "cats": iter(["tabby"])}
    assert wording.taken_from(sources) == ["dogs from beagle, boxer, husky and 1 more", "cats from tabby"]


def test_intervals_are_in_percent():
    assert wording.interval((0.8, 0.925)) == "80.0% to 92.5%"
    assert wording.interval((0.8, 0.925), groups=12) == "80.0% to 92.5% (12 groups)"
