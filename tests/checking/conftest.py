"""A folder of photographs made by arithmetic, all of them different."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def photo():
    """Return the pixels of a smooth picture for a number, uint8 (48, 64, 3): photo(3)."""

    def make(number: int) -> np.ndarray:
        random = np.random.default_rng(number)
        coarse = Image.fromarray(random.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        return np.asarray(coarse.resize((64, 48), Image.Resampling.BICUBIC))

    return make


@pytest.fixture
def photos(tmp_path, photo) -> Path:
    """Return a folder with train/ and test/, with twelve and four photographs of ants and of bees."""
    number = 0
    for split, count in (("train", 12), ("test", 4)):
        for name in ("ants", "bees"):
            folder = tmp_path / "photos" / split / name
            folder.mkdir(parents=True)
            for index in range(count):
                Image.fromarray(photo(number)).save(folder / f"{index}.png")
                number += 1
    return tmp_path / "photos"
