"""Folds, the search along the strengths, and held-out probabilities."""

import numpy as np
import pytest

from kerastune_recipes.data.splits import NEVER_HELD_OUT
from kerastune_recipes.heads.calibration import Calibration, Calibrator
from kerastune_recipes.heads.cross_validation import (
    SAMPLE_IMAGES,
    StrengthResult,
    cross_fit,
    make_folds,
    search,
    stratified_sample,
)


def path(losses, exhaustive=False):
    """Search among known losses; return the positions evaluated, in order."""
    evaluated = []

    def evaluate(at, nearby):
        evaluated.append(at)
        return StrengthResult([], np.zeros((0, 2)), Calibration(1.0, np.zeros(2)), losses[at])

    search(evaluate, len(losses), exhaustive)
    return evaluated


def test_every_second_candidate_is_tried_first_then_one_beside_the_best():
    assert path([9, 8, 7, 6, 5, 4, 3, 2, 1]) == [3, 5, 7, 8]
    assert path([9, 8, 7, 6, 5, 4.5, 5, 6, 7]) == [3, 5, 7, 6]
    assert path([1, 2, 3, 4, 5]) == [1, 3, 2, 0]
    assert path([1]) == [0]


def test_stronger_candidates_are_tried_where_weaker_ones_gain_nothing():
    assert path([4, 3, 2, 3, 4, 5, 6, 7, 8]) == [3, 5, 1, 2]
    assert path([1, 2, 3, 4, 5, 6, 7, 8, 9]) == [3, 5, 1, 2, 0]


def test_an_exhaustive_search_finds_a_second_minimum():
    losses = [9, 5, 6, 5.1, 6, 5.1, 4, 3, 4]
    assert path(losses) == [3, 5, 1, 2, 0]
    assert path(losses, exhaustive=True) == [3, 5, 7, 1, 8, 6]


def test_a_fold_does_not_influence_the_candidate_chosen_for_it():
    # Two candidates, each correct in one fold only: the other fold chooses the wrong one.
    labels, fold = np.arange(40) % 2, np.repeat([0, 1], 20)
    correct = 4.0 * np.eye(2)[labels]
    first, second = (np.where((fold == number)[:, None], correct, 0) for number in (0, 1))
    found = cross_fit([first, second], fold, Calibrator(labels, np.ones(40), offsets=False))
    np.testing.assert_allclose(found, 0.5)


@pytest.mark.parametrize("offsets", [False, True])
def test_a_fold_is_calibrated_on_the_others(offsets):
    random = np.random.default_rng(0)
    labels, fold = np.arange(3000) % 2, np.arange(3000) % 3
    raw = np.eye(2)[labels] + random.normal(size=(3000, 2))
    found = cross_fit([100 * raw], fold, Calibrator(labels, np.ones(3000), offsets))
    np.testing.assert_allclose(found[:, 1], 1 / (1 + np.exp(raw[:, 0] - raw[:, 1])), atol=0.03)


def test_folds_are_stratified():
    labels = np.arange(30) % 3
    found = make_folds(labels, 5, seed=0)
    assert sorted(found.order) == list(range(30))
    for fold in range(5):
        np.testing.assert_array_equal(np.bincount(labels[found.order[found.fold == fold]]), [2, 2, 2])
    assert found.samples_all


def test_there_are_no_folds_where_none_are_asked_for_or_no_class_can_be_divided():
    assert make_folds(np.arange(30) % 3, 0, seed=0) is None
    assert make_folds(np.arange(30), 5, seed=0) is None


def test_the_first_fold_comes_last():
    fold = make_folds(np.arange(30) % 3, 5, seed=0).fold
    assert (fold[:24] > 0).all()
    assert (fold[24:] == 0).all()


def test_many_images_are_sampled_by_class_and_fold():
    labels = np.arange(9000) % 3
    found = make_folds(labels, 3, seed=0)
    assert found.sample.sum() == pytest.approx(SAMPLE_IMAGES, abs=9)
    assert not found.samples_all
    sampled = np.histogram2d(labels[found.order][found.sample], found.fold[found.sample], bins=3)[0]
    assert np.ptp(sampled) <= 2


def test_a_rare_class_is_in_every_fold_of_the_sample():
    labels = np.zeros(9000, int)
    labels[[5, 500, 5000]] = 1
    found = make_folds(labels, 3, seed=0)
    rare = labels[found.order] == 1
    assert found.sample[rare].all()
    assert sorted(found.fold[rare]) == [0, 1, 2]


@pytest.mark.parametrize("images", [60, 9000])
def test_a_group_stays_in_one_fold(images):
    labels = np.arange(images) % 3
    groups = np.arange(images) // 3 % 10
    found = make_folds(labels, 5, seed=0, groups=groups)
    assert all(len(set(found.fold[groups[found.order] == group])) == 1 for group in range(10))


def test_a_single_image_of_a_class_is_always_in_training():
    labels = np.array([0] * 9 + [1] + [2] * 20)
    found = make_folds(labels, 3, seed=0)
    assert (found.fold[labels[found.order] == 1] == NEVER_HELD_OUT).all()
    assert np.bincount(found.fold[labels[found.order] != 1]).max() <= 10
    assert (found.fine[labels[found.order] == 1] == NEVER_HELD_OUT).all()
    assert (found.fold[found.last :] == 0).all()
    assert (found.fold[: found.last] != 0).all()


def test_fine_folds_never_contain_a_whole_class():
    labels = np.repeat(np.arange(3), [4, 11, 60])
    found = make_folds(labels, 3, seed=0)
    inside = np.histogram2d(labels[found.order], found.fine, bins=(3, 10))[0]
    assert (inside > 0).sum(axis=1).tolist() == [4, 10, 10]
    assert inside.sum(axis=0).tolist() == [8] * 5 + [7] * 5


@pytest.mark.parametrize(
    ("labels", "groups"),
    [
        (np.repeat(np.arange(10), 3), None),
        (np.arange(4200) % 3, None),
        (np.arange(60) % 3, np.arange(60) // 2),
    ],
    ids=["tiny classes", "many", "groups"],
)
def test_there_are_no_fine_folds_for_tiny_classes_many_images_or_groups(labels, groups):
    assert make_folds(labels, 3, seed=0, groups=groups).fine is None


def test_a_sample_keeps_the_shares_of_the_strata_and_one_image_of_each():
    strata = np.repeat(np.arange(3), [600, 300, 1])
    sample = stratified_sample(strata, 90, seed=0)
    counts = np.bincount(strata[sample])
    np.testing.assert_allclose(counts[:2], [60, 30], atol=1)
    assert counts[2] == 1
    assert stratified_sample(strata, 901, seed=0).all()
