"""How much memory images and features that are held may take, and who has taken how much of it."""

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

# TensorFlow takes about 700 MB by itself, the network and its batches some hundred more: with this the process stays
# under 2 GB. It holds 3,500 images of 224 px, so that small data sets never see a disk.
DEFAULT_BYTES = 512 * 2**20
# Where a container's share of the memory stands, and what is taken for the memory of a machine that does not tell.
_CONTAINER = Path("/sys/fs/cgroup/memory.max")
_UNKNOWN_MEMORY = 8 * 2**30


def limit_bytes() -> int:
    """Return the most that held images may take: `KERASTUNE_MEMORY`, such as "2 GiB", or 512 MiB.

    Raises:
        RequestError: The variable does not hold a size.

    Example:
        >>> os.environ["KERASTUNE_MEMORY"] = "2GiB"
        >>> limit_bytes()
        2147483648
    """
    text = os.environ.get(VARIABLE, "").strip()
    if not text:
        return DEFAULT_BYTES
    try:
        return units.parse_size(text)
    except ValueError as error:
        raise RequestError(f"{VARIABLE}: {error}.") from None


def matrix_limit_bytes() -> int:
    """Return the most that one matrix of features may take: `KERASTUNE_MEMORY`, or half of the machine's memory.

    A head is solved on a matrix of single precision; half of the memory leaves room for the features it is made of.

    Raises:
        RequestError: As for `limit_bytes`.
    """
    if os.environ.get(VARIABLE, "").strip():
        return limit_bytes()
    pages = os.sysconf("SC_PHYS_PAGES") if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", ()) else 0
    at_hand = [pages * os.sysconf("SC_PAGE_SIZE")] if pages > 0 else []
    # A container may have less than the machine.
    with contextlib.suppress(OSError, ValueError):
        at_hand.append(int(_CONTAINER.read_text(encoding="ascii")))
    return min(at_hand, default=_UNKNOWN_MEMORY) // 2


class Budget:
    """Memory that arrays take together; what an array took is free again when the array goes.

    Args:
        limit: In bytes; None for what `limit_bytes` says at the time.

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
        # Arrays may go at any moment, also while the lock is held, so that they must not wait for it.
        self._returned: deque[int] = deque()

    def empty(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> np.ndarray | None:
        """Return a new array with nothing in it yet, or None where the budget has no room for it.

        Raises:
            RequestError: As for `limit_bytes`.
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


# Of all images that this process holds, whatever they are held for.
SHARED = Budget()
