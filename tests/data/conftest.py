"""Small images on disk for the tests of data."""

import itertools
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

COLOURS = {"red": (200, 0, 0), "green": (0, 200, 0), "blue": (0, 0, 200)}


@pytest.fixture
def paint():
    """Write one image of one colour, which is no copy of another: paint(path, "red", width=8, height=6)."""
    numbers = itertools.count()

    def paint(path: Path, colour: str = "red", width: int = 8, height: int = 6) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        note = PngImagePlugin.PngInfo()
        note.add_text("number", str(next(numbers)))
        options = {"pnginfo": note} if path.suffix.lower() == ".png" else {}
        Image.new("RGB", (width, height), COLOURS[colour]).save(path, **options)
        return path

    return paint


@pytest.fixture
def fill(paint):
    """Write folders of class folders named after their colour: fill(root, red=5, green=3)."""

    def fill(root: Path, **images: int) -> Path:
        for colour, count in images.items():
            for number in range(count):
                paint(root / colour / f"{number}.png", colour)
        return root

    return fill
