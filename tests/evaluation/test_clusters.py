"""How many independent images groups of images are worth, on numbers that can be worked out by hand."""

import numpy as np
import pytest
from scipy.stats import t

from kerastune_recipes.evaluation import clusters
from kerastune_recipes.evaluation.clusters import effective_images

# Six groups of four images; 0.5 is the mean of the values.
GROUPS = np.repeat(np.arange(6), 4)
ALIKE = np.repeat([1.0, 0, 1, 0, 1, 0], 4)
MIXED = np.tile([1.0, 0, 1, 0], 6)
# Groups with 4, 4, 3, 1, 0 and 0 images of value 1.
PARTLY = np.array([1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], float)


def few_groups(images: int, groups: int) -> float:
    """Return the factor of Korn and Graubard."""
    return (t.ppf(0.975, images - 1) / t.ppf(0.975, groups - 1)) ** 2


def test_without_groups_it_is_kishs_number_of_the_weights():
    assert effective_images(PARTLY, None) == 24
    assert effective_images(np.array([1, 0, 1]), None, np.array([2, 2, 2])) == 3
    assert effective_images(np.array([1, 0]), None, np.array([3, 1])) == 16 / 10


def test_groups_of_one_image_are_no_groups():
    weights = np.linspace(1, 3, 24)
    for symmetric in (False, True):
        assert effective_images(PARTLY, np.arange(24)[::-1], weights, symmetric) == clusters.kish(weights)


def test_a_group_of_images_that_are_all_alike_is_worth_one_image():
    assert effective_images(ALIKE, GROUPS) == pytest.approx(6)
    assert clusters.robust_design_effect(ALIKE, GROUPS, np.ones(24)) == pytest.approx(4 * (6 / 5) / (24 / 23))
    assert clusters.intraclass_correlation(ALIKE, GROUPS) == 1


def test_where_groups_say_nothing_about_their_images_only_their_number_counts():
    assert clusters.robust_design_effect(MIXED, GROUPS, np.ones(24)) == 0
    assert clusters.intraclass_correlation(MIXED, GROUPS) == 0
    assert effective_images(MIXED, GROUPS) == pytest.approx(24 * few_groups(24, 6))
    assert effective_images(MIXED, GROUPS, symmetric=True) == 24


def test_the_intraclass_correlation_is_that_of_an_analysis_of_variance():
    """Group means 1, 1, 3/4, 1/4, 0 and 0 about 1/2; within two groups three images differ from one."""
    between = 4 * (4 * 0.5**2 + 2 * 0.25**2) / 5
    within = 2 * (1 - 0.75) * 0.75 * 4 / 18
    expected = (between - within) / (between + 3 * within)
    assert clusters.intraclass_correlation(PARTLY, GROUPS) == pytest.approx(expected)


def test_the_robust_design_effect_compares_sums_over_groups_with_images():
    """Sums of 2, 2, 1, -1, -2 and -2 about the mean of 0.5; the squares of the images add up to 24 quarters."""
    expected = (6 / 5 * (4 * 2**2 + 2 * 1)) / (24 / 23 * 24 / 4)
    assert clusters.robust_design_effect(PARTLY, GROUPS, np.ones(24)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("robust", "correlation", "effect", "of_symmetric"), [(1.5, 0.5, 2.5, 1.5), (2.8, 0.5, 2.8, 2.8), (0.4, 0, 1, 0.4)]
)
def test_the_larger_of_two_design_effects_counts(monkeypatch, robust, correlation, effect, of_symmetric):
    """A group of four with a correlation of a half has a design effect of 1 + 3/2."""
    monkeypatch.setattr(clusters, "robust_design_effect", lambda *_: robust)
    monkeypatch.setattr(clusters, "intraclass_correlation", lambda *_: correlation)
    values, groups = np.tile(PARTLY, 10), np.repeat(np.arange(60), 4)
    few = few_groups(240, 60)
    assert effective_images(values, groups) == pytest.approx(240 * few / effect)
    assert effective_images(values, groups, symmetric=True) == pytest.approx(min(240, 240 * few / of_symmetric))


def test_the_variance_follows_large_groups_that_differ_from_small_ones():
    """Twenty pairs are right, one group of twenty is wrong: it decides the mean."""
    values = np.array([1.0] * 40 + [0] * 20)
    groups = np.concatenate([np.repeat(np.arange(20), 2), np.full(20, 20)])
    independent = 60**2 / (20 * 2**2 + 20**2)
    assert effective_images(values, groups) == pytest.approx(independent)


@pytest.mark.parametrize("value", [0.0, 0.1, 1.0])
def test_equal_values_are_worth_their_groups(value):
    assert effective_images(np.full(24, value), GROUPS) == 6
    assert effective_images(np.full(24, value), np.repeat([0, 1], [20, 4])) == pytest.approx(24**2 / (20**2 + 4**2))


def test_weights_of_groups_are_those_of_their_images():
    weights = np.repeat([3.0, 1, 1, 1, 1, 1], 4)
    assert effective_images(np.ones(24), GROUPS, weights) == pytest.approx(8**2 / (9 + 5))
    assert effective_images(ALIKE, GROUPS, weights) == pytest.approx(8**2 / (9 + 5))
    assert effective_images(PARTLY, GROUPS, 5 * weights) == pytest.approx(effective_images(PARTLY, GROUPS, weights))


def test_one_group_is_worth_one_image():
    assert effective_images(np.array([1, 0, 1, 0]), np.zeros(4, int)) == 1
    assert effective_images(np.array([1.0]), np.array([7])) == 1


def test_numbers_of_groups_have_no_meaning():
    renamed = np.array([50, -3, 7, 0, 12, 9])[GROUPS]
    order = np.random.default_rng(0).permutation(24)
    assert effective_images(PARTLY[order], renamed[order]) == pytest.approx(effective_images(PARTLY, GROUPS))


@pytest.mark.parametrize("symmetric", [False, True])
def test_it_lies_between_the_numbers_of_groups_and_of_images(symmetric):
    rng = np.random.default_rng(0)
    for _ in range(200):
        groups = rng.integers(0, rng.integers(1, 20), 30)
        weights = rng.uniform(0.2, 3, 30)
        values = rng.normal(size=30) + 2 * rng.normal(size=20)[groups] * rng.integers(0, 2)
        found = effective_images(values, groups, weights, symmetric)
        of_groups = clusters.kish(np.bincount(np.unique(groups, return_inverse=True)[1], weights))
        assert of_groups * (1 - 1e-12) <= found <= clusters.kish(weights) * (1 + 1e-12)
