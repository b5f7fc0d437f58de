"""Dark images and images that are all the same are found by decoding a few, mostly two."""

import numpy as np
import pytest

from kerastune_recipes.data.dataset import Pictures
from kerastune_recipes.data.first_look import MOST_LOOKED_AT, alike, darkness
from kerastune_recipes.data.pixel_range import PixelRange
from kerastune_recipes.errors import DataError


class Counted:
    """Images that count how often they are read; None cannot be read."""

    def __init__(self, images):
        self.images = images
        self.reads = 0

    def __call__(self, index, at_least=None):
        self.reads += 1
        if self.images[index] is None:
            raise DataError(f"{index}: torn.")
        return self.images[index]


def pictures(images, deep=None):
    read = Counted(images)
    names = [f"image {index}" for index in range(len(images))]
    return Pictures(read, names, np.full((len(images), 2), 4), deep=deep), read


def gray(*values):
    return [np.full((4, 4, 3), value, np.uint8) for value in values]


def test_a_bright_image_ends_the_search():
    images, read = pictures(gray(*[200] * 50))
    assert darkness(images) == ([], [])
    assert read.reads == 1


def test_dark_images_are_told_with_what_was_read():
    problems, (warning,) = darkness(pictures(gray(1, 16, 3))[0])
    assert problems == []
    assert warning == (
        "all images are darker than a quarter of the range; they were read with 255 as white: the brightest value is "
        "16; if other values are black and white, state them, such as pixel_range=(0, 16) (--pixel-range 0 16)."
    )


@pytest.mark.parametrize(("value", "told"), [(63, 1), (64, 0)])
def test_a_quarter_of_the_range_is_the_limit(value, told):
    assert len(darkness(pictures(gray(0, value))[0])[1]) == told


def test_deep_images_are_judged_apart():
    images, _ = pictures(gray(200, 16, 200, 16), deep=np.array([False, True, False, True]))
    _, (warning,) = darkness(images)
    assert warning.startswith("all 16-bit images are darker than a quarter of the range; they were read with 65535 as ")
    assert "the brightest value is about 4112" in warning
    assert "pixel_range=(0, 4095)" in warning


def test_at_most_some_images_are_looked_at():
    images, read = pictures(gray(3) * (MOST_LOOKED_AT + 5))
    assert darkness(images)[1]
    assert read.reads == MOST_LOOKED_AT


def test_a_stated_range_is_doubted_only_where_it_makes_images_black():
    assert darkness(pictures(gray(16, 20))[0], PixelRange(0, 4095)) == ([], [])
    (problem,), warnings = darkness(pictures(gray(0, 1))[0], PixelRange(0, 65535))
    assert warnings == []
    assert problem.startswith("all images are black: no value is above a 255th of the stated range 0..65535;")


def test_images_that_cannot_be_read_are_left_to_the_run():
    assert darkness(pictures([None, None])[0]) == ([], [])
    assert len(darkness(pictures([None, *gray(3)])[0])[1]) == 1
    assert alike(pictures([None, *gray(3)])[0]) == []
    assert alike(pictures([*gray(3), None])[0]) == []


def test_two_different_images_end_the_search():
    images, read = pictures(gray(3, 4, *[3] * 50))
    assert alike(images) == []
    assert read.reads == 2


def test_images_that_are_all_the_same_are_refused():
    noise = np.random.default_rng(0).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    assert alike(pictures([noise] * 5)[0]) == [
        "all training images are the same, so there is nothing to learn; give images that differ."
    ]
    assert alike(pictures([noise, noise[:3]])[0]) == []


def test_images_of_one_colour_are_the_same_in_any_size():
    white = [np.full((4 + size, 4, 3), 255, np.uint8) for size in range(3)]
    assert alike(pictures(white)[0]) == [
        "all training images are of the same colour, (255, 255, 255) (transparent pixels are shown on white), so there "
        "is nothing to learn; give images that differ."
    ]


def test_a_single_image_is_not_called_alike():
    assert alike(pictures(gray(3))[0]) == []
    assert alike(pictures([])[0]) == []
    assert darkness(pictures([])[0]) == ([], [])
