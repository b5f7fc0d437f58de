"""The memory budget for images and features: its limits, and what arrays have taken of it."""

import contextlib
import math
import os
import threading
import weakref
from collections import deque
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kerastune_recipes import units
from kerastune_recipes.errors import RequestError

VARIABLE = "KERASTUNE_MEMORY"

# TensorFlow takes about 700 MB, the network and its batches a few hundred more: with this budget the process stays
# under 2 GB. The budget holds 3,500 images of 224 px, so small data sets stay in memory.
DEFAULT_BYTES = 512 * 2**20
# The memory limit of a container, and the memory assumed where the machine does not report it.
_CONTAINER = Path("/sys/fs/cgroup/memory.max")
_UNKNOWN_MEMORY = 8 * 2**30


def limit_bytes() -> int:
    """Return the memory limit for decoded images in bytes: `KERASTUNE_MEMORY`, such as "2 GiB", or 512 MiB.

    Raises:
        RequestError: The variable is not a size.

    Example:
        >>> os.environ["KERASTUNE_MEMORY"] = "2GiB"
        >>> limit_bytes()
        2147483648
    """
    return size_in_environment(VARIABLE, DEFAULT_BYTES)


def size_in_environment(variable: str, default: int) -> int:
    """Return the size in an environment variable in bytes.

    Args:
        variable: Its name.
        default: Bytes where it is not set or blank.

    Raises:
        RequestError: The variable is not a size.

    Example:
        >>> os.environ["KERASTUNE_DECODING"] = "4 GiB"
        >>> size_in_environment("KERASTUNE_DECODING", 2**30)
        4294967296
    """
    text = os.environ.get(variable, "").strip()
    if not text:
        return default
    try:
        return units.parse_size(text)
    except ValueError as error:
        raise RequestError(f"{variable}: {error}.") from None


def matrix_limit_bytes() -> int:
    """Return the memory limit for one feature matrix in bytes: `KERASTUNE_MEMORY`, or half of the machine's memory.

    A head is solved on a float32 copy of the features; the other half of the memory is for the features themselves.

    Raises:
        RequestError: See `limit_bytes`.
    """
    if os.environ.get(VARIABLE, "").strip():
        return limit_bytes()
    pages = os.sysconf("SC_PHYS_PAGES") if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", ()) else 0
    available = [pages * os.sysconf("SC_PAGE_SIZE")] if pages > 0 else []
    # The limit of a container may be below the memory of the machine.
    with contextlib.suppress(OSError, ValueError):
        available.append(int(_CONTAINER.read_text(encoding="ascii")))
    return min(available, default=_UNKNOWN_MEMORY) // 2


class Budget:
    """A memory budget that arrays share; an array returns its bytes when it is garbage-collected.

    Args:
        limit: Limit in bytes; None for `limit_bytes()`, read at each allocation.

    Example:
        >>> budget = Budget(limit=100)
        >>> rows = budget.empty((10, 10), np.uint8)
        >>> budget.empty((1,), np.uint8) is None
        True
    """

    def __init__(self, limit: int | None = None):
        self._limit = limit
        self._taken = 0
        self._lock = threading.Lock()
        # An array may be collected while this thread holds the lock, so its finalizer must not wait for the lock.
        self._returned: deque[int] = deque()

    def empty(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> np.ndarray | None:
        """Return a new uninitialized array, or None where the budget has no room for it.

        Raises:
            RequestError: See `limit_bytes`.
        """
        needed = math.prod(shape) * np.dtype(dtype).itemsize
        limit = limit_bytes() if self._limit is None else self._limit
        with self._lock:
            while self._returned:
                self._taken -= self._returned.popleft()
            if self._taken + needed > limit:
                return None
            self._taken += needed
        array = np.empty(shape, dtype)
        weakref.finalize(array, self._returned.append, needed).atexit = False
        return array


# The budget of all decoded images of this process.
SHARED = Budget()
