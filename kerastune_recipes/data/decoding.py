"""Decoding images chunk by chunk on all cores, so that memory stays the same however many there are."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from kerastune_recipes.arrays.files import AnyArray, allocate
from kerastune_recipes.data import checks, images
from kerastune_recipes.data.dataset import Pictures
from kerastune_recipes.data.views import WHOLE, View, box
from kerastune_recipes.errors import DataError

# Images decoded before any is given out: enough to keep all cores busy to the end of a chunk, few enough that memory
# stays small and progress and Ctrl-C come promptly.
CHUNK = 128
# Images to a task: enough that handing out tasks costs nothing.
_BLOCK = 8

# Positions of images, and the views of each that are wanted.
Wanted = Sequence[tuple[int, Sequence[View]]]


def stream(
    samples: Pictures, wanted: Wanted, size: int, ahead: int = 0, workers: int | None = None
) -> Iterator[np.ndarray]:
    """Decode images, each once, and give their views.

    Args:
        samples: The images.
        wanted: Which of them, and which views of each.
        size: Height and width of the views, pixels; images are stretched to that square.
        ahead: Chunks decoded while the caller works on another; of use where that work is done by another device.
        workers: Threads that decode; by default as many as there are cores.

    Returns:
        uint8 (rows, size, size, 3) for each chunk of `CHUNK` images, a row for each view of each image, in order.

    Raises:
        DataError: Images that cannot be decoded; all of them are named. It is raised behind the last chunk, and no
            chunk is given behind the first such image.
    """
    problems: dict[int, str] = {}

    def decode(block: Wanted) -> list[np.ndarray]:
        rows = []
        for index, views in block:
            try:
                rows += _views(samples, index, views, size)
            except DataError as error:
                problems[index] = str(error)
        return rows

    pool = ThreadPoolExecutor(workers or os.cpu_count())
    waiting: deque[list[Future[list[np.ndarray]]]] = deque()
    try:
        for chunk in (*_parts(wanted, CHUNK), *((),) * ahead):
            waiting.append([pool.submit(decode, block) for block in _parts(chunk, _BLOCK)])
            if len(waiting) > ahead:
                rows = [row for block in waiting.popleft() for row in block.result()]
                if rows and not problems:
                    yield np.stack(rows)
    finally:
        # After Ctrl-C the blocks that wait are dropped and nobody waits for those in work.
        pool.shutdown(wait=False, cancel_futures=True)
    if problems:
        raise DataError(*checks.unreadable(problems, samples.names))


def _parts(whole: Sequence, size: int) -> Iterator[Sequence]:
    return (whole[start : start + size] for start in range(0, len(whole), size))


def _views(samples: Pictures, index: int, views: Sequence[View], size: int) -> list[np.ndarray]:
    # Twice the target leaves the resize enough pixels for the result to look as from the full image.
    image = samples.read(index, 2 * size)
    digest = samples.digest(index) if any(view.crop for view in views) else b""
    shown = [images.resize(image, size, box(view, digest)) for view in views]
    return [pixels[:, ::-1] if view.mirrored else pixels for pixels, view in zip(shown, views, strict=True)]


def load(
    samples: Pictures,
    size: int,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
    budget_bytes: int | None = None,
) -> AnyArray:
    """Decode and resize all images of a split.

    Args:
        samples: The images.
        size: Height and width of the result, pixels; images are stretched to that square.
        workers: Threads that decode; by default as many as there are cores.
        progress: Message how many images are done.
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
    for rows in stream(samples, [(index, (WHOLE,)) for index in range(total)], size, workers=workers):
        pixels[done : done + len(rows)] = rows
        done += len(rows)
        if progress is not None:
            progress(done)
    return pixels
