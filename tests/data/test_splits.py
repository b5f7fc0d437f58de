import numpy as np
import pytest

from kerastune_recipes.data.splits import stratified_holdout
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
