import numpy as np
import pytest

from kerastune_recipes.errors import DataError
from kerastune_recipes.heads.calibration import Calibration, Judge
from kerastune_recipes.heads.cross_validation import SAMPLE_IMAGES, Tried, cross_fitted, cut, search


def path(losses, whole=False):
    """Search a path of known losses; return the positions tried, in their order."""
    seen = []

    def attempt(at, start):
        seen.append(at)
        return Tried([], np.zeros((0, 2)), Calibration(1.0, np.zeros(2)), losses[at])

    search(attempt, len(losses), whole)
    return seen


def test_decades_first_then_what_is_beside_the_best():
    assert path([9, 8, 7, 6, 5, 4, 3, 2, 1]) == [3, 5, 7, 8]
    assert path([9, 8, 7, 6, 5, 4.5, 5, 6, 7]) == [3, 5, 7, 6]
    assert path([1, 2, 3, 4, 5]) == [1, 3, 2, 0]
    assert path([1]) == [0]


def test_towards_the_strong_end_where_weaker_ones_gain_nothing():
    assert path([4, 3, 2, 3, 4, 5, 6, 7, 8]) == [3, 5, 1, 2]
    assert path([1, 2, 3, 4, 5, 6, 7, 8, 9]) == [3, 5, 1, 2, 0]


def test_where_it_is_cheap_a_second_dip_is_found():
    losses = [9, 5, 6, 5.1, 6, 5.1, 4, 3, 4]
    assert path(losses) == [3, 5, 1, 2, 0]
    assert path(losses, whole=True) == [3, 5, 7, 1, 8, 6]


def test_a_fold_has_no_say_in_what_is_chosen_for_it():
    # Two candidates, each right in one fold: that of the other fold is taken, and is wrong.
    labels, fold = np.arange(40) % 2, np.repeat([0, 1], 20)
    right = 4.0 * np.eye(2)[labels]
    first, second = (np.where((fold == number)[:, None], right, 0) for number in (0, 1))
    found = cross_fitted([first, second], fold, Judge(labels, np.ones(40), offsets=False))
    np.testing.assert_allclose(found, 0.5)


@pytest.mark.parametrize("offsets", [False, True])
def test_a_fold_is_calibrated_by_the_others(offsets):
    random = np.random.default_rng(0)
    labels, fold = np.arange(3000) % 2, np.arange(3000) % 3
    raw = np.eye(2)[labels] + random.normal(size=(3000, 2))
    found = cross_fitted([100 * raw], fold, Judge(labels, np.ones(3000), offsets))
    np.testing.assert_allclose(found[:, 1], 1 / (1 + np.exp(raw[:, 0] - raw[:, 1])), atol=0.03)


def test_folds_are_stratified():
    labels = np.arange(30) % 3
    found = cut(labels, 5, seed=0)
    assert sorted(found.order) == list(range(30))
    for fold in range(5):
        np.testing.assert_array_equal(np.bincount(labels[found.order[found.fold == fold]]), [2, 2, 2])
    assert found.whole


def test_no_folds_leave_everything_in_place():
    found = cut(np.arange(30) % 3, 0, seed=0)
    np.testing.assert_array_equal(found.order, np.arange(30))
    assert found.whole


def test_the_first_fold_comes_last():
    fold = cut(np.arange(30) % 3, 5, seed=0).fold
    assert (fold[:24] > 0).all()
    assert (fold[24:] == 0).all()


def test_of_many_images_there_is_a_stratified_sample():
    labels = np.arange(9000) % 3
    found = cut(labels, 3, seed=0)
    assert found.sample.sum() == pytest.approx(SAMPLE_IMAGES, abs=9)
    assert not found.whole
    sampled = np.histogram2d(labels[found.order][found.sample], found.fold[found.sample], bins=3)[0]
    assert np.ptp(sampled) <= 2


def test_a_rare_class_is_in_every_fold_of_the_sample():
    labels = np.zeros(9000, int)
    labels[[5, 500, 5000]] = 1
    found = cut(labels, 3, seed=0)
    rare = labels[found.order] == 1
    assert found.sample[rare].all()
    assert sorted(found.fold[rare]) == [0, 1, 2]


@pytest.mark.parametrize("images", [60, 9000])
def test_a_group_stays_in_one_fold(images):
    labels = np.arange(images) % 3
    groups = np.arange(images) // 3 % 10
    found = cut(labels, 5, seed=0, groups=groups)
    assert all(len(set(found.fold[groups[found.order] == group])) == 1 for group in range(10))


@pytest.mark.filterwarnings("ignore:The least populated class")
def test_a_class_needs_two_folds():
    with pytest.raises(DataError, match="the classes numbered 1 fall into one fold.* needs images for two folds"):
        cut(np.array([0] * 9 + [1]), 3, seed=0)


def test_of_few_images_there_are_finer_folds_that_take_no_class_whole():
    labels = np.repeat(np.arange(3), [4, 11, 60])
    found = cut(labels, 3, seed=0)
    inside = np.histogram2d(labels[found.order], found.fine, bins=(3, 10))[0]
    assert (inside > 0).sum(axis=1).tolist() == [4, 10, 10]
    assert inside.sum(axis=0).tolist() == [8] * 5 + [7] * 5


@pytest.mark.parametrize(
    ("labels", "groups"),
    [
        (np.repeat(np.arange(3), [3, 40, 40]), None),
        (np.arange(4200) % 3, None),
        (np.arange(60) % 3, np.arange(60) // 2),
    ],
    ids=["tiny class", "many", "groups"],
)
def test_elsewhere_there_are_none(labels, groups):
    assert cut(labels, 3, seed=0, groups=groups).fine is None
