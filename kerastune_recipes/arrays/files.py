"""Arrays in temporary files, for what is larger than the budget of memory.

The files are read and written by position, which threads may do in parallel. They are not mapped: the pages of a
mapped file count as memory of the process. A file has no name, and goes with the object that reads it.
"""

import math
import os
import shutil
import tempfile
import weakref
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from kerastune_recipes.arrays import memory
from kerastune_recipes.arrays.memory import Budget
from kerastune_recipes.errors import WorkError

GIB = 2**30
# Read at a time, as each read is copied once.
_CHUNK = 16 * 2**20
# Memory that a spool takes from the budget at a time.
_BLOCK = 4 * 2**20


class Spool:
    """A growing list of uint8 arrays of any shapes: in memory while the budget has room, then in a temporary file.

    One thread appends; any number may read.

    Args:
        budget: What memory is taken from; by default the one that all images share.

    Raises:
        WorkError: From `append`, where the disk is full. `TMPDIR` says on which disk the file is made.

    Example:
        >>> spool = Spool()
        >>> spool.append(np.zeros((4, 6, 3), np.uint8))
        >>> len(spool), spool[0].shape
        (1, (4, 6, 3))
    """

    def __init__(self, budget: Budget | None = None):
        self._budget = budget or memory.SHARED
        self._places: list[_Place] = []
        self._block = np.empty(0, np.uint8)
        self._used = 0
        self._file: _File | None = None
        self._end = 0

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> np.ndarray:
        where, offset, shape = self._places[index]
        if isinstance(where, np.ndarray):
            return where[offset : offset + math.prod(shape)].reshape(shape)
        array = np.empty(shape, np.uint8)
        where.read(array, offset)
        return array

    def append(self, array: np.ndarray) -> None:
        """Add a copy of a uint8 array."""
        kept = self._keep(array)
        if kept is None:
            self._file = self._file or _File()
            self._file.write(array, self._end)
            kept = _Place(self._file, self._end, array.shape)
            self._end += array.size
        self._places.append(kept)

    def _keep(self, array: np.ndarray) -> "_Place | None":
        if array.size > _BLOCK:
            own = self._budget.empty((array.size,), np.uint8)
            if own is None:
                return None
            own[:] = array.ravel()
            return _Place(own, 0, array.shape)
        if self._used + array.size > self._block.size:
            fresh = self._budget.empty((_BLOCK,), np.uint8)
            if fresh is None:
                return None
            self._block, self._used = fresh, 0
        start = self._used
        self._used += array.size
        self._block[start : self._used] = array.ravel()
        return _Place(self._block, start, array.shape)


