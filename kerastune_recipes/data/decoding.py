"""Decodes images in chunks on all cores, so memory does not grow with the number of images; huge ones take turns."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from kerastune_recipes.arrays.files import AnyArray, allocate
from kerastune_recipes.data import checks, images
from kerastune_recipes.data.dataset import Pictures
from kerastune_recipes.data.decode_limits import TURNS
from kerastune_recipes.data.views import WHOLE, View, box
from kerastune_recipes.errors import DataError

# Images decoded before the first is yielded: enough to keep all cores busy, few enough for low memory, prompt progress
# and prompt Ctrl-C.
CHUNK = 128
# Images per task of a thread: enough that the overhead of a task is negligible.
_BLOCK = 8

# Position of an image, and the views of it to decode.
ViewsByImage = Sequence[tuple[int, Sequence[View]]]


def stream(
    samples: Pictures, views_by_image: ViewsByImage, size: int, ahead: int = 0, threads: int | None = None
) -> Iterator[np.ndarray]:
    """Decode each image once and yield its views, chunk by chunk.

    Args:
        samples: The images.
        views_by_image: Positions of the images to decode, with the views of each.
        size: Height and width of the views, pixels; images are stretched to this square.
        ahead: Chunks decoded while the caller works on the current one; useful where a GPU does that work.
        threads: Decoding threads; by default one per core.

    Returns:
        uint8 (rows, size, size, 3) for each chunk of `CHUNK` images, one row for each view of each image, in order.

    Raises:
        DataError: Images that cannot be decoded, all of them by name. It is raised after the last chunk; chunks after
            the first such image are not yielded.

    Example:
        >>> from kerastune_recipes.data.sources.open import open_dataset
        >>> images = open_dataset("demo:digits").train
        >>> [pixels.shape for pixels in stream(images, [(0, [WHOLE]), (5, [WHOLE])], size=16)]
        [(2, 16, 16, 3)]
    """
    problems: dict[int, str] = {}

    def decode(block: ViewsByImage) -> list[np.ndarray]:
        rows = []
        for index, views in block:
            try:
                rows += _views(samples, index, views, size)
            except DataError as error:
                problems[index] = str(error)
        return rows

    pool = ThreadPoolExecutor(threads or os.cpu_count())
    waiting: deque[list[Future[list[np.ndarray]]]] = deque()
    try:
        for chunk in (*_parts(views_by_image, CHUNK), *((),) * ahead):
            waiting.append([pool.submit(decode, block) for block in _parts(chunk, _BLOCK)])
            if len(waiting) > ahead:
                rows = [row for block in waiting.popleft() for row in block.result()]
                if rows and not problems:
                    yield np.stack(rows)
    finally:
        # After Ctrl-C drop the waiting blocks, and do not wait for the running ones.
        pool.shutdown(wait=False, cancel_futures=True)
    if problems:
        raise DataError(*checks.unreadable(problems, samples.names))


def _parts(whole: Sequence, size: int) -> Iterator[Sequence]:
    return (whole[start : start + size] for start in range(0, len(whole), size))


def _views(samples: Pictures, index: int, views: Sequence[View], size: int) -> list[np.ndarray]:
    digest = samples.digest(index) if any(view.crop for view in views) else b""
    with TURNS.kept():
        # Twice the target size: resizing from it looks the same as resizing from the full image.
        image = samples.read(index, 2 * size)
        resized = [images.resize(image, size, box(view, digest)) for view in views]
    return [pixels[:, ::-1] if view.mirrored else pixels for pixels, view in zip(resized, views, strict=True)]


def load(
    samples: Pictures,
    size: int,
    threads: int | None = None,
    progress: Callable[[int], None] | None = None,
    budget_bytes: int | None = None,
) -> AnyArray:
    """Decode and resize all images of a split into one array.

    Args:
        samples: The images.
        size: Height and width of the result, pixels; images are stretched to this square.
        threads: Decoding threads; by default one per core.
        progress: Receives the number of images decoded so far.
        budget_bytes: See `arrays.files.allocate`.

    Returns:
        uint8 (n, size, size, 3), in the order of the samples; over budget, a FileArray.

    Raises:
        DataError: Images that cannot be decoded, all of them by name.
        RequestError: `KERASTUNE_MEMORY` is not a size.
        WorkError: The disk has no room for the temporary file.

    Example:
        >>> from kerastune_recipes.data.sources.open import open_dataset
        >>> load(open_dataset("demo:digits").train, size=16).shape
        (80, 16, 16, 3)
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
    for rows in stream(samples, [(index, (WHOLE,)) for index in range(total)], size, threads=threads):
        pixels[done : done + len(rows)] = rows
        done += len(rows)
        if progress is not None:
            progress(done)
    return pixels
