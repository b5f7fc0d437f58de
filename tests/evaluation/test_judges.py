"""How much held-out images count, one by one and together."""

import numpy as np
import pytest

from kerastune_recipes.evaluation.judges import Judges


def test_without_weights_and_groups_the_evidence_is_the_sum():
    gains = np.random.default_rng(0).normal(size=50)
    assert Judges.of(np.zeros(50, int), balanced=False).evidence(gains) == pytest.approx(gains.sum())


def test_balanced_judges_give_each_class_the_same_say():
    judges = Judges.of(np.repeat([0, 1], [9, 1]), balanced=True)
    assert judges.weights.mean() == pytest.approx(1)
    assert judges.mean(np.repeat([0.0, 1.0], [9, 1])) == pytest.approx(0.5)
    # Kish: ten images of which one counts nine times as much as another are worth 3.6.
    assert judges.evidence(np.ones(10)) == pytest.approx(3.6)


def test_copies_of_an_image_are_no_further_evidence():
    gains = np.repeat(np.random.default_rng(0).normal(1, 1, 10), 8)
    grouped = Judges.of(np.zeros(80, int), False, np.repeat(np.arange(10), 8))
    alone = Judges.of(np.zeros(80, int), False)
    assert grouped.evidence(gains) <= alone.evidence(gains) / 6
    assert grouped.standard_error(gains) > 2 * alone.standard_error(gains)


def test_some_of_the_judges():
    judges = Judges.of(np.array([0, 1, 0]), balanced=False, groups=np.array([5, 6, 5]))
    some = judges.select(np.array([False, True, True]))
    assert (some.labels.tolist(), some.groups.tolist(), len(some)) == ([1, 0], [6, 5], 2)