class FileArray:
    """An array in a temporary file; what is read from it is a fresh np.ndarray.

    It is read and written by rows: `array[3]`, `array[3:9]`, `array[[5, 1]]`, and `array[0, 3:9]` for those of its
    first part. Rows start as zeros.

    Args:
        shape: At least one axis.
        dtype: Of the values; no objects.

    Raises:
        WorkError: From writing, where the disk is full. `TMPDIR` says on which disk the file is made.

    Example:
        >>> rows = FileArray((1000, 4), np.float32)
        >>> rows[2:4] = 1
        >>> rows[[3, 999]].sum(axis=1).tolist()
        [4.0, 0.0]
    """

    def __init__(self, shape: tuple[int, ...], dtype: npt.DTypeLike, _file: "_File | None" = None, _offset: int = 0):
        self.shape = tuple(shape)
        self.dtype = np.dtype(dtype)
        self._file = _file or _File(math.prod(self.shape) * self.dtype.itemsize)
        self._offset = _offset

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> np.ndarray:
        if isinstance(key, tuple):
            part, key = self._part(*key)
            return part[key]
        rows = self._rows(key)
        if isinstance(rows, int):
            return self[rows : rows + 1][0]
        found = np.empty((len(rows), *self.shape[1:]), self.dtype)
        for target, row, count in _runs(rows):
            self._file.read(found[target : target + count], self._position(row))
        return found

    def __setitem__(self, key: Any, values: npt.ArrayLike) -> None:
        if isinstance(key, tuple):
            part, key = self._part(*key)
            part[key] = values
            return
        rows = self._rows(key)
        if isinstance(rows, int):
            rows = range(rows, rows + 1)
        given = np.broadcast_to(np.asarray(values, self.dtype), (len(rows), *self.shape[1:]))
        for source, row, count in _runs(rows):
            self._file.write(given[source : source + count], self._position(row))

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        """Read it whole, for np.asarray."""
        return self[:].astype(self.dtype if dtype is None else dtype, copy=False)

    def _rows(self, key: Any) -> int | range | np.ndarray:
        """Return the numbers of the rows that a key means, counted from the start; IndexError beyond the end."""
        if isinstance(key, slice) or np.ndim(key) == 0:
            return range(len(self))[key]
        return np.arange(len(self))[key]

    def _position(self, row: int) -> int:
        return self._offset + row * math.prod(self.shape[1:]) * self.dtype.itemsize

    def part(self, index: int) -> "FileArray":
        """Return one of the parts along the first axis, which shares the file; nothing is read."""
        return FileArray(self.shape[1:], self.dtype, self._file, self._position(range(len(self))[index]))

    def _part(self, first: int, *rest: Any) -> tuple["FileArray", Any]:
        """Return one of the parts along the first axis, and the key within it."""
        return self.part(first), rest if len(rest) > 1 else rest[0]


# An array in memory or in a file, to be read by rows.
Rows = np.ndarray | FileArray


class _File:
    """A temporary file without a name, read and written by position.

    Args:
        size: In bytes, zeros; a file that is written to grows by itself.

    Raises:
        WorkError: No file can be made.
    """

    def __init__(self, size: int = 0):
        self._folder = tempfile.gettempdir()
        try:
            with tempfile.TemporaryFile(dir=self._folder, buffering=0) as file:
                os.ftruncate(file.fileno(), size)
                self._descriptor = os.dup(file.fileno())
        except OSError as error:
            raise self._refusal(error, size) from error
        weakref.finalize(self, os.close, self._descriptor)

    def read(self, array: np.ndarray, offset: int) -> None:
        """Fill an array, whose values lie one after the other."""
        flat = array.reshape(-1).view(np.uint8)
        for start in range(0, flat.size, _CHUNK):
            chunk = os.pread(self._descriptor, min(_CHUNK, flat.size - start), offset + start)
            flat[start : start + _CHUNK] = np.frombuffer(chunk, np.uint8)

    def write(self, array: np.ndarray, offset: int) -> None:
        """Write an array's values."""
        flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
        done = 0
        try:
            while done < len(flat):
                done += os.pwrite(self._descriptor, flat[done:], offset + done)
        except OSError as error:
            raise self._refusal(error, offset + len(flat)) from error

    def _refusal(self, error: OSError, size: int) -> WorkError:
        return WorkError(
            f"a temporary file of {size / GIB:.1f} GiB cannot be written in {self._folder}: {error.strerror}; set "
            f"TMPDIR to a folder on a larger disk, or {memory.VARIABLE} to more memory."
        )


class _Place(NamedTuple):
    """Where a spool has an array: a block of memory or a file, the first byte there, and the shape."""

    where: np.ndarray | _File
    offset: int
    shape: tuple[int, ...]


def _runs(rows: range | np.ndarray) -> list[tuple[int, int, int]]:
    """Cut rows into runs that lie one after the other: position in `rows`, first row, how many."""
    if isinstance(rows, range) and rows.step == 1:
        return [(0, rows.start, len(rows))]
    numbers = np.asarray(rows)
    starts = np.flatnonzero(np.diff(numbers, prepend=-2) != 1)
    counts = np.diff(starts, append=len(numbers))
    return [(int(at), int(numbers[at]), int(count)) for at, count in zip(starts, counts, strict=True)]


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
