"""Arrays in temporary files, for data larger than the memory budget.

Files are read and written by position, so threads may do so in parallel. They are not memory-mapped, because the pages
of a mapped file count as memory of the process. A file has no name and is deleted with the object that reads it.
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
# Bytes read at a time, because each read makes a copy.
_CHUNK = 16 * 2**20
# Bytes that an ArrayList takes from the budget at a time.
_BLOCK = 4 * 2**20


class ArrayList:
    """A growing list of uint8 arrays of any shapes: in memory while the budget has room, then in a temporary file.

    One thread appends; any number of threads read.

    Args:
        budget: The memory budget; by default the one that all images share.

    Raises:
        WorkError: From `append`, if the disk is full. `TMPDIR` sets the folder of the file.

    Example:
        >>> images = ArrayList()
        >>> images.append(np.zeros((4, 6, 3), np.uint8))
        >>> len(images), images[0].shape
        (1, (4, 6, 3))
    """

    def __init__(self, budget: Budget | None = None):
        self._budget = budget or memory.SHARED
        self._locations: list[_Location] = []
        self._block = np.empty(0, np.uint8)
        self._used = 0
        self._file: _File | None = None
        self._end = 0

    def __len__(self) -> int:
        return len(self._locations)

    def __getitem__(self, index: int) -> np.ndarray:
        where, offset, shape = self._locations[index]
        if isinstance(where, np.ndarray):
            return where[offset : offset + math.prod(shape)].reshape(shape)
        array = np.empty(shape, np.uint8)
        where.read(array, offset)
        return array

    def append(self, array: np.ndarray) -> None:
        """Add a copy of a uint8 array."""
        location = self._store_in_memory(array)
        if location is None:
            self._file = self._file or _File()
            self._file.write(array, self._end)
            location = _Location(self._file, self._end, array.shape)
            self._end += array.size
        self._locations.append(location)

    def _store_in_memory(self, array: np.ndarray) -> "_Location | None":
        """Copy an array to memory; None where the budget has no room for it."""
        if array.size > _BLOCK:
            copy = self._budget.empty((array.size,), np.uint8)
            if copy is None:
                return None
            copy[:] = array.ravel()
            return _Location(copy, 0, array.shape)
        if self._used + array.size > self._block.size:
            block = self._budget.empty((_BLOCK,), np.uint8)
            if block is None:
                return None
            self._block, self._used = block, 0
        start = self._used
        self._used += array.size
        self._block[start : self._used] = array.ravel()
        return _Location(self._block, start, array.shape)


class FileArray:
    """An array in a temporary file; indexing reads rows into a new np.ndarray.

    It is read and written by rows: `array[3]`, `array[3:9]`, `array[[5, 1]]`, and `array[0, 3:9]` for rows of the first
    part along the first axis. Rows start as zeros.

    Args:
        shape: Shape of the array, at least one axis.
        dtype: Type of the values; objects are not supported.

    Raises:
        WorkError: From writing, if the disk is full. `TMPDIR` sets the folder of the file.

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
        values = np.empty((len(rows), *self.shape[1:]), self.dtype)
        for target, row, count in _runs(rows):
            self._file.read(values[target : target + count], self._position(row))
        return values

    def __setitem__(self, key: Any, values: npt.ArrayLike) -> None:
        if isinstance(key, tuple):
            part, key = self._part(*key)
            part[key] = values
            return
        rows = self._rows(key)
        if isinstance(rows, int):
            rows = range(rows, rows + 1)
        new = np.broadcast_to(np.asarray(values, self.dtype), (len(rows), *self.shape[1:]))
        for source, row, count in _runs(rows):
            self._file.write(new[source : source + count], self._position(row))

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        """Read the whole array, for np.asarray."""
        return self[:].astype(self.dtype if dtype is None else dtype, copy=False)

    def _rows(self, key: Any) -> int | range | np.ndarray:
        """Return the row numbers of a key, counted from the start; raise IndexError beyond the end."""
        if isinstance(key, slice) or np.ndim(key) == 0:
            return range(len(self))[key]
        return np.arange(len(self))[key]

    def _position(self, row: int) -> int:
        return self._offset + row * math.prod(self.shape[1:]) * self.dtype.itemsize

    def part(self, index: int) -> "FileArray":
        """Return one part along the first axis; it shares the file, and nothing is read."""
        return FileArray(self.shape[1:], self.dtype, self._file, self._position(range(len(self))[index]))

    def _part(self, first: int, *rest: Any) -> tuple["FileArray", Any]:
        """Return one part along the first axis, and the key within it."""
        return self.part(first), rest if len(rest) > 1 else rest[0]


