"""Synthetic features for the tests of heads."""

import numpy as np
import pytest


@pytest.fixture
def problem():
    """Return a function that draws overlapping classes: features (n, d) on very different scales, and labels (n,)."""

    def draw(images=120, features=20, classes=3, seed=0):
        random = np.random.default_rng(seed)
        labels = np.arange(images) % classes
        centres = random.normal(size=(classes, features))
        rows = centres[labels] + 3.0 * random.normal(size=(images, features))
        return (rows * random.uniform(0.1, 10, features) + 5).astype(np.float32), labels

    return draw
