"""Images kept as encoded files, a tenth of the size of their pixels."""

from collections.abc import Mapping, Sequence

from kerastune_recipes.arrays.files import ArrayList
from kerastune_recipes.data import checks, images
from kerastune_recipes.data.dataset import Pictures, Reader
from kerastune_recipes.data.pixel_range import PixelRange
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

    def read_in(pixel_range: PixelRange | None) -> Reader:
        return lambda index, at_least=None: images.decode(files[index].tobytes(), at_least, names[index], pixel_range)

    def stored(index: int) -> images.Stored:
        if failed and index in failed:
            raise DataError(failed[index])
        return images.stored(files[index].tobytes(), names[index])

    sizes, deep, problems = checks.headers(stored, names)
    pictures = Pictures(
        read_in(None),
        names,
        sizes,
        content=lambda index: files[index].tobytes(),
        stored_bytes=lambda index: len(files[index]),
        deep=deep,
        read_in=read_in,
    )
    return pictures, problems