# An array in memory or in a file, read by rows.
AnyArray = np.ndarray | FileArray


class _File:
    """A temporary file without a name, read and written by position.

    Args:
        size: Initial size in bytes, all zeros; writing beyond the end lets the file grow.

    Raises:
        WorkError: The file cannot be created or written.
    """

    def __init__(self, size: int = 0):
        self._folder = tempfile.gettempdir()
        try:
            with tempfile.TemporaryFile(dir=self._folder, buffering=0) as file:
                os.ftruncate(file.fileno(), size)
                self._descriptor = os.dup(file.fileno())
        except OSError as error:
            raise self._error(error, size) from error
        weakref.finalize(self, os.close, self._descriptor)

    def read(self, array: np.ndarray, offset: int) -> None:
        """Fill a C-contiguous array from the file."""
        flat = array.reshape(-1).view(np.uint8)
        for start in range(0, flat.size, _CHUNK):
            chunk = os.pread(self._descriptor, min(_CHUNK, flat.size - start), offset + start)
            flat[start : start + _CHUNK] = np.frombuffer(chunk, np.uint8)

    def write(self, array: np.ndarray, offset: int) -> None:
        """Write the values of an array to the file."""
        flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
        done = 0
        try:
            while done < len(flat):
                done += os.pwrite(self._descriptor, flat[done:], offset + done)
        except OSError as error:
            raise self._error(error, offset + len(flat)) from error

    def _error(self, error: OSError, size: int) -> WorkError:
        return WorkError(
            f"a temporary file of {size / GIB:.1f} GiB cannot be written in {self._folder}: {error.strerror}; set "
            f"TMPDIR to a folder on a larger disk, or {memory.VARIABLE} to more memory."
        )


class _Location(NamedTuple):
    """The location of an array in an ArrayList: a block of memory or a file, the offset in bytes, and the shape."""

    where: np.ndarray | _File
    offset: int
    shape: tuple[int, ...]


def _runs(rows: range | np.ndarray) -> list[tuple[int, int, int]]:
    """Split rows into runs of consecutive numbers: position in `rows`, first row, length."""
    if isinstance(rows, range) and rows.step == 1:
        return [(0, rows.start, len(rows))]
    numbers = np.asarray(rows)
    starts = np.flatnonzero(np.diff(numbers, prepend=-2) != 1)
    counts = np.diff(starts, append=len(numbers))
    return [(int(at), int(numbers[at]), int(count)) for at, count in zip(starts, counts, strict=True)]


def allocate(
    shape: tuple[int, ...], dtype: npt.DTypeLike, budget_bytes: int | None, what: str, otherwise: str
) -> AnyArray:
    """Allocate an array in memory, or in a temporary file that is deleted with the array.

    Args:
        shape: Shape of the array.
        dtype: Type of the values.
        budget_bytes: Arrays larger than this are put in a file; `TMPDIR` sets its folder. None for the rest of the
            budget that all images share (`memory.SHARED`).
        what: Contents of the array, for the error message.
        otherwise: Remedy other than a larger disk, for the error message.

    Returns:
        An uninitialized array in memory; over budget, a FileArray of zeros.

    Raises:
        RequestError: `KERASTUNE_MEMORY` is not a size.
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
    if needed > free:  # fail now rather than after an hour of writing
        raise WorkError(
            f"{what} take {needed / GIB:.1f} GiB and {folder} has {free / GIB:.1f} GiB free; "
            f"set TMPDIR to a folder on a larger disk, or {otherwise}."
        )
    return FileArray(shape, dtype)
