"""Decoding a whole split into one array, on all cores."""

import math
import shutil
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from kerastune_recipes.arrays import memory
from kerastune_recipes.arrays.files import GIB, FileArray, Rows
from kerastune_recipes.arrays.memory import Budget
from kerastune_recipes.data import decoding
from kerastune_recipes.data.dataset import Pictures
from kerastune_recipes.data.views import WHOLE
from kerastune_recipes.errors import WorkError


def load(
    samples: Pictures,
    size: int,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
    budget_bytes: int | None = None,
) -> Rows:
    """Decode and resize all images of a split.

    Args:
        samples: The images.
        size: Height and width of the result, pixels; images are stretched to that square.
        workers: Threads that decode; by default as many as there are cores.
        progress: Told how many images are done.
        budget_bytes: As for `allocate`.

    Returns:
        uint8 (n, size, size, 3), in the order of the samples; a FileArray when over budget.

    Raises:
        DataError: Images that cannot be decoded; all of them are named.
        RequestError: `KERASTUNE_MEMORY` does not hold a size.
        WorkError: The disk has no room for the temporary file.

    Example:
        >>> pixels = load(dataset.train, size=224)
    """
    total = len(samples)
    pixels = allocate(
        (total, size, size, 3),
        np.uint8,
        budget_bytes,
        what=f"{total} images of {size} x {size} pixels",
        otherwise="choose a smaller image_size",
    )
    done = 0
    for rows in decoding.stream(samples, [(index, (WHOLE,)) for index in range(total)], size, workers=workers):
        pixels[done : done + len(rows)] = rows
        done += len(rows)
        if progress is not None:
            progress(done)
    return pixels


class Selected:
    """Some rows of an array, in any order; they are read only when asked for.

    Args:
        rows: (n, ...), in memory or in a file.
        places: int (m,), which of them.
    """

    def __init__(self, rows: Rows, places: np.ndarray):
        self.rows = rows
        self.places = places
        self.shape = (len(places), *rows.shape[1:])

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: Any) -> np.ndarray:
        return self.rows[self.places[index]]


class Joined:
    """The rows of one array and, behind them, those of another; they are read only when asked for.

    Args:
        first: (n, ...), in memory or in a file.
        second: (m, ...), likewise.
    """

    def __init__(self, first: Rows, second: Rows):
        self.first = first
        self.second = second
        self.shape = (len(first) + len(second), *first.shape[1:])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> np.ndarray:
        places = np.arange(len(self))[index]
        behind = places >= len(self.first)
        if np.ndim(places) == 0:
            return self.second[places - len(self.first)] if behind else self.first[places]
        rows = np.empty((len(places), *self.shape[1:]), self.first.dtype)
        for part, chosen, begin in ((self.first, ~behind, 0), (self.second, behind, len(self.first))):
            if chosen.any():
                rows[chosen] = part[places[chosen] - begin]
        return rows


def allocate(shape: tuple[int, ...], dtype: npt.DTypeLike, budget_bytes: int | None, what: str, otherwise: str) -> Rows:
    """Make room for an array, in memory or in a temporary file that goes with the array.

    Args:
        shape: Of the array.
        dtype: Of its values.
        budget_bytes: An array larger than this lies in a file; `TMPDIR` says on which disk it is made. None for what
            is left of the memory that all images share (`memory.limit_bytes`).
        what: What is in it, for an error.
        otherwise: What to do where the disk has no room for it, besides finding a larger one.

    Returns:
        An array with nothing in it yet; a FileArray when over budget.

    Raises:
        RequestError: `KERASTUNE_MEMORY` does not hold a size.
        WorkError: The disk has no room for the file.

    Example:
        >>> allocate((2, 3), np.float32, budget_bytes=24, what="two rows", otherwise="give fewer rows").shape
        (2, 3)
    """
    array = (memory.SHARED if budget_bytes is None else Budget(budget_bytes)).empty(shape, dtype)
    if array is not None:
        return array
    needed = math.prod(shape) * np.dtype(dtype).itemsize
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if needed > free:  # Better told now than after an hour of writing.
        raise WorkError(
            f"{what} take {needed / GIB:.1f} GiB and {folder} has {free / GIB:.1f} GiB free; "
            f"set TMPDIR to a folder on a larger disk, or {otherwise}."
        )
    return FileArray(shape, dtype)
