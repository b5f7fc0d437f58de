"""Decoding a whole split into one array, on all cores."""

import math
import shutil
import tempfile
from collections.abc import Callable

import numpy as np

from kerastune_recipes.data import decoding
from kerastune_recipes.data.samples import Samples
from kerastune_recipes.errors import WorkError
from kerastune_recipes.views import WHOLE

GIB = 2**30


def load(
    samples: Samples,
    size: int,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
    budget_bytes: int = 2 * GIB,
) -> np.ndarray:
    """Decode and resize all images of a split.

    Args:
        samples: The images.
        size: Height and width of the result, pixels; images are stretched to that square.
        workers: Threads that decode; by default as many as there are cores.
        progress: Told how many images are done.
        budget_bytes: A result larger than this lies in a temporary file instead of memory. The file goes with the
            array (`TMPDIR` says on which disk it is made).

    Returns:
        uint8 (n, size, size, 3), in the order of the samples; a np.memmap when over budget.

    Raises:
        DataError: Images that cannot be decoded; all of them are named.
        WorkError: The disk has no room for the temporary file.

    Example:
        >>> pixels = load(dataset.train, size=224)
    """
    total = len(samples)
    pixels = _allocate((total, size, size, 3), budget_bytes)
    done = 0
    for rows in decoding.stream(samples, [(index, (WHOLE,)) for index in range(total)], size, workers=workers):
        pixels[done : done + len(rows)] = rows
        done += len(rows)
        if progress is not None:
            progress(done)
    return pixels


def _allocate(shape: tuple[int, int, int, int], budget_bytes: int) -> np.ndarray:
    needed = math.prod(shape)
    if needed <= budget_bytes:
        return np.empty(shape, dtype=np.uint8)
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if needed > free:  # Writing to a mapped file on a full disk would kill the process without a word.
        raise WorkError(
            f"{shape[0]} images of {shape[1]} x {shape[2]} pixels take {needed / GIB:.1f} GiB and {folder} has "
            f"{free / GIB:.1f} GiB free; set TMPDIR to a folder on a larger disk, or choose a smaller image_size."
        )
    with tempfile.TemporaryFile() as file:  # The mapping keeps the file alive after it is closed here.
        return np.memmap(file, dtype=np.uint8, mode="w+", shape=shape)
