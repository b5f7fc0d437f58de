"""Intervals and the paired test, on numbers that can be worked out by hand."""

import numpy as np
import pytest
from scipy.stats import binomtest

from kerastune_recipes.evaluation import metrics
from kerastune_recipes.evaluation.clusters import effective_images
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
    correct, weights = np.array([1, 0]), np.array([3, 1])
    assert significance.accuracy(correct, weights) == pytest.approx(0.75)
    assert significance.accuracy_interval(correct, weights) == pytest.approx(metrics.wilson_interval(1.2, 1.6))


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


def test_groups_widen_the_interval_of_an_accuracy():
    """Four of six pairs of photos are right, with one of two seeds in two of them."""
    correct = np.repeat([1, 1, 1, 0.5, 0.5, 0], 2)
    groups = np.repeat(np.arange(6), 2)
    found = significance.accuracy_interval(correct, np.full(12, 2), groups)
    assert found == pytest.approx(metrics.wilson_interval(4, 6))


def test_groups_widen_the_interval_of_a_difference():
    """Agresti and Min's, for as many images as the groups are worth."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(25), 8)
    first = (rng.random(200) < 0.8).astype(float)
    other = np.where(groups < 5, 1.0, first)
    images = effective_images(other - first, groups, symmetric=True)
    assert 25 < images < 200
    share = (other - first).mean()
    middle = images * share / (images + 2)
    reach = 1.959964 * np.sqrt(images * share + 1 - (images * share) ** 2 / (images + 2)) / (images + 2)
    found = significance.paired(other, first, np.ones(200), groups)
    assert found.interval == pytest.approx((middle - reach, middle + reach), abs=1e-6)
    assert found.difference == pytest.approx(share)


def test_equal_classifiers_on_groups_are_as_uncertain_as_the_groups_are_few():
    same = np.array([1, 0] * 50)
    found = significance.paired(same, same, np.ones(100), np.repeat(np.arange(10), 10))
    assert found.p_value == 1
    assert found.interval[0] == -found.interval[1] == pytest.approx(-1.959964 / 12, abs=1e-6)


def test_a_group_has_one_vote_as_large_as_its_surplus_of_images():
    """Sums of 3, 2, 1 and -1 add up to 5. Of 16 choices of signs, 2 make 7 or -7, and 4 make 5 or -5."""
    groups = np.array([0, 0, 0, 4, 4, 4, 4, 2, 9, 9])
    other = np.array([1, 1, 1, 1, 1, 1, 0, 1, 0, 1])
    first = np.array([0, 0, 0, 0, 0, 1, 0, 0, 1, 1])
    found = significance.paired(other, first, np.ones(10), groups)
    assert (found.better, found.worse) == (6, 1)
    assert found.p_value == pytest.approx((2 + 4) / 16)


@pytest.mark.parametrize(("better", "worse"), [(0, 0), (1, 0), (5, 5), (8, 2), (2, 9), (40, 61), (900, 700)])
def test_the_test_of_groups_of_one_image_is_mcnemars(better, worse):
    signs = np.array([1] * better + [-1] * worse + [0] * 3)
    expected = binomtest(better, better + worse).pvalue if better + worse else 1
    assert significance.sign_flip_p_value(signs) == pytest.approx(expected, rel=1e-9)
    correct, baseline = (signs >= 0).astype(float), (signs <= 0).astype(float)
    each = np.arange(len(signs))
    grouped = significance.paired(correct, baseline, np.ones(len(signs)), each)
    alone = significance.paired(correct, baseline, np.ones(len(signs)))
    assert grouped.p_value == pytest.approx(alone.p_value, rel=1e-9)
    assert grouped.interval == alone.interval


def test_the_test_of_groups_counts_every_choice_of_signs():
    rng = np.random.default_rng(0)
    for _ in range(50):
        sums = rng.integers(-6, 7, rng.integers(1, 9))
        signs = np.array(np.meshgrid(*[[-1, 1]] * len(sums))).reshape(len(sums), -1)
        expected = (np.abs(sums @ signs) >= abs(sums.sum())).mean()
        assert significance.sign_flip_p_value(sums) == pytest.approx(expected)


def test_few_groups_cannot_show_a_difference():
    assert significance.sign_flip_p_value(np.array([30, 20, 10, 40, 50])) == pytest.approx(2 / 2**5)


def test_holm():
    assert significance.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert significance.holm([0.6, 0.9]) == [1, 1]
    assert significance.holm([0.02]) == [0.02]
    assert significance.holm([]) == []
