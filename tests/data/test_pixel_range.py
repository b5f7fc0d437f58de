import numpy as np
import pytest

from kerastune_recipes.data.pixel_range import EIGHT_BITS, PixelRange
from kerastune_recipes.errors import DataError


@pytest.mark.parametrize("given", [(0, 4095), [0.0, 4095.0], np.array([0, 4095])])
def test_a_range_is_two_numbers(given):
    assert PixelRange.of(given) == PixelRange(0, 4095)


def test_no_range_is_stated():
    assert PixelRange.of(None) is None


@pytest.mark.parametrize(
    "given", [255, (0,), (0, 1, 2), (255, 0), (1, 1), ("0", "1"), "01", (0, np.nan), (0, np.inf), (False, True), {0: 1}]
)
def test_anything_else_is_refused(given):
    with pytest.raises(DataError, match="pixel_range: give two numbers, the values of black and of white, such as"):
        PixelRange.of(given)


@pytest.mark.parametrize(
    ("low", "high", "values", "scaled"),
    [
        (0, 255, [0, 1, 255], [0, 1, 255]),
        (0, 1, [0, 0.25, 1], [0, 64, 255]),
        (-1, 1, [-1, 0, 1], [0, 128, 255]),
        (0, 65535, [0, 257, 65535], [0, 1, 255]),
        (-1000, 3000, [-1000, 1000, 3000], [0, 128, 255]),
    ],
)
def test_values_are_scaled_and_rounded(low, high, values, scaled):
    pixels = PixelRange(low, high).to_uint8(np.array(values))
    assert pixels.dtype == np.uint8
    assert pixels.tolist() == scaled


def test_values_in_the_range():
    assert PixelRange(0, 1).holds(0, 1)
    assert not PixelRange(0, 1).holds(-0.1, 1)
    assert not PixelRange(0, 1).holds(np.nan, np.nan)


def test_ranges_have_names_and_digests_of_their_own():
    assert (str(EIGHT_BITS), str(PixelRange(-1, 0.5))) == ("0..255", "-1..0.5")
    assert PixelRange(0, 1).digest() != PixelRange(0, 2).digest()
