"""Feature matrices: in memory, or in a file where they are too large to solve a head in memory."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from kerastune_recipes.arrays import files, memory
from kerastune_recipes.arrays.files import AnyArray

# Rows of a file read or written at a time.
CHUNK_ROWS = 4096
# Heads are solved in float32, even on float16 features.
_ITEM_BYTES = np.dtype(np.float32).itemsize


def solved_bytes(shape: tuple[int, int, int]) -> int:
    """Return the bytes of the float32 matrix that a head is solved on.

    Args:
        shape: Numbers of views, images and features.
    """
    return math.prod(shape) * _ITEM_BYTES


def fits(shape: tuple[int, int, int]) -> bool:
    """Return whether a head can be solved in memory on features of this shape.

    Args:
        shape: Numbers of views, images and features.

    Raises:
        RequestError: `KERASTUNE_MEMORY` is not a size.
    """
    return solved_bytes(shape) <= memory.matrix_limit_bytes()


def allocate_features(shape: tuple[int, int, int], dtype: npt.DTypeLike) -> AnyArray:
    """Allocate an array for features, in a file where a head cannot be solved in memory.

    Args:
        shape: Numbers of views, images and features.
        dtype: float16 or float32.

    Raises:
        RequestError: `KERASTUNE_MEMORY` is not a size.
        WorkError: The disk has no room for the file.
    """
    budget = math.prod(shape) * np.dtype(dtype).itemsize if fits(shape) else 0
    what = f"the features of {shape[0] * shape[1]} images"
    return files.allocate(shape, dtype, budget, what, "take fewer of them with features.taps: last")


def side_by_side(parts: Sequence[AnyArray]) -> AnyArray:
    """Concatenate the features that several networks give for the same images and views.

    Args:
        parts: (v, n, d) of each network, d its own number of features.

    Returns:
        (v, n, sum of d), in memory or in a file; with a single network its own array.

    Example:
        >>> side_by_side([np.zeros((1, 4, 3)), np.ones((1, 4, 2))]).shape
        (1, 4, 5)
    """
    if len(parts) == 1:
        return parts[0]
    views, images, _ = parts[0].shape
    shape = (views, images, sum(part.shape[2] for part in parts))
    joined = allocate_features(shape, np.result_type(*(part.dtype for part in parts)))
    for view in range(views):
        for start in range(0, images, CHUNK_ROWS):
            chunk = slice(start, start + CHUNK_ROWS)
            joined[view, chunk] = np.concatenate([part[view, chunk] for part in parts], axis=1)
    return joined


class FeatureMatrix:
    """A feature matrix that is filled in any order; float16 until float32 rows are put.

    Rows are numbered image by image, the views of an image next to each other: row = image * views + view.

    Args:
        images: Number of images.
        views: Number of views of each image.

    Raises:
        RequestError: From `put`, see `allocate_features`.
        WorkError: From `put`, see `allocate_features`.

    Example:
        >>> matrix = FeatureMatrix(images=2, views=1)
        >>> matrix.put(np.array([1]), np.ones((1, 3), np.float16))
        >>> matrix.missing.tolist(), matrix.whole().shape
        ([True, False], (1, 2, 3))
    """

    def __init__(self, images: int, views: int):
        self.missing = np.ones(images * views, bool)
        self._images, self._views = images, views
        self._array: AnyArray | None = None

    @property
    def dtype(self) -> np.dtype | None:
        """The dtype of the features; None before the first `put`."""
        return None if self._array is None else self._array.dtype

    def put(self, numbers: np.ndarray, rows: np.ndarray) -> None:
        """Fill in rows.

        Args:
            numbers: int (m,), the numbers of the rows.
            rows: float16 or float32 (m, d), the rows.
        """
        if self._array is None:
            self._array = allocate_features((self._views, self._images, rows.shape[1]), rows.dtype)
        elif self._array.dtype == np.float16 and rows.dtype == np.float32:
            self._array = self._to_float32(self._array)
        views, images = numbers % self._views, numbers // self._views
        for view in np.unique(views):
            self._array[int(view), images[views == view]] = rows[views == view]
        self.missing[numbers] = False

    def take(self, numbers: np.ndarray) -> np.ndarray:
        """Return rows that are filled in.

        Args:
            numbers: int (m,), the numbers of the rows.

        Returns:
            float16 or float32 (m, d).
        """
        array = self.whole()
        views, images = numbers % self._views, numbers // self._views
        rows = np.empty((len(numbers), array.shape[2]), array.dtype)
        for view in np.unique(views):
            rows[views == view] = array[int(view), images[views == view]]
        return rows

    def whole(self) -> AnyArray:
        """Return the whole matrix (v, n, d); rows that are still missing have arbitrary values."""
        return np.empty((self._views, self._images, 0), np.float16) if self._array is None else self._array

    def _to_float32(self, array: AnyArray) -> AnyArray:
        wider = allocate_features((self._views, self._images, array.shape[2]), np.float32)
        for view in range(self._views):
            for start in range(0, self._images, CHUNK_ROWS):
                wider[view, start : start + CHUNK_ROWS] = array[view, start : start + CHUNK_ROWS]
        return wider
