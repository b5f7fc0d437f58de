"""The scale of pixel values: whether images in memory are in 0..255, or in the range that the user states."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from kerastune_recipes.data import checks
from kerastune_recipes.data.pixel_range import EIGHT_BITS, PixelRange

# Images without a value of QUARTER are darker than a quarter of 0..255. Those without one above NEARLY_BLACK, as many
# grey levels as 4 bits have, are told of where others are brighter and they are at least SEVERAL of all: our choice, as
# single photographs may be that dark.
QUARTER, NEARLY_BLACK, SEVERAL = 64, 16, 0.05
_WHY = "the recipe preprocesses images for its backbone"


@dataclass(frozen=True)
class Extremes:
    """The smallest and largest value of each image, NaN for an image with a NaN, and what its numbers tell.

    Args:
        lows: float64 (n,).
        highs: float64 (n,).
        scaled: bool (n,), whether an image holds truth values, or fractions from 0 to 1 only.
        bytes_only: Whether all images are uint8.
        positions: int (n,), the position of each image among all that are given; None where these are all.
    """

    lows: np.ndarray
    highs: np.ndarray
    scaled: np.ndarray
    bytes_only: bool = False
    positions: Sequence[int] | None = None

    def at(self, indices: np.ndarray) -> str:
        """Name images by their positions among all that are given."""
        return checks.at(indices if self.positions is None else np.asarray(self.positions)[indices])

    @classmethod
    def of(cls, images: np.ndarray, pixel_range: PixelRange | None = None) -> Self:
        """Return the extremes of images in one array, (n, height, width) or with channels.

        Args:
            images: The images.
            pixel_range: The range that the user states, or None. Bytes that it holds need not be read.
        """
        if images.dtype == np.uint8 and (pixel_range or EIGHT_BITS).holds(0, 255):
            return cls(np.zeros(0), np.zeros(0), np.zeros(0, bool), bytes_only=True)
        axes = tuple(range(1, images.ndim))
        lows, highs = images.min(axis=axes).astype(np.float64), images.max(axis=axes).astype(np.float64)
        scaled = np.array([looks_scaled(each, *pair) for each, *pair in zip(images, lows, highs, strict=True)], bool)
        return cls(lows, highs, scaled, bytes_only=images.dtype == np.uint8)


def looks_scaled(image: np.ndarray, low: float, high: float) -> bool:
    """Return whether an image holds truth values, or fractions from 0 to 1 only.

    A black image, and one of zeros and ones, may come from any scale.

    Args:
        image: The image, of any shape and numeric type.
        low: Its smallest value.
        high: Its largest value.

    Example:
        >>> looks_scaled(np.array([0.0, 0.5, 1.0]), 0, 1), looks_scaled(np.array([0.0, 1.0]), 0, 1)
        (True, False)
    """
    if image.dtype.kind != "f":
        return image.dtype.kind == "b"
    return bool(0 <= low < high <= 1 and (image != np.floor(image)).any())


def problems(extremes: Extremes, pixel_range: PixelRange | None = None) -> list[str]:
    """Check that the values of each image are finite, in range, and on one scale with those of the others.

    Args:
        extremes: What the values of each image are.
        pixel_range: The range that the user states, or None for 0..255.

    Example:
        >>> problems(Extremes(np.zeros(2), np.array([255.0, 300.0]), np.zeros(2, bool)))[0][:47]
        'images with values outside 0..255 (from 0 to 30'
    """
    lows, highs = extremes.lows, extremes.highs
    if not len(lows):
        return []
    expected = pixel_range or EIGHT_BITS
    infinite = ~(np.isfinite(lows) & np.isfinite(highs))
    found = []
    if infinite.any():
        found.append(
            f"images with NaN or infinite values: {extremes.at(np.flatnonzero(infinite))}; replace or remove them."
        )
    low, high = lows[~infinite].min(initial=np.inf), highs[~infinite].max(initial=-np.inf)
    outside = np.flatnonzero(~infinite & ((lows < expected.low) | (highs > expected.high)))
    if len(outside):
        remedy = _remedy(lows[outside].min(), highs[outside].max(), pixel_range, alone=high <= 1)
        found.append(
            f"images with values outside {expected} (from {low:g} to {high:g}): {extremes.at(outside)}; {remedy}."
        )
    if pixel_range is None and not extremes.bytes_only and not infinite.all():
        found += _mixed(extremes, ~infinite, outside, high)
    return found


def warnings(extremes: Extremes, pixel_range: PixelRange | None = None) -> list[str]:
    """Return a sentence where some images are nearly black and others are not, so that scales may be mixed.

    Args:
        extremes: What the values of each image are, none of them outside the range.
        pixel_range: The range that the user states; then nothing is doubtful.
    """
    lows, highs = extremes.lows, extremes.highs
    if pixel_range is not None or not len(highs) or highs.max() < QUARTER:  # all dark: see `dark`
        return []
    nearly_black = np.flatnonzero((lows < highs) & (highs <= NEARLY_BLACK))
    if len(nearly_black) < max(2, SEVERAL * len(highs)):
        return []
    top = highs[nearly_black].max()
    return [
        f"{len(nearly_black)} of {len(highs)} images have no value above {top:g}, others go up to {highs.max():g}: "
        f"{extremes.at(nearly_black)}; they were read as nearly black, so if they have another scale, give all images "
        "in one."
    ]


def dark(brightest: float, of: str, pixel_range: PixelRange | None, deep: bool = False) -> str:
    """Return the sentence for images that are all darker than a quarter of the range.

    Args:
        brightest: The largest value after scaling to 0..255.
        of: What the images are called.
        pixel_range: The range that the user states, or None.
        deep: Whether they are stored with 16 bits.

    Example:
        >>> dark(16, "images", None)[-51:]
        'such as pixel_range=(0, 16) (--pixel-range 0 16).'
    """
    if pixel_range is not None:
        return (
            f"all {of} are black: no value is above a 255th of the stated range {pixel_range}; state the range that "
            "they have."
        )
    if deep:
        # Half a step of 8 bits may have been rounded away.
        bits = max(1, math.ceil(math.log2((brightest - 0.5) * 257))) if brightest else 8
        read, top = f"with 65535 as white: the brightest value is about {brightest * 257:.0f}", 2**bits - 1
    else:
        read, top = f"with 255 as white: the brightest value is {brightest:g}", likely_top(brightest)
    return (
        f"all {of} are darker than a quarter of the range; they were read {read}; if other values are black and white, "
        f"state them, such as {stating(0, top)}."
    )


def likely_top(high: float) -> int:
    """Return the value of white that a largest value suggests: as many bits, or a power of two.

    Example:
        >>> [likely_top(high) for high in (1, 2, 15, 15.9, 4080)]
        [1, 2, 15, 16, 4095]
    """
    power = 2 ** max(1, math.ceil(math.log2(high))) if high > 1 else 1
    return power if high > power - 1 else power - 1


def stating(low: float, high: float) -> str:
    """Return how a range is stated, in Python and in the shell."""
    return f"pixel_range=({low:g}, {high:g}) (--pixel-range {low:g} {high:g})"


def _remedy(low: float, high: float, pixel_range: PixelRange | None, alone: bool) -> str:
    """Return what to do with images outside the range.

    Args:
        low: Their smallest value.
        high: Their largest value.
        pixel_range: The range that the user states, or None.
        alone: Whether no image has a value above 1.
    """
    if pixel_range is not None:
        return "state a range that holds all values"
    if low >= -1 and high <= 1 and not alone:
        return f"undo the scaling of these images, for instance (x + 1) * 127.5: {_WHY}"
    if low >= -1 and high <= 1:
        return f"undo the scaling, for instance (x + 1) * 127.5, or state black and white as {stating(-1, 1)}: {_WHY}"
    if low >= 0:
        return f"give raw pixels, or state black and white, such as {stating(0, likely_top(high))}: {_WHY}"
    return f"give raw pixels, or state black and white as pixel_range (--pixel-range LOW HIGH): {_WHY}"


def _mixed(extremes: Extremes, finite: np.ndarray, outside: Sequence[int] | np.ndarray, high: float) -> list[str]:
    """Return what is wrong with images that are scaled to 0..1, all or some of them."""
    if high <= 1:
        if len(outside) or high == 0:  # black images may come from any scale
            return []
        return [
            f"the largest pixel value is {high:g}, so the images seem scaled to 0..1; multiply by 255, or state "
            f"{stating(0, 1)}: {_WHY}."
        ]
    scaled = np.flatnonzero(finite & extremes.scaled)
    if not len(scaled):
        return []
    return [
        f"images of two scales: no value is above 1 in {extremes.at(scaled)}, and others go up to {high:g}; multiply "
        f"those by 255, or, if they are nearly black, state {stating(0, 255)}: {_WHY}."
    ]
