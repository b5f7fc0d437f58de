import numpy as np
import pytest

from kerastune_recipes.errors import DataError
from kerastune_recipes.heads.folds import SAMPLE_IMAGES, cut


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
