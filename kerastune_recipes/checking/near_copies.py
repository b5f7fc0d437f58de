"""Pairs of images that show the same: saved again, made smaller, or mirrored."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from kerastune_recipes.checking.traits import ImageTraits

# Bits of the perceptual hashes that may differ in candidates. With this and the next, nearly all copies that were made
# smaller, mirrored or saved again are found, and no wrong pair (benchmarks/pages/data_check.md).
MOST_BITS = 6
# Largest difference of two thumbnails at half their size, relative to the contrast of the images: the mean absolute
# difference over the mean absolute deviation from their mean colour. Strokes and logos have alike hashes, but not this.
MOST_DIFFERENCE = 0.24
# Hashes compared at a time.
_BLOCK = 512


@dataclass(frozen=True)
class Pair:
    """Two images that show the same.

    Args:
        first: Position of the one, in the order of the traits.
        second: Position of the other, larger.
        mirrored: Whether one is the mirror image of the other.
        difference: Difference of their thumbnails, see `MOST_DIFFERENCE`.
    """

    first: int
    second: int
    mirrored: bool
    difference: float


def find(traits: Sequence[ImageTraits]) -> list[Pair]:
    """Find pairs of images that show the same, by perceptual hash (Zauner 2010) and then by thumbnail.

    Args:
        traits: ImageTraits of each image; those that cannot be decoded are left out.

    Returns:
        The pairs; exact copies are among them.
    """
    usable = np.array([position for position, one in enumerate(traits) if not one.problem], int)
    if len(usable) < 2:
        return []
    plain, mirror = np.array([traits[position].hashes for position in usable], np.uint64).T
    thumbnails = [_halved(traits[position].thumbnail) for position in usable]
    contrasts = [_contrast(thumbnail) for thumbnail in thumbnails]
    found: dict[tuple[int, int], Pair] = {}
    for mirrored, others in ((False, plain), (True, mirror)):
        for first, second in _close(plain, others):
            if first == second or (first, second) in found:
                continue
            other = thumbnails[second][:, ::-1] if mirrored else thumbnails[second]
            difference = _difference(thumbnails[first], other, min(contrasts[first], contrasts[second]))
            if difference <= MOST_DIFFERENCE:
                found[first, second] = Pair(int(usable[first]), int(usable[second]), mirrored, difference)
    return [found[key] for key in sorted(found)]


def _close(hashes: np.ndarray, others: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield positions, the first smaller, whose hashes differ in `MOST_BITS` at most."""
    for begin in range(0, len(hashes), _BLOCK):
        bits = np.bitwise_count(hashes[begin : begin + _BLOCK, None] ^ others[None, begin:])
        for row, column in zip(*np.nonzero(bits <= MOST_BITS), strict=True):
            if column > row:
                yield begin + int(row), begin + int(column)


def _halved(thumbnail: np.ndarray) -> np.ndarray:
    """Return a thumbnail at half its size, float32: fine detail does not survive an image made smaller."""
    size = len(thumbnail) // 2
    return thumbnail.astype(np.float32).reshape(size, 2, size, 2, 3).mean(axis=(1, 3))


def _contrast(thumbnail: np.ndarray) -> float:
    return float(np.abs(thumbnail - thumbnail.mean(axis=(0, 1))).mean())


def _difference(one: np.ndarray, other: np.ndarray, contrast: float) -> float:
    """Return the mean absolute difference of two thumbnails, relative to a contrast."""
    # Without contrast there is nothing to compare: two white pages are no copies of a photograph.
    return float(np.abs(one - other).mean()) / max(contrast, 1.0)
