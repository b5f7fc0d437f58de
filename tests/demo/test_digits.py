"""The digits of scikit-learn as a data set."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from kerastune_recipes.demo.digits import CLASS_NAMES, digits
from kerastune_recipes.errors import DataError


def test_ten_training_images_of_each_digit_and_all_others_for_testing():
    data = digits()
    (x, y), (x_test, y_test) = data["train"], data["test"]
    assert (x.shape, x.dtype) == ((100, 32, 32, 3), np.uint8)
    assert (x_test.shape, y_test.dtype) == ((1697, 32, 32, 3), np.int64)
    assert np.bincount(y).tolist() == [10] * len(CLASS_NAMES)


def test_every_image_is_either_for_training_or_testing():
    (_, y), (_, y_test) = digits(train_per_class=150).values()
    assert np.array_equal(np.bincount(np.concatenate([y, y_test])), np.bincount(load_digits().target))


def test_the_seed_decides_which_images_are_for_training():
    first, again, other = (digits(seed=seed)["train"] for seed in (3, 3, 4))
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0])


def test_strokes_are_bright_on_black_with_equal_channels():
    x, _ = digits()["train"]
    assert (x.min(), x.max()) == (0, 255)
    assert np.median(x[:, :, 0]) == 0
    assert np.array_equal(x[..., 0], x[..., 2])


@pytest.mark.parametrize("train_per_class", [0, 151, 2.5, "ten"])
def test_an_impossible_number_of_images_is_refused(train_per_class):
    with pytest.raises(DataError, match=r"train_per_class must be an integer in 1\.\.150; received"):
        digits(train_per_class)
