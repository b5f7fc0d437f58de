"""Traits of images: each is read once, and a damaged one is said to be."""

import numpy as np

from kerastune_recipes.checking import traits
from kerastune_recipes.data.sources.open import open_dataset


def test_every_image_is_read_in_order(photos):
    dataset, done = open_dataset(photos), []
    found = traits.read({"train": dataset.train, "test": dataset.test}, done.append)
    assert [one.name for one in found] == [*dataset.train.names, *dataset.test.names]
    assert done[-1] == len(found)
    assert {one.split for one in found} == {"train", "test"}
    assert found[0].header.format == "PNG"
    assert found[0].size == (48, 64)
    assert found[0].stored_bytes > 1000


def test_a_damaged_image_is_said_to_be(photos):
    file = photos / "train/ants/0.png"
    file.write_bytes(file.read_bytes()[:-200])
    dataset = open_dataset(photos)
    (problem,) = (one.problem for one in traits.read({"train": dataset.pooled().train}) if one.problem)
    assert "ants/0.png" in problem


def test_the_border_and_the_brightness():
    image = np.full((40, 40, 3), 100, np.uint8)
    image[0] = image[-1] = image[:, 0] = image[:, -1] = (200, 0, 0)
    image[:3] = image[-3:] = (200, 0, 0)
    image[:, :3] = image[:, -3:] = (200, 0, 0)
    other = np.random.default_rng(0).integers(0, 256, (2, 40, 40, 3), dtype=np.uint8)
    dataset = open_dataset((np.stack([image, image + 1, *other]), np.arange(4) % 2))
    first = traits.read({"train": dataset.pooled().train})[0]
    np.testing.assert_allclose(first.border, (200, 0, 0), atol=2)
    assert first.header is None


def test_a_mirror_image_has_the_hashes_the_other_way_round(photo):
    images = np.stack([photo(0), photo(0)[:, ::-1], photo(1), photo(2)])
    found = traits.read({"train": open_dataset((images, np.arange(4) % 2)).pooled().train})
    by_name = {one.name: one.hashes for one in found}
    assert by_name["image 0"] == by_name["image 1"][::-1]
