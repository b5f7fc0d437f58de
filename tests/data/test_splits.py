import numpy as np
import pytest
from sklearn.model_selection import StratifiedKFold

from kerastune_recipes.data.splits import (
    NEVER_HELD_OUT,
    dealt_folds,
    folds_where_possible,
    share_problems,
    share_to_hold_out,
    stratified_folds,
    stratified_holdout,
)
from kerastune_recipes.errors import DataError


def test_the_same_fraction_of_each_class_is_held_out():
    labels = np.repeat([0, 1, 2], [100, 10, 5])
    kept, held = stratified_holdout(labels, fraction=0.2, seed=0)
    assert np.bincount(labels[held]).tolist() == [20, 2, 1]
    assert sorted([*kept, *held]) == list(range(115))


@pytest.mark.parametrize(("fraction", "held_out"), [(0.01, 1), (0.5, 2), (0.625, 3), (0.99, 3)])
def test_both_parts_have_images_of_each_class(fraction, held_out):
    _, held = stratified_holdout(np.zeros(4, dtype=int), fraction, seed=0)
    assert len(held) == held_out


def test_a_rare_class_is_held_out_for_every_seed():
    labels = np.repeat([0, 1], [95, 2])
    for seed in range(20):
        _, held = stratified_holdout(labels, 0.2, seed)
        assert (labels[held] == 1).sum() == 1


def test_the_seed_decides_the_split():
    labels = np.repeat([0, 1], 50)
    first, again, other = (stratified_holdout(labels, 0.2, seed)[1].tolist() for seed in (0, 0, 1))
    assert first == again != other


def test_single_image_is_refused():
    with pytest.raises(DataError, match="labels with a single image: 7"):
        stratified_holdout(np.array([3, 3, 7]), 0.2, seed=0)


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 20])
def test_fraction_must_be_between_0_and_1(fraction):
    with pytest.raises(DataError, match="between 0 and 1"):
        stratified_holdout(np.array([0, 0]), fraction, seed=0)


def groups_of(groups: np.ndarray, images: np.ndarray) -> set[int]:
    return set(groups[images].tolist())


def test_whole_groups_are_held_out_and_the_split_is_stratified():
    labels, groups = np.tile([0, 1], 50), np.arange(100) // 10
    kept, held = stratified_holdout(labels, 0.2, seed=0, groups=groups)
    assert not groups_of(groups, kept) & groups_of(groups, held)
    assert np.bincount(labels[held]).tolist() == [10, 10]
    assert sorted([*kept, *held]) == list(range(100))


@pytest.mark.parametrize("seed", range(5))
def test_groups_of_one_class_each_are_held_out_class_by_class(seed):
    """Two groups of each class, of different sizes: one group of each class is the least that can be held out."""
    labels, groups = np.repeat([0, 0, 1, 1], [3, 5, 4, 8]), np.repeat([10, 11, 12, 13], [3, 5, 4, 8])
    kept, held = stratified_holdout(labels, 0.2, seed, groups)
    assert len(groups_of(groups, kept) & {10, 11}) == len(groups_of(groups, kept) & {12, 13}) == 1
    assert groups_of(groups, held) == {10, 11, 12, 13} - groups_of(groups, kept)


def test_seed_decides_which_of_equal_groups_are_held_out():
    labels, groups = np.tile([0, 1], 50), np.arange(100) // 5
    first, again, other = (stratified_holdout(labels, 0.2, seed, groups)[1].tolist() for seed in (0, 0, 1))
    assert first == again != other


def test_groups_that_leave_no_stratified_split_are_refused():
    # Any one group lacks a class, and any two hold all images of one.
    labels, groups = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 1, 2, 2, 0])
    with pytest.raises(DataError, match="no choice of groups to hold out leaves images of every class"):
        stratified_holdout(labels, 0.2, 0, groups)


def test_folds_are_stratified():
    labels = np.repeat([0, 1], [30, 12])
    folds = stratified_folds(labels, 3, seed=0)
    assert folds.dtype == np.int64
    for fold in range(3):
        assert np.bincount(labels[folds == fold]).tolist() == [10, 4]


def test_folds_keep_groups_whole():
    labels, groups = np.tile([0, 1], 30), np.arange(60) // 4
    folds = stratified_folds(labels, 5, seed=0, groups=groups)
    assert np.bincount(folds).tolist() == [12] * 5
    assert all(len(set(folds[groups == group])) == 1 for group in range(15))


@pytest.mark.parametrize("groups", [None, np.arange(60) // 4])
def test_seed_decides_the_folds(groups):
    labels = np.tile([0, 1], 30)
    first, again, other = (stratified_folds(labels, 5, seed, groups).tolist() for seed in (0, 0, 1))
    assert first == again != other


def test_folds_of_images_are_those_of_scikit_learn():
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [30, 12, 7]))
    ours = stratified_folds(labels, 5, seed=3)
    theirs = StratifiedKFold(5, shuffle=True, random_state=3).split(labels, labels)
    for fold, (_, held) in enumerate(theirs):
        assert np.flatnonzero(ours == fold).tolist() == held.tolist()


