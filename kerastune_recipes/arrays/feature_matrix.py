"""Matrices of features: in memory, or in a file where a head could not be solved on them in memory."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from kerastune_recipes.arrays import files, memory
from kerastune_recipes.arrays.files import Rows

# Rows of a file that are read and written at a time.
AT_ONCE = 4096
# A number of the matrix on which a head is solved, whatever precision features have before.
_ITEM = np.dtype(np.float32).itemsize


def solved_bytes(shape: tuple[int, int, int]) -> int:
    """Return what memory a head needs to be solved on features of a shape: views, images, features."""
    return math.prod(shape) * _ITEM


def fits(shape: tuple[int, int, int]) -> bool:
    """Say whether a head may be solved on features of a shape in memory.

    Args:
        shape: Views, images, features.

    Raises:
        RequestError: `KERASTUNE_MEMORY` does not hold a size.
    """
    return solved_bytes(shape) <= memory.matrix_limit_bytes()


def room(shape: tuple[int, int, int], dtype: npt.DTypeLike) -> Rows:
    """Return an array for features, in a file where a head could not be solved on them in memory.

    Args:
        shape: Views, images, features.
        dtype: float16 or float32; heads are solved in the latter.

    Raises:
        RequestError: `KERASTUNE_MEMORY` does not hold a size.
        WorkError: The disk has no room for the file.
    """
    budget = math.prod(shape) * np.dtype(dtype).itemsize if fits(shape) else 0
    what = f"the features of {shape[0] * shape[1]} images"
    return files.allocate(shape, dtype, budget, what, "take fewer of them with features.taps: last")


def side_by_side(parts: Sequence[Rows]) -> Rows:
    """Return the features of several networks for the same images and views, as one array."""
    if len(parts) == 1:
        return parts[0]
    views, images, _ = parts[0].shape
    whole = room((views, images, sum(part.shape[2] for part in parts)), np.result_type(*(part.dtype for part in parts)))
    for view in range(views):
        for begin in range(0, images, AT_ONCE):
            some = slice(begin, begin + AT_ONCE)
            whole[view, some] = np.concatenate([part[view, some] for part in parts], axis=1)
    return whole


class Filled:
    """Features that are filled in in any order; in half precision until more is given.

    A place is that of a view of an image: image by image, the views side by side.

    Args:
        images: How many.
        views: Of each.

    Raises:
        RequestError: From `put`, as for `room`.
        WorkError: From `put`, as for `room`.

    Example:
        >>> filled = Filled(images=2, views=1)
        >>> filled.put(np.array([1]), np.ones((1, 3), np.float16))
        >>> filled.missing, filled.whole().shape
        (array([ True, False]), (1, 2, 3))
    """

    def __init__(self, images: int, views: int):
        self.missing = np.ones(images * views, bool)
        self._images, self._views = images, views
        self._array: Rows | None = None

    @property
    def dtype(self) -> np.dtype | None:
        """What they are, where any have been given."""
        return None if self._array is None else self._array.dtype

    def put(self, places: np.ndarray, rows: np.ndarray) -> None:
        """Fill in the rows (m, d) of some places, int (m,)."""
        if self._array is None:
            self._array = room((self._views, self._images, rows.shape[1]), rows.dtype)
        elif self._array.dtype == np.float16 and rows.dtype == np.float32:
            self._array = self._widened(self._array)
        view, image = places % self._views, places // self._views
        for number in np.unique(view):
            self._array[int(number), image[view == number]] = rows[view == number]
        self.missing[places] = False

    def take(self, places: np.ndarray) -> np.ndarray:
        """Return the rows (m, d) of some places that are filled in, int (m,)."""
        array = self.whole()
        view, image = places % self._views, places // self._views
        found = np.empty((len(places), array.shape[2]), array.dtype)
        for number in np.unique(view):
            found[view == number] = array[int(number), image[view == number]]
        return found

    def whole(self) -> Rows:
        """Return everything (v, n, d), whether it is filled in or not."""
        return np.empty((self._views, self._images, 0), np.float16) if self._array is None else self._array

    def _widened(self, array: Rows) -> Rows:
        wider = room((self._views, self._images, array.shape[2]), np.float32)
        for view in range(self._views):
            for begin in range(0, self._images, AT_ONCE):
                wider[view, begin : begin + AT_ONCE] = array[view, begin : begin + AT_ONCE]
        return wider
