"""Images that show the same are found however they were saved; images that only look alike are not."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw

from kerastune_recipes.checking import near_copies, traits
from kerastune_recipes.data.sources.open import open_dataset


def seen(images):
    return traits.read({"train": open_dataset((list(images), np.arange(len(images)) % 2)).pooled().train})


def names(images):
    found = seen(images)
    return {(found[one.first].name, found[one.second].name, one.mirrored) for one in near_copies.find(found)}


def saved_again(pixels, quality):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


@pytest.mark.parametrize(
    ("change", "mirrored"),
    [
        (lambda pixels: saved_again(pixels, 70), False),
        (lambda pixels: np.asarray(Image.fromarray(pixels).resize((51, 38))), False),
        (lambda pixels: pixels[:, ::-1], True),
        (lambda pixels: saved_again(np.asarray(Image.fromarray(pixels).resize((51, 38)))[:, ::-1], 70), True),
    ],
    ids=["saved again", "smaller", "mirrored", "all"],
)
def test_changed_copies_are_found(change, mirrored, photo):
    images = [photo(number) for number in range(20)]
    assert names([*images, change(images[7])]) == {("image 20", "image 7", mirrored)} or names(
        [*images, change(images[7])]
    ) == {("image 7", "image 20", mirrored)}


def test_different_images_are_no_copies(photo):
    assert names([photo(number) for number in range(200)]) == set()


def test_strokes_on_white_are_no_copies_of_one_another():
    images = []
    for number in range(15):  # a quarter turn: none is the mirror image of another
        page = Image.new("RGB", (64, 64), "white")
        angle = number * np.pi / 30
        end = 32 + 28 * np.cos(angle), 32 + 28 * np.sin(angle)
        ImageDraw.Draw(page).line([(64 - end[0], 64 - end[1]), end], fill="black", width=4)
        images.append(np.asarray(page))
    assert names(images) == set()


def test_damaged_images_are_left_out(photo):
    found = seen([photo(0), photo(1), photo(2), photo(3)])
    assert len(near_copies.find([replace(one, problem="damaged") for one in found])) == 0