def test_grouped_folds_are_stratified_for_every_seed():
    """Five large groups of one class, 50 small ones of another: every fold can have a fifth of each class.

    With shuffle=True, StratifiedGroupKFold assigned the folds to other groups than it had counted, until
    scikit-learn#32540 was fixed: here some folds had no image of the first class, and others three fifths of it.
    scikit-learn 1.9.1 has the fix; this package also runs with versions that lack it.
    """
    sizes = np.repeat([20, 2], [5, 50])
    labels, groups = np.repeat(np.repeat([0, 1], [5, 50]), sizes), np.repeat(np.arange(55), sizes)
    for seed in range(10):
        folds = stratified_folds(labels, 5, seed, groups)
        assert [np.bincount(labels[folds == fold], minlength=2).tolist() for fold in range(5)] == [[20, 20]] * 5


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("groups", [None, np.arange(12)])
def test_a_class_may_have_fewer_images_than_folds(groups):
    labels = np.repeat([0, 1], [10, 2])
    folds = stratified_folds(labels, 5, seed=0, groups=groups)
    assert np.bincount(folds[labels == 0]).tolist() == [2] * 5
    assert len(set(folds[labels == 1])) == 2


@pytest.mark.parametrize(
    ("folds", "groups", "problem"),
    [
        (1, None, r"images cannot be split into 1 folds; ask for at least 2\."),
        (6, None, r"there are 6 folds, but even the largest class has only 5 images; ask for fewer folds"),
        (3, [0, 0, 0, 0, 1, 1, 0, 1], r"there are 3 folds but only 2 groups, which stay whole; ask for fewer folds\."),
        (
            2,
            [0, 0, 1, 1, 1, 2, 2, 2],
            r"2 folds: all images of these classes fall into one fold, .*: bees; add images of other groups",
        ),
    ],
)
def test_impossible_folds_are_refused(folds, groups, problem):
    labels = np.repeat([0, 1], [5, 3])
    with pytest.raises(DataError, match=problem):
        stratified_folds(labels, folds, 0, None if groups is None else np.array(groups), ("ants", "bees"))


def test_a_class_with_a_single_image_has_no_folds():
    with pytest.raises(DataError, match="all images of these classes fall into one fold.*: 1; add images, or ask"):
        stratified_folds(np.array([0] * 9 + [1]), folds=3, seed=0)


@pytest.mark.parametrize("groups", [None, np.arange(60) // 3])
def test_folds_where_possible_are_the_usual_ones_where_no_class_is_rare(groups):
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], 20))
    np.testing.assert_array_equal(folds_where_possible(labels, 4, 1, groups), stratified_folds(labels, 4, 1, groups))


def test_a_class_of_one_group_is_always_trained_on_with_all_images_of_that_group():
    labels = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1])
    groups = np.array([0, 0, 1, 1, 2, 3, 3, 3, 3])
    fold = folds_where_possible(labels, 3, 0, groups)
    assert (fold[groups == 3] == NEVER_HELD_OUT).all()
    assert sorted(set(fold[groups != 3])) == [0, 1, 2]
    assert all(len(set(fold[groups == group])) == 1 for group in range(4))


def test_there_are_no_more_folds_than_groups():
    labels, groups = np.tile([0, 1], 10), np.repeat([0, 1], 10)
    assert sorted(set(folds_where_possible(labels, 5, 0, groups))) == [0, 1]


@pytest.mark.parametrize("seed", range(20))
def test_every_training_part_has_every_class_however_the_groups_fall(seed):
    random = np.random.default_rng(seed)
    labels, groups = random.integers(0, 4, 30), random.integers(0, 7, 30)
    fold = folds_where_possible(labels, 3, seed, groups)
    for number in range(fold.max() + 1):
        assert set(labels[fold != number]) == set(labels)
        assert (fold == number).any()
        assert not set(groups[fold == number]) & set(groups[fold != number])


def test_images_are_dealt_out_class_by_class_and_groups_whole():
    fold = dealt_folds(np.repeat([0, 1, 2], [4, 11, 60]), 10, seed=0)
    assert np.bincount(fold).tolist() == [8] * 5 + [7] * 5
    groups = np.arange(40) // 4
    of_groups = dealt_folds(np.repeat([0, 1], 20), 5, 0, groups)
    assert np.bincount(of_groups).tolist() == [8] * 5
    assert all(len(set(of_groups[groups == group])) == 1 for group in range(10))


@pytest.mark.parametrize(
    ("units", "classes", "share"),
    [
        (1, 2, 0.2),
        (300, 2, 0.2),
        (50_000, 10, 0.2),
        (100_000, 10, 0.1),
        (1_281_167, 1000, 10_000 / 1_281_167),
        (1_000_000, 5_000, 0.05),
    ],
)
def test_a_smaller_share_of_very_many_images_is_held_out(units, classes, share):
    assert share_to_hold_out(units, classes) == pytest.approx(share)


@pytest.mark.parametrize(("share", "right"), [("auto", 1), (0.1, 1), (0, 0), (1, 0), ("most", 0), (True, 0), (None, 0)])
def test_a_share_is_auto_or_between_0_and_1(share, right):
    assert bool(share_problems(share)) != right


def test_a_small_share_of_many_groups_is_held_out_within_seconds():
    random = np.random.default_rng(0)
    groups = random.integers(0, 400, 4000)
    labels = random.integers(0, 3, 4000)
    kept, held = stratified_holdout(labels, 0.01, seed=0, groups=groups)
    assert not set(groups[kept]) & set(groups[held])
    assert 20 <= len(held) <= 80
