import numpy as np
import pytest

from kerastune_recipes.data.splits import stratified_folds, stratified_holdout
from kerastune_recipes.errors import DataError


def test_each_class_gives_its_share():
    labels = np.repeat([0, 1, 2], [100, 10, 5])
    kept, held = stratified_holdout(labels, fraction=0.2, seed=0)
    assert np.bincount(labels[held]).tolist() == [20, 2, 1]
    assert sorted([*kept, *held]) == list(range(115))


@pytest.mark.parametrize(("fraction", "held_out"), [(0.01, 1), (0.5, 2), (0.625, 3), (0.99, 3)])
def test_neither_part_goes_without_a_class(fraction, held_out):
    _, held = stratified_holdout(np.zeros(4, dtype=int), fraction, seed=0)
    assert len(held) == held_out


def test_rare_class_is_held_out_whatever_the_seed():
    labels = np.repeat([0, 1], [95, 2])
    for seed in range(20):
        _, held = stratified_holdout(labels, 0.2, seed)
        assert (labels[held] == 1).sum() == 1


def test_seed_decides():
    labels = np.repeat([0, 1], 50)
    first, again, other = (stratified_holdout(labels, 0.2, seed)[1].tolist() for seed in (0, 0, 1))
    assert first == again != other


def test_single_image_is_refused():
    with pytest.raises(DataError, match="labels with a single image: 7"):
        stratified_holdout(np.array([3, 3, 7]), 0.2, seed=0)


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 20])
def test_fraction_is_a_share(fraction):
    with pytest.raises(DataError, match="between 0 and 1"):
        stratified_holdout(np.array([0, 0]), fraction, seed=0)


def owners(groups: np.ndarray, images: np.ndarray) -> set[int]:
    return set(groups[images].tolist())


def test_groups_are_held_out_whole_and_each_class_gives_its_share():
    labels, groups = np.tile([0, 1], 50), np.arange(100) // 10
    kept, held = stratified_holdout(labels, 0.2, seed=0, groups=groups)
    assert not owners(groups, kept) & owners(groups, held)
    assert np.bincount(labels[held]).tolist() == [10, 10]
    assert sorted([*kept, *held]) == list(range(100))


@pytest.mark.parametrize("seed", range(5))
def test_groups_of_one_class_each_are_held_out_class_by_class(seed):
    """Two colonies of ants, two hives of bees, of different size: half of each class is the least there is."""
    labels, groups = np.repeat([0, 0, 1, 1], [3, 5, 4, 8]), np.repeat([10, 11, 12, 13], [3, 5, 4, 8])
    kept, held = stratified_holdout(labels, 0.2, seed, groups)
    assert len(owners(groups, kept) & {10, 11}) == len(owners(groups, kept) & {12, 13}) == 1
    assert owners(groups, held) == {10, 11, 12, 13} - owners(groups, kept)


def test_seed_decides_which_of_equal_groups_are_held_out():
    labels, groups = np.tile([0, 1], 50), np.arange(100) // 5
    first, again, other = (stratified_holdout(labels, 0.2, seed, groups)[1].tolist() for seed in (0, 0, 1))
    assert first == again != other


def test_groups_that_tie_the_classes_together_are_refused():
    # Whichever group of each class is held out, another class loses its last.
    labels, groups = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 1, 2, 2, 0])
    with pytest.raises(DataError, match="no way to hold out images of every class"):
        stratified_holdout(labels, 0.2, 0, groups)


def test_folds_have_their_share_of_each_class():
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


@pytest.mark.parametrize(
    ("folds", "groups", "problem"),
    [
        (1, None, r"images cannot be divided into 1 folds; ask for at least 2\."),
        (4, None, r'there are 4 folds, and the smallest class, "bees", has 3 images; ask for no more folds than that'),
        (3, [0, 0, 0, 0, 1, 1, 0, 1], r"there are 3 folds and 2 groups, which are not divided; ask for fewer folds\."),
        (2, [0, 0, 1, 1, 1, 2, 2, 2], r"one of 2 folds takes all images of these classes: bees; add images of other"),
    ],
)
def test_folds_that_cannot_be(folds, groups, problem):
    labels = np.repeat([0, 1], [5, 3])
    with pytest.raises(DataError, match=problem):
        stratified_folds(labels, folds, 0, None if groups is None else np.array(groups), ("ants", "bees"))
