"""Handwritten digits of scikit-learn, enlarged to 32 pixels: a small data set without a download."""

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from kerastune_recipes.errors import DataError

CLASS_NAMES = tuple("0123456789")
IMAGE_SIZE = 32

# Gray levels of scikit-learn's digits are 0..16; the rarest digit has 174 images.
_WHITE = 16
_MOST_PER_CLASS = 150


def digits(train_per_class: int = 10, seed: int = 0) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return handwritten digits: a few training images of each class, and all others as test images.

    Args:
        train_per_class: Training images of each digit, 1..150, validation images included.
        seed: Random seed of the choice of training images.

    Returns:
        {"train": (x, y), "test": (x, y)}: x uint8 (n, 32, 32, 3), bright strokes on black; y int64 (n,), the digit.
        Together they are the 1,797 images of `sklearn.datasets.load_digits`, each once, in shuffled order.

    Raises:
        DataError: train_per_class is not an integer in 1..150.

    Example:
        >>> digits()["train"][0].shape
        (100, 32, 32, 3)
    """
    if train_per_class not in range(1, _MOST_PER_CLASS + 1):
        raise DataError(
            f"digits: train_per_class must be an integer in 1..{_MOST_PER_CLASS}; received {train_per_class!r}."
        )
    small, y = load_digits(return_X_y=True)
    x = np.stack([_enlarge(image) for image in small.reshape(-1, 8, 8)])
    y = y.astype(np.int64)
    train, test = _split(y, train_per_class, seed)
    return {"train": (x[train], y[train]), "test": (x[test], y[test])}


def _enlarge(image: np.ndarray) -> np.ndarray:
    """Enlarge an image (8, 8), 0..16, to uint8 (32, 32, 3), 0..255."""
    gray = Image.fromarray(np.round(image * (255 / _WHITE)).astype(np.uint8))
    large = gray.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BILINEAR)
    return np.repeat(np.asarray(large)[..., np.newaxis], 3, axis=-1)


def _split(y: np.ndarray, train_per_class: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return shuffled indices of the training images, `train_per_class` of each class, and of the test images."""
    order = np.random.default_rng(seed).permutation(len(y))
    # Rank of each image among those of its class, in the shuffled order.
    one_hot = y[order, np.newaxis] == np.arange(len(CLASS_NAMES))
    rank = one_hot.cumsum(axis=0)[np.arange(len(y)), y[order]]
    chosen = rank <= train_per_class
    return order[chosen], order[~chosen]
