"""The values of black and white: 0 and 255, or those that the user states."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Self

import numpy as np

from kerastune_recipes.errors import DataError

# What a user gives: the values of black and white, or None for 0 and 255.
GivenRange = Sequence[float] | None


@dataclass(frozen=True)
class PixelRange:
    """A range of pixel values that the user states.

    Args:
        low: Value of black.
        high: Value of white.

    Example:
        >>> PixelRange(0, 4095).to_uint8(np.array([0, 2048, 4095])).tolist()
        [0, 128, 255]
    """

    low: float
    high: float

    @classmethod
    def of(cls, given: Any) -> Self | None:
        """Return the range that a user states, or None where none is stated.

        Args:
            given: Two numbers, the smaller first, or None.

        Raises:
            DataError: It is something else.
        """
        if given is None:
            return None
        numbers = list(given) if isinstance(given, Sequence | np.ndarray) and not isinstance(given, str) else []
        if len(numbers) == 2 and all(isinstance(each, Real) and not isinstance(each, bool) for each in numbers):
            low, high = map(float, numbers)
            if math.isfinite(low) and math.isfinite(high) and low < high:
                return cls(low, high)
        raise DataError(
            f"pixel_range: give two numbers, the values of black and of white, such as (0, 4095); received {given!r}."
        )

    def holds(self, low: float, high: float) -> bool:
        """Return whether values from `low` to `high` are in the range; False where one is NaN."""
        return self.low <= low and high <= self.high

    def to_uint8(self, pixels: np.ndarray) -> np.ndarray:
        """Scale pixels of the range to 0..255, rounded.

        Args:
            pixels: Values of the range, of any shape and numeric type.
        """
        scaled = np.subtract(pixels, self.low, dtype=np.float64)
        scaled *= 255 / (self.high - self.low)
        return np.rint(scaled).astype(np.uint8)

    def digest(self) -> bytes:
        """Return bytes that tell images read in this range from the same images read in another."""
        return f"pixel range {self.low!r} {self.high!r} ".encode()

    def __str__(self) -> str:
        return f"{self.low:g}..{self.high:g}"


# What is read where nothing is stated.
EIGHT_BITS = PixelRange(0, 255)
