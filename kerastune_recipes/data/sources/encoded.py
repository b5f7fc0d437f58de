"""Images kept as the encoded files they are, which takes a tenth of what their pixels would."""

from collections.abc import Mapping, Sequence

import numpy as np

from kerastune_recipes.arrays.files import ArrayList
from kerastune_recipes.data import checks, images
from kerastune_recipes.data.dataset import Pictures
from kerastune_recipes.errors import DataError


def read_encoded(
    files: ArrayList, names: Sequence[str], failed: Mapping[int, str] | None = None
) -> tuple[Pictures, list[str]]:
    """Make pictures of the bytes of image files, reading their headers.

    Args:
        files: The bytes of each file, uint8 (n,).
        names: What to call each.
        failed: Why there are no bytes of a file, by its index.

    Returns:
        The pictures, and a problem for each that cannot be read.
    """

    def read(index: int, at_least: int | None = None) -> np.ndarray:
        return images.decode(files[index].tobytes(), at_least, names[index])

    def size(index: int) -> tuple[int, int]:
        if failed and index in failed:
            raise DataError(failed[index])
        return images.header_size(files[index].tobytes(), names[index])

    sizes, problems = checks.headers(size, names)
    return Pictures(read, names, sizes, content=lambda index: files[index].tobytes()), problems
