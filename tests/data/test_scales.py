"""Each image is judged by its own values; what is doubtful is told with its positions."""

from dataclasses import replace

import numpy as np
import pytest

from kerastune_recipes.data import scales
from kerastune_recipes.data.pixel_range import PixelRange
from kerastune_recipes.data.scales import Extremes

X = np.random.default_rng(0).integers(0, 256, (8, 6, 6, 3))
X[:, 0, 0], X[:, 0, 1] = 0, 255


def judged(x, pixel_range=None):
    extremes = Extremes.of(np.asarray(x))
    return scales.problems(extremes, pixel_range) or scales.warnings(extremes, pixel_range)


def replaced(change, indices=(1, 4)):
    x = X.astype(np.float64)
    x[list(indices)] = change(x[list(indices)])
    return x


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int64", "float32"])
def test_raw_pixels_are_right(dtype):
    assert judged(X.astype(dtype)) == []


def test_a_mix_of_fractions_and_raw_pixels_is_refused_with_the_positions():
    assert judged(replaced(lambda x: x / 255)) == [
        "images of two scales: no value is above 1 in image 1, image 4, and others go up to 255; multiply those by "
        "255, or, if they are nearly black, state pixel_range=(0, 255) (--pixel-range 0 255): the recipe preprocesses "
        "images for its backbone."
    ]


def test_nearly_black_images_are_accepted_where_the_range_is_stated():
    assert judged(replaced(lambda x: x / 255), PixelRange(0, 255)) == []


def test_a_mix_with_images_from_minus_one_to_one_is_refused_with_the_positions():
    assert judged(replaced(lambda x: x / 127.5 - 1)) == [
        "images with values outside 0..255 (from -1 to 255): image 1, image 4; undo the scaling of these images, for "
        "instance (x + 1) * 127.5: the recipe preprocesses images for its backbone."
    ]


@pytest.mark.parametrize("top", [2, 16])
def test_several_nearly_black_images_among_others_are_told(top):
    assert judged(replaced(lambda x: x * top / 255)) == [
        f"2 of 8 images have no value above {top}, others go up to 255: image 1, image 4; they were read as nearly "
        "black, so if they have another scale, give all images in one."
    ]


def test_a_single_black_image_is_nothing_to_tell():
    assert judged(replaced(lambda x: x / 20, [2])) == []
    assert judged(replaced(lambda x: 0 * x)) == []
    assert judged(replaced(lambda x: 0 * x + 0.7)) == []


@pytest.mark.parametrize(
    ("x", "problem"),
    [
        (X / 255, "the largest pixel value is 1, so the images seem scaled to 0..1; multiply by 255, or state pixel_r"),
        (X > 100, "the largest pixel value is 1, so the images seem scaled to 0..1; multiply by 255, or state pixel_r"),
        (X / 127.5 - 1, "undo the scaling, for instance (x + 1) * 127.5, or state black and white as pixel_range=(-1,"),
        (X * 16, "(from 0 to 4080): image 0, image 1, image 2, image 3, image 4, image 5, image 6, image 7; give raw "),
        (X * 16, "give raw pixels, or state black and white, such as pixel_range=(0, 4095) (--pixel-range 0 4095): "),
        (X * 257, "such as pixel_range=(0, 65535)"),
        (X - 100, "give raw pixels, or state black and white as pixel_range (--pixel-range LOW HIGH): "),
    ],
)
def test_images_of_another_scale_are_refused_with_what_to_do(x, problem):
    (found,) = judged(x)
    assert problem in found


@pytest.mark.parametrize(
    ("x", "pixel_range"),
    [(X / 255, (0, 1)), (X / 127.5 - 1, (-1, 1)), (X * 16, (0, 4095)), (X // 16, (0, 15)), (X > 100, (0, 1))],
)
def test_a_stated_range_is_right(x, pixel_range):
    assert judged(x, PixelRange(*pixel_range)) == []


def test_values_outside_the_stated_range_are_refused():
    assert judged(X * 16, PixelRange(0, 1023)) == [
        "images with values outside 0..1023 (from 0 to 4080): image 0, image 1, image 2, image 3, image 4, image 5, "
        "image 6, image 7; state a range that holds all values."
    ]


def test_infinite_values_are_named_apart_from_others():
    x = X.astype(float)
    x[3, 0, 0], x[5, 1, 1], x[6, 2, 2] = np.nan, np.inf, 300
    infinite, outside = judged(x)
    assert infinite == "images with NaN or infinite values: image 3, image 5; replace or remove them."
    assert outside.startswith("images with values outside 0..255 (from 0 to 300): image 6; give raw pixels")
    assert judged(np.full((2, 4, 4), np.nan)) == [
        "images with NaN or infinite values: image 0, image 1; replace or remove them."
    ]


def test_images_are_named_by_their_positions_among_all():
    extremes = replace(Extremes.of(replaced(lambda x: x / 255)), positions=range(10, 18))
    assert "no value is above 1 in image 11, image 14, and others" in scales.problems(extremes)[0]


def test_black_images_are_of_any_scale():
    assert judged(np.zeros((2, 4, 4))) == []


def test_no_images_are_nothing_to_judge():
    assert judged(np.zeros((0, 4, 4))) == []


@pytest.mark.parametrize(
    ("image", "scaled"),
    [([0.0, 0.5, 1.0], True), ([0.0, 1.0], False), ([0.5, 0.5], False), ([0.5, 1.5], False), ([0, 1], False)],
)
def test_fractions_tell_a_scaled_image(image, scaled):
    image = np.array(image)
    assert scales.looks_scaled(image, image.min(), image.max()) is scaled
    assert scales.looks_scaled(np.array([True, False]), 0, 1)


@pytest.mark.parametrize(
    ("high", "top"), [(1, 1), (2, 2), (3, 3), (4, 4), (9, 15), (15.5, 16), (16, 16), (255, 255), (4080, 4095)]
)
def test_a_largest_value_suggests_white(high, top):
    assert scales.likely_top(high) == top


@pytest.mark.parametrize(("bits", "brightest"), [(8, 1), (10, 4), (12, 16), (14, 64)])
def test_the_bits_of_a_deep_image_are_guessed(bits, brightest):
    assert f"pixel_range=(0, {2**bits - 1})" in scales.dark(brightest, "images", None, deep=True)


def test_images_that_the_stated_range_makes_black_are_told():
    assert scales.dark(1, "images", PixelRange(0, 65535)) == (
        "all images are black: no value is above a 255th of the stated range 0..65535; state the range that they have."
    )
