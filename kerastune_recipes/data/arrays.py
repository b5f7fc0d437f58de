"""Decoding a whole split into one array, on all cores."""

import math
import os
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed

import numpy as np
import numpy.typing as npt

from kerastune_recipes.data import checks, images
from kerastune_recipes.data.samples import Samples
from kerastune_recipes.errors import DataError, WorkError

# Images to a task: enough that handing out tasks costs nothing, few enough that progress and Ctrl-C come promptly.
_BLOCK = 16

GIB = 2**30
# Arrays larger than this lie in a temporary file, bytes.
BUDGET = 2 * GIB


def load(
    samples: Samples,
    size: int,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    budget_bytes: int = BUDGET,
) -> np.ndarray:
    """Decode and resize all images of a split.

    Args:
        samples: The images.
        size: Height and width of the result, pixels; images are stretched to that square.
        workers: Threads that decode; by default as many as there are cores.
        progress: Called with images done and images in all, from the calling thread.
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
    pixels = allocate(
        (total, size, size, 3),
        np.uint8,
        budget_bytes,
        what=f"{total} images of {size} x {size} pixels",
        otherwise="choose a smaller image_size",
    )

    def fill(block: range) -> dict[int, str]:
        problems = {}
        for index in block:
            try:
                # Twice the target leaves the resize enough pixels for the result to look as from the full image.
                pixels[index] = images.resize(samples.read(index, 2 * size), size)
            except DataError as error:
                problems[index] = str(error)
        return problems

    blocks = [range(start, min(start + _BLOCK, total)) for start in range(0, total, _BLOCK)]
    problems: dict[int, str] = {}
    done = 0
    pool = ThreadPoolExecutor(workers or os.cpu_count())
    try:
        futures = {pool.submit(fill, block): block for block in blocks}
        for future in as_completed(futures):
            problems |= future.result()
            done += len(futures[future])
            if progress is not None:
                progress(done, total)
    finally:
        # After Ctrl-C the blocks that wait are dropped and nobody waits for those in work.
        pool.shutdown(wait=False, cancel_futures=True)
    if problems:
        raise DataError(*checks.unreadable(problems, samples.names))
    return pixels


def allocate(shape: tuple[int, ...], dtype: npt.DTypeLike, budget_bytes: int, what: str, otherwise: str) -> np.ndarray:
    """Make room for an array, in memory or in a temporary file that goes with the array.

    Args:
        shape: Of the array.
        dtype: Of its values.
        budget_bytes: An array larger than this lies in a file; `TMPDIR` says on which disk it is made.
        what: What is in it, for an error.
        otherwise: What to do where the disk has no room for it, besides finding a larger one.

    Returns:
        An array with nothing in it yet; a np.memmap when over budget.

    Raises:
        WorkError: The disk has no room for the file.

    Example:
        >>> allocate((2, 3), np.float32, budget_bytes=24, what="two rows", otherwise="give fewer rows").shape
        (2, 3)
    """
    needed = math.prod(shape) * np.dtype(dtype).itemsize
    if needed <= budget_bytes:
        return np.empty(shape, dtype)
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if needed > free:  # Writing to a mapped file on a full disk would kill the process without a word.
        raise WorkError(
            f"{what} take {needed / GIB:.1f} GiB and {folder} has {free / GIB:.1f} GiB free; "
            f"set TMPDIR to a folder on a larger disk, or {otherwise}."
        )
    with tempfile.TemporaryFile() as file:  # The mapping keeps the file alive after it is closed here.
        return np.memmap(file, dtype=dtype, mode="w+", shape=shape)
