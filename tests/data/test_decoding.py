from dataclasses import replace

import numpy as np
import pytest

from kerastune_recipes.data import decoding
from kerastune_recipes.data.dataset import Samples
from kerastune_recipes.data.images import resize
from kerastune_recipes.data.views import WHOLE, View, box
from kerastune_recipes.errors import DataError


@pytest.fixture
def samples():
    """Noise of 300 images, 12 x 10 pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (300, 12, 10, 3), dtype=np.uint8)
    return Samples(
        read=lambda index, at_least=None: pixels[index],
        names=[f"image {index}" for index in range(300)],
        labels=np.zeros(300, dtype=np.int64),
        class_names=("a",),
        sizes=np.full((300, 2), (12, 10)),
    )


def whole(count):
    return [(index, (WHOLE,)) for index in range(count)]


@pytest.mark.parametrize("ahead", [0, 1, 5])
def test_chunks_come_in_order(samples, ahead):
    chunks = list(decoding.stream(samples, whole(300), 8, ahead))
    assert [len(chunk) for chunk in chunks] == [128, 128, 44]
    np.testing.assert_array_equal(np.concatenate(chunks)[299], resize(samples.read(299), 8))


def test_one_decode_serves_all_views_of_an_image(samples):
    read = []
    counted = replace(samples, read=lambda index, at_least=None: read.append(index) or samples.read(index))
    mirrored, crop = View(mirrored=True), View(1, mirrored=True)
    (rows,) = decoding.stream(counted, [(7, (WHOLE, mirrored)), (9, (crop,))], 8)
    np.testing.assert_array_equal(rows[0], resize(samples.read(7), 8))
    np.testing.assert_array_equal(rows[1], rows[0][:, ::-1])
    cropped = resize(samples.read(9), 8, box(crop, samples.digest(9)))
    np.testing.assert_array_equal(rows[2], cropped[:, ::-1])
    assert read.count(7) == 1


def test_all_images_that_cannot_be_decoded_are_named_behind_the_last_chunk(samples):
    def read(index, at_least=None):
        if index in (130, 290):
            raise DataError(f"image {index}: torn.")
        return samples.read(index)

    chunks = decoding.stream(replace(samples, read=read), whole(300), 8)
    assert len(next(chunks)) == 128
    with pytest.raises(DataError) as caught:
        next(chunks)
    assert caught.value.problems == ("image 130: torn.", "image 290: torn.")


def test_memory_does_not_grow_with_the_images(samples):
    """Decoding stays within a chunk of the consumer."""
    begun = []
    counted = replace(samples, read=lambda index, at_least=None: begun.append(index) or samples.read(index))
    chunks = decoding.stream(counted, whole(300), 8)
    next(chunks)
    assert len(begun) == 128
    ahead = decoding.stream(counted, whole(300), 8, ahead=1)
    next(ahead)
    assert len(begun) <= 128 + 256
