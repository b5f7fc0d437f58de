from dataclasses import replace

import numpy as np
import pytest

from kerastune_recipes.data.dataset import Pictures
from kerastune_recipes.data.split_images import TEST, TRAIN, UNLABELED, VALIDATION, Images, split_in_words

PIXELS = np.arange(4, dtype=np.uint8).repeat(12).reshape(4, 2, 2, 3)


def read(index: int, at_least: int | None = None) -> np.ndarray:
    return PIXELS[index]


PICTURES = Pictures(read, [f"image {index}" for index in range(4)], np.full((4, 2), 2))
SAMPLES = replace(PICTURES.labelled(np.array([0, 1, 1, 0]), ["a", "b"]), groups=np.array([5, 5, 6, 7]))


@pytest.mark.parametrize(
    ("split", "words"),
    [
        (TRAIN, "training images"),
        (VALIDATION, "validation images"),
        (TEST, "test images"),
        (UNLABELED, "unlabeled images"),
    ],
)
def test_splits_have_names_for_people(split, words):
    assert split_in_words(split) == words


@pytest.mark.parametrize("pixels", [None, PIXELS])
def test_selected_images_keep_labels_groups_and_pixels(pixels):
    chosen = Images(SAMPLES, pixels).select(np.array([3, 1]))
    assert (chosen.labels.tolist(), chosen.groups.tolist()) == ([0, 1], [7, 5])
    assert chosen.samples.names == ["image 3", "image 1"]
    assert chosen.names == ("image 3", "image 1")
    if pixels is None:
        assert chosen.pixels is None
    else:
        np.testing.assert_array_equal(chosen.pixels[:], PIXELS[[3, 1]])


@pytest.mark.parametrize("pixels", [None, PIXELS])
def test_joined_images_follow_each_other(pixels):
    images = Images(SAMPLES, pixels)
    joined = images.select(np.array([2])).joined(images)
    assert (joined.labels.tolist(), joined.groups.tolist()) == ([1, 0, 1, 1, 0], [6, 5, 5, 6, 7])
    if pixels is None:
        assert joined.pixels is None
    else:
        np.testing.assert_array_equal(joined.pixels[:], PIXELS[[2, 0, 1, 2, 3]])


def test_unlabelled_images_have_no_groups():
    assert Images(PICTURES).groups is None
