"""Holding out part of the images, class by class."""

import numpy as np

from kerastune_recipes.errors import DataError, listed


def stratified_holdout(labels: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Divide images at random into a part to keep and a part held out, each with its share of every class.

    Of a class of n images, n x fraction (rounded, halves up) are held out, but never none and never all.

    Args:
        labels: int (n,), the class of each image.
        fraction: Share to hold out, between 0 and 1, both excluded.
        seed: The same seed gives the same division.

    Returns:
        Positions kept and positions held out, each int64 and ascending.

    Raises:
        DataError: The fraction is no share, or a class has a single image.

    Example:
        >>> kept, held = stratified_holdout(np.array([0, 0, 0, 1, 1]), fraction=0.2, seed=0)
        >>> len(kept), len(held)
        (3, 2)
    """
    if not 0 < fraction < 1:
        raise DataError(f"the share to hold out is {fraction}; give a number between 0 and 1, such as 0.2.")
    classes, counts = np.unique(labels, return_counts=True)
    if (counts < 2).any():
        raise DataError(f"one image cannot be divided; labels with a single image: {listed(classes[counts < 2])}.")
    random = np.random.default_rng(seed)
    held = np.zeros(len(labels), dtype=bool)
    for label, count in zip(classes, counts, strict=True):
        share = int(np.clip(np.floor(count * fraction + 0.5), 1, count - 1))
        held[random.permutation(np.flatnonzero(labels == label))[:share]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)
