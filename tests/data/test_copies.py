"""Copies are found by content, whatever they are called, and stay together where images are held out."""

import shutil

import numpy as np
import pytest
from PIL import Image

from kerastune_recipes.data import copies
from kerastune_recipes.data.sources.open import open_dataset
from kerastune_recipes.errors import DataError, DataWarning


@pytest.fixture
def photos(tmp_path):
    """A folder with train/ and test/, each with ten different images of two classes."""
    random = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in ("ants", "bees"):
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            for number in range(10):
                Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return tmp_path


def opened(ds, **options):
    with pytest.warns(DataWarning) as warned:
        dataset = open_dataset(ds, **options)
    assert tuple(str(one.message) for one in warned) == dataset.notes
    return dataset


@pytest.mark.filterwarnings("error")
def test_different_images_are_no_copies(photos):
    dataset = open_dataset(photos)
    assert dataset.notes == ()
    assert len(dataset.seen_test) == 0
    assert dataset.train.originals is None
    assert dataset.train.together is None


def test_a_test_image_that_was_trained_on_is_told(photos):
    shutil.copy(photos / "train/ants/3.png", photos / "test/ants/new.png")
    dataset = opened(photos)
    assert dataset.notes == (
        f"{photos}: 1 of 21 test images is a copy of training images (test/ants/new.png = train/ants/3.png).",
    )
    assert [dataset.test.names[index] for index in dataset.seen_test] == ["test/ants/new.png"]


def test_a_copy_in_the_test_images_changes_nothing_about_training(photos):
    before = open_dataset(photos)
    shutil.copy(photos / "train/ants/3.png", photos / "test/ants/new.png")
    after = opened(photos)
    assert after.train.together is None
    assert (after.train.names, after.validation.names) == (before.train.names, before.validation.names)


def test_an_image_in_two_classes_is_told(photos):
    shutil.copy(photos / "train/ants/3.png", photos / "train/bees/same.png")
    notes = opened(photos).notes
    assert notes[0] == (
        f"{photos}: 1 image is there with different labels: train/ants/3.png = train/bees/same.png (ants and bees); "
        "remove the wrong ones."
    )


@pytest.mark.filterwarnings("ignore::kerastune_recipes.errors.DataWarning")
@pytest.mark.parametrize("seed", range(5))
def test_copies_are_on_one_side_of_a_hold_out(photos, seed):
    for number in range(5):
        shutil.copy(photos / f"train/ants/{number}.png", photos / f"train/ants/again_{number}.png")
        shutil.copy(photos / f"train/bees/{number}.png", photos / f"train/bees/again_{number}.png")
    dataset = open_dataset(photos, seed=seed)
    assert not set(dataset.train.digests()) & set(dataset.validation.digests())
    assert len(dataset.validation) in range(4, 10)


@pytest.mark.filterwarnings("ignore::kerastune_recipes.errors.DataWarning")
def test_groups_and_copies_stay_together():
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    images[20] = images[2]  # of groups 10 and 1
    dataset = open_dataset((images, np.arange(40) % 2), group_by=np.arange(40) // 2)
    together = dataset.train.together
    assert len(np.unique(together)) <= 19
    assert not set(dataset.train.groups) & set(dataset.validation.groups)
    assert not set(dataset.train.digests()) & set(dataset.validation.digests())


@pytest.mark.filterwarnings("ignore::kerastune_recipes.errors.DataWarning")
def test_a_class_of_copies_of_one_image_cannot_be_held_out():
    images = np.random.default_rng(0).integers(0, 256, (10, 8, 8, 3), dtype=np.uint8)
    images[5:] = images[5]
    with pytest.raises(DataError, match="classes whose images are all copies of one.*: bees; one must be held out"):
        open_dataset((images, ["ants"] * 5 + ["bees"] * 5))


def test_only_images_alike_in_size_and_bytes_are_read(photos, monkeypatch):
    read = []
    dataset = open_dataset(photos)
    samples = dataset.train
    monkeypatch.setattr(type(samples), "digest", lambda self, index: read.append(index) or bytes([index]))
    sizes = [(8, 8)] * 3 + [(8, 9)] * (len(samples) - 3)
    lengths = [1, 1, 2, *list(range(10, 10 + len(samples) - 3))]
    monkeypatch.setattr(copies, "_keys", lambda samples: [(*s, n) for s, n in zip(sizes, lengths, strict=True)])
    assert copies.find({"train": samples}).sets == ()
    assert sorted(read) == [0, 1]
