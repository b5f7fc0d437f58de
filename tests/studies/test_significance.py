"""Intervals and the paired test, on numbers that can be worked out by hand."""

import numpy as np
import pytest

from kerastune_recipes.evaluation import metrics
from kerastune_recipes.studies import significance

ONCE = np.ones(10)


def test_with_one_seed_the_interval_is_that_of_the_report():
    correct = np.array([1] * 7 + [0] * 3)
    assert significance.accuracy(correct, ONCE) == pytest.approx(0.7)
    assert significance.accuracy_interval(correct, ONCE) == pytest.approx(metrics.wilson_interval(7, 10))


def test_more_seeds_on_the_same_images_are_not_more_images():
    """Three seeds with the same mistakes count as one."""
    correct = np.array([1] * 7 + [0] * 3)
    assert significance.accuracy_interval(correct, 3 * ONCE) == pytest.approx(metrics.wilson_interval(7, 10))


def test_unequal_weights_lower_the_effective_sample_size():
    assert significance.effective_images(np.array([2, 2, 2])) == pytest.approx(3)
    assert significance.effective_images(np.array([3, 1])) == pytest.approx(16 / 10)
    assert significance.accuracy(np.array([1, 0]), np.array([3, 1])) == pytest.approx(0.75)


def test_mcnemar_counts_the_images_on_which_the_two_differ():
    """Eight against two heads: of the 1,024 outcomes of ten throws, 2 x (1 + 10 + 45) are as uneven or more."""
    first = np.array([0] * 8 + [1] * 2 + [1] * 90)
    other = np.array([1] * 8 + [0] * 2 + [1] * 90)
    found = significance.paired(other, first, np.ones(100))
    assert (found.better, found.worse) == (8, 2)
    assert found.p_value == pytest.approx(112 / 1024)
    assert found.difference == pytest.approx(0.06)


def test_an_image_counts_once_for_the_classifier_that_is_correct_with_more_seeds():
    first = np.array([1, 1 / 3, 0, 0])
    other = np.array([1, 2 / 3, 1, 1 / 3])
    found = significance.paired(other, first, np.full(4, 3))
    assert (found.better, found.worse) == (3, 0)
    assert found.p_value == pytest.approx(2 / 8)
    assert found.difference == pytest.approx((1 / 3 + 1 + 1 / 3) / 4)


def test_the_interval_of_a_difference_is_that_of_agresti_and_min():
    """Cells 8 and 2 of 100 become 8.5 and 2.5 of 102."""
    first, other = np.array([0] * 8 + [1] * 92), np.array([1] * 8 + [0] * 2 + [1] * 90)
    middle = 6 / 102
    reach = 1.959964 * np.sqrt(8.5 + 2.5 - 6**2 / 102) / 102
    low, high = significance.paired(other, first, np.ones(100)).interval
    assert (low, high) == pytest.approx((middle - reach, middle + reach), abs=1e-6)


def test_equal_classifiers_have_an_interval_around_zero():
    same = np.array([1, 0] * 50)
    found = significance.paired(same, same, np.ones(100))
    assert found.p_value == 1
    assert found.interval[0] == -found.interval[1] == pytest.approx(-1.959964 / 102, abs=1e-6)


def test_intervals_stay_within_minus_1_and_1():
    low, high = significance.paired(np.ones(2), np.zeros(2), np.ones(2)).interval
    assert -1 <= low < high <= 1


def test_holm():
    assert significance.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert significance.holm([0.6, 0.9]) == [1, 1]
    assert significance.holm([0.02]) == [0.02]
    assert significance.holm([]) == []
