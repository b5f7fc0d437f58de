import io

import numpy as np
import pytest
from PIL import Image

from kerastune_recipes.arrays.files import ArrayList
from kerastune_recipes.arrays.memory import Budget
from kerastune_recipes.data.sources.encoded import read_encoded
from kerastune_recipes.errors import DataError


def png(gray: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((height, 8, 3), gray, np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(params=[0, 2**20], ids=["file", "memory"])
def stored(request):
    """Return a function that stores the bytes of files."""

    def store(*contents: bytes) -> ArrayList:
        files = ArrayList(Budget(request.param * 16))
        for content in contents:
            files.append(np.frombuffer(content, np.uint8))
        return files

    return store


def test_images_stay_encoded_until_they_are_read(stored):
    contents = [png(10, 4), png(20, 6)]
    pictures, problems = read_encoded(stored(*contents), ["a.png", "b.png"])
    assert problems == []
    assert pictures.sizes.tolist() == [[4, 8], [6, 8]]
    assert pictures.content(1) == contents[1]
    assert np.unique(pictures.read(1)).tolist() == [20]


def test_unreadable_images_are_named(stored):
    pictures, problems = read_encoded(stored(png(10, 4), b"no image", b""), ["a.png", "b.png", "c.png"])
    assert [problem.split(":")[0] for problem in problems] == ["b.png", "c.png"]
    assert pictures.sizes.tolist() == [[4, 8], [0, 0], [0, 0]]
    with pytest.raises(DataError, match=r"b\.png: this image cannot be read: it is not an image"):
        pictures.read(1)


def test_other_formats_are_named(stored):
    _, problems = read_encoded(stored(b"%!PS-Adobe-3.0", b"%PDF-1.7"), ["a.jpg", "b.jpg"])
    assert problems == [
        "a.jpg: this image cannot be read: it is PostScript, which is not read; convert it to PNG or JPEG.",
        "b.jpg: this image cannot be read: it is PDF, which is not read; convert it to PNG or JPEG.",
    ]


def test_the_extension_of_the_name_tells_targa(stored):
    file = io.BytesIO()
    Image.new("RGB", (8, 4), (20, 20, 20)).save(file, "TGA")
    pictures, problems = read_encoded(stored(file.getvalue()), ["a.tga"])
    assert problems == []
    assert np.unique(pictures.read(0)).tolist() == [20]


def test_files_that_were_not_fetched_keep_their_problem(stored):
    _, problems = read_encoded(stored(png(10, 4), b""), ["a.png", "b.png"], {1: "b.png: cannot be fetched: timeout."})
    assert problems == ["b.png: cannot be fetched: timeout."]
