"""The digits that come with scikit-learn, as a data set."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from kerastune_recipes.demo.digits import CLASS_NAMES, digits
from kerastune_recipes.errors import DataError


def test_ten_images_of_each_digit_to_train_on_and_all_others_to_test_with():
    data = digits()
    (x, y), (x_test, y_test) = data["train"], data["test"]
    assert (x.shape, x.dtype) == ((100, 32, 32, 3), np.uint8)
    assert (x_test.shape, y_test.dtype) == ((1697, 32, 32, 3), np.int64)
    assert np.bincount(y).tolist() == [10] * len(CLASS_NAMES)


def test_train_and_test_together_are_every_image_once():
    (_, y), (_, y_test) = digits(train_per_class=150).values()
    assert np.array_equal(np.bincount(np.concatenate([y, y_test])), np.bincount(load_digits().target))


def test_the_seed_decides_which_images_are_trained_on():
    first, again, other = (digits(seed=seed)["train"] for seed in (3, 3, 4))
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0])


def test_strokes_are_bright_on_black_and_the_channels_equal():
    x, _ = digits()["train"]
    assert (x.min(), x.max()) == (0, 255)
    assert np.median(x[:, :, 0]) == 0
    assert np.array_equal(x[..., 0], x[..., 2])


@pytest.mark.parametrize("train_per_class", [0, 151, 2.5, "ten"])
def test_a_number_of_images_that_cannot_be_had_is_refused(train_per_class):
    with pytest.raises(DataError, match=r"train_per_class must be a whole number of 1\.\.150; received"):
        digits(train_per_class)
