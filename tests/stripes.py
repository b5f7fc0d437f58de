"""Made images of three classes, for tests in several files."""

import numpy as np


def stripes(count: int = 30, size: int = 32, seed: int = 0, contrast: int = 150) -> tuple[np.ndarray, np.ndarray]:
    """Return images of noise, of which two classes have stripes, with their labels.

    Args:
        count: How many, the classes in turn.
        size: Height and width, pixels.
        seed: Of the noise.
        contrast: How much brighter a stripe is, 1 to 250; the noise takes the rest. At 150 they are easy, at 50 not.
    """
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    images = random.integers(0, 250 - contrast, (count, size, size, 3))
    images[labels == 1, ::2] += contrast
    images[labels == 2, :, ::2] += contrast
    return images.astype(np.uint8), labels
