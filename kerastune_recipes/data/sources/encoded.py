"""Images kept as encoded files, a tenth of the size of their pixels."""

from collections.abc import Mapping, Sequence

import numpy as np

from kerastune_recipes.arrays.files import ArrayList
from kerastune_recipes.data import checks, images
from kerastune_recipes.data.dataset import Pictures
from kerastune_recipes.errors import DataError


def read_encoded(
    files: ArrayList, names: Sequence[str], failed: Mapping[int, str] | None = None
) -> tuple[Pictures, list[str]]:
    """Read the headers of encoded images.

    Args:
        files: The bytes of each image file, uint8 (n,).
        names: Name of each image.
        failed: Problems of files that could not be fetched, by index.

    Returns:
        The images, and a problem for each unreadable one.
    """

    def read(index: int, at_least: int | None = None) -> np.ndarray:
        return images.decode(files[index].tobytes(), at_least, names[index])

    def size(index: int) -> tuple[int, int]:
        if failed and index in failed:
            raise DataError(failed[index])
        return images.header_size(files[index].tobytes(), names[index])

    sizes, problems = checks.headers(size, names)
    pictures = Pictures(
        read,
        names,
        sizes,
        content=lambda index: files[index].tobytes(),
        stored_bytes=lambda index: len(files[index]),
    )
    return pictures, problems
