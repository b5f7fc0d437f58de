"""What decoded images tell before anything trains: that all are dark, or that all are the same."""

import numpy as np

from kerastune_recipes.data import scales
from kerastune_recipes.data.dataset import Pictures
from kerastune_recipes.data.pixel_range import PixelRange
from kerastune_recipes.errors import DataError

# Images looked at in search of a brighter one; usually the first is.
MOST_LOOKED_AT = 1000
# Height and width from which a large JPEG may be decoded at a part of its size.
_AT_LEAST = 64


def darkness(pictures: Pictures, pixel_range: PixelRange | None = None) -> tuple[list[str], list[str]]:
    """Look at images until one is bright; where none is, they were probably read on a wrong scale.

    Images stored with more than 8 bits are judged apart.

    Args:
        pictures: The images.
        pixel_range: The range that the user states, or None. Then only black images are wrong.

    Returns:
        The problems and the warnings.

    Example:
        >>> from kerastune_recipes.data.sources.open import open_dataset
        >>> darkness(open_dataset("demo:digits").train)
        ([], [])
    """
    deep = np.zeros(len(pictures), bool) if pictures.deep is None else pictures.deep
    enough = scales.QUARTER if pixel_range is None else 2
    found = []
    for kind, of in ((False, "images"), (True, "16-bit images")):
        brightest = _brightest(pictures, np.flatnonzero(deep == kind), enough)
        if brightest is not None and brightest < enough:
            found.append(scales.dark(brightest, of if deep.any() else "images", pixel_range, kind))
    return ([], found) if pixel_range is None else (found, [])


def alike(pictures: Pictures) -> list[str]:
    """Check that not all images are the same once they are decoded, so that there is something to learn.

    Images of one colour are the same in any size. The first two images usually end the search.

    Args:
        pictures: The images.
    """
    first = None
    for at_least in (_AT_LEAST, None):  # at a part of their size first, which is faster
        shown = (_shown(pictures, index, at_least) for index in range(len(pictures)))
        first = next(shown, None)
        if first is None or len(pictures) < 2 or not all(_same(first, other) for other in shown):
            return []
    colour = None if first is None else _colour(first)
    what = "the same" if colour is None else f"of the same colour, {colour} (transparent pixels are shown on white)"
    return [f"all training images are {what}, so there is nothing to learn; give images that differ."]


def _brightest(pictures: Pictures, indices: np.ndarray, enough: int) -> int | None:
    """Return the largest value of some images, or of those before the first that is bright enough; None without any."""
    chosen = np.random.default_rng(0).permutation(indices)[:MOST_LOOKED_AT]
    brightest = None
    for pixels in (_shown(pictures, int(index), _AT_LEAST) for index in chosen):
        if pixels is not None:
            brightest = max(brightest or 0, int(pixels.max()))
            if brightest >= enough:
                break
    return brightest


def _shown(pictures: Pictures, index: int, at_least: int | None) -> np.ndarray | None:
    """Return a decoded image, or None for one that cannot be read: reading it names it later."""
    try:
        return pictures.read(index, at_least)
    except DataError:
        return None


def _same(one: np.ndarray, other: np.ndarray | None) -> bool:
    if other is None:
        return False
    if np.array_equal(one, other):
        return True
    colour = _colour(one)
    return colour is not None and colour == _colour(other)


def _colour(pixels: np.ndarray) -> tuple[int, ...] | None:
    """Return the only colour of an image, or None where there are several."""
    first = pixels[0, 0]
    return tuple(first.tolist()) if (pixels == first).all() else None
