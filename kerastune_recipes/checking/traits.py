"""What an image shows without its pixels being understood: file, header, border, brightness, perceptual hash."""

import io
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image

from kerastune_recipes.data import images as image_files
from kerastune_recipes.data.dataset import Samples
from kerastune_recipes.data.images import Header
from kerastune_recipes.errors import DataError
from kerastune_recipes.progress import Tick

# Height and width of a thumbnail, pixels: it tells copies from images that only look alike.
THUMBNAIL = 32
# Images decoded by a thread at a time.
_BLOCK = 16


@dataclass(frozen=True)
class ImageTraits:
    """ImageTraits of one image.

    Args:
        split: Its split.
        name: Its name.
        label: Its class.
        group: Its group; None where images are not grouped.
        problem: Why it cannot be decoded; empty where it can. Then the rest, but for the header, is that of a black
            image.
        header: What the header of its file says; None where images are stored as pixels.
        size: Height and width, pixels.
        stored_bytes: Size of its file, or of its pixels.
        thumbnail: uint8 (32, 32, 3).
        border: Mean colour along its border, float (3,), 0..255.
        spread: Standard deviation along its border, 0..128.
        brightness: Mean, 0..255.
        hashes: Perceptual hashes of the image and of its mirror image, 64 bits each.
    """

    split: str
    name: str
    label: str
    group: int | None
    problem: str
    header: Header | None
    size: tuple[int, int]
    stored_bytes: int
    thumbnail: np.ndarray
    border: tuple[float, float, float]
    spread: float
    brightness: float
    hashes: tuple[int, int]


def read(splits: Mapping[str, Samples], tick: Tick | None = None) -> list[ImageTraits]:
    """Read every image once.

    Args:
        splits: Images by split.
        tick: Called with the number of images read.

    Returns:
        The traits of each image, split by split, in order.
    """
    places = [(split, index) for split, samples in splits.items() for index in range(len(samples))]
    found: list[ImageTraits] = []
    with ThreadPoolExecutor() as threads:
        for traits in threads.map(lambda place: _traits(splits[place[0]], *place), places, chunksize=_BLOCK):
            found.append(traits)
            if tick:
                tick(len(found))
    return found


def _traits(samples: Samples, split: str, index: int) -> ImageTraits:
    name = str(samples.names[index])
    header, stored, problem = None, 0, ""
    try:
        if samples.content is not None:
            content = samples.content(index)
            stored, header = len(content), image_files.header(content, name)
        pixels = samples.read(index, 2 * THUMBNAIL)
    except (DataError, OSError) as error:
        problem, pixels = str(error), np.zeros((THUMBNAIL, THUMBNAIL, 3), np.uint8)
    thumbnail = image_files.resize(pixels, THUMBNAIL)
    edge = np.concatenate([thumbnail[0], thumbnail[-1], thumbnail[1:-1, 0], thumbnail[1:-1, -1]]).astype(float)
    red, green, blue = edge.mean(axis=0).tolist()
    height, width = samples.sizes[index].tolist()
    return ImageTraits(
        split=split,
        name=name,
        label=samples.class_names[samples.labels[index]],
        group=None if samples.groups is None else int(samples.groups[index]),
        problem=problem,
        header=header,
        size=(height, width),
        stored_bytes=stored or 3 * height * width,
        thumbnail=thumbnail,
        border=(red, green, blue),
        spread=float(edge.std()),
        brightness=float(thumbnail.mean()),
        hashes=(_hash(thumbnail), _hash(thumbnail[:, ::-1])),
    )


def _hash(thumbnail: np.ndarray) -> int:
    """Return the perceptual hash of an image: the signs of its 64 lowest frequencies against their median."""
    return int(str(_phash()(Image.fromarray(np.ascontiguousarray(thumbnail)))), 16)


def _phash() -> Callable[[Image.Image], object]:
    import imagehash  # takes a moment to import

    return imagehash.phash


def as_png(thumbnail: np.ndarray) -> bytes:
    """Return a thumbnail as the bytes of a PNG file.

    Args:
        thumbnail: uint8 (32, 32, 3).
    """
    file = io.BytesIO()
    Image.fromarray(thumbnail).save(file, "PNG")
    return file.getvalue()
