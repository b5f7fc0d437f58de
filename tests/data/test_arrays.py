import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from kerastune_recipes.data.arrays import allocate, load
from kerastune_recipes.data.samples import Samples
from kerastune_recipes.errors import DataError, WorkError


def plain(count: int) -> Samples:
    """Images of different sizes whose gray is their index."""
    sizes = np.array([(4 + index % 3, 5) for index in range(count)], dtype=np.int64)
    return Samples(
        read=lambda index, at_least=None: np.full((*sizes[index], 3), index, dtype=np.uint8),
        names=[f"image {index}" for index in range(count)],
        labels=np.zeros(count, dtype=np.int64),
        class_names=("a",),
        sizes=sizes,
    )


def test_images_come_in_order_at_one_size():
    pixels = load(plain(50), size=8, workers=3)
    assert pixels.shape == (50, 8, 8, 3)
    assert pixels.dtype == np.uint8
    assert pixels[:, 0, 0, 0].tolist() == list(range(50))
    assert not isinstance(pixels, np.memmap)


def test_over_budget_the_array_lies_in_a_file():
    pixels = load(plain(50), size=8, budget_bytes=50 * 8 * 8 * 3 - 1)
    assert isinstance(pixels, np.memmap)
    np.testing.assert_array_equal(pixels, load(plain(50), size=8))


def test_temporary_file_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    pixels = load(plain(5), size=8, budget_bytes=0)
    del pixels
    assert list(tmp_path.iterdir()) == []


def test_full_disk_is_told_before_it_kills(monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 0}))
    with pytest.raises(WorkError, match=r"set TMPDIR to a folder on a larger disk, or choose a smaller image_size"):
        load(plain(5), size=8, budget_bytes=0)


def test_room_is_counted_in_bytes():
    at_hand = {"what": "two rows", "otherwise": "give fewer"}
    assert not isinstance(allocate((2, 3), np.float32, budget_bytes=24, **at_hand), np.memmap)
    filed = allocate((2, 3), np.float32, budget_bytes=23, **at_hand)
    assert isinstance(filed, np.memmap)
    assert (filed.shape, filed.dtype) == ((2, 3), np.float32)


def test_progress_reaches_the_end():
    seen = []
    load(plain(50), size=4, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (50, 50)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_large_jpeg_looks_the_same_read_small(tmp_path):
    path = tmp_path / "ramp.jpg"
    ramp = np.linspace(0, 255, 640).astype(np.uint8)
    Image.fromarray(np.broadcast_to(ramp, (480, 640))).save(path)
    from kerastune_recipes.data.images import decode, resize

    samples = replace(plain(1), read=lambda index, at_least=None: decode(path, at_least))
    assert samples.read(0, 64).shape == (120, 160, 3)
    difference = load(samples, size=32)[0].astype(int) - resize(decode(path), 32)
    assert np.abs(difference).max() <= 2


def test_all_images_that_cannot_be_decoded_are_named():
    good = plain(40)

    def read(index: int, at_least: int | None = None) -> np.ndarray:
        if index % 3 == 0:
            raise DataError(f"image {index}: this image cannot be read: it is torn; replace or remove it.")
        return good.read(index)

    with pytest.raises(DataError) as caught:
        load(replace(good, read=read), size=4, workers=4)
    assert caught.value.problems[0] == "image 0: this image cannot be read: it is torn; replace or remove it."
    assert caught.value.problems[9].startswith("image 27: ")
    assert caught.value.problems[10] == "4 more images cannot be read: image 30, image 33, image 36, image 39."


def test_interruption_does_not_wait_for_the_rest():
    decoded = []
    lock = threading.Lock()
    good = plain(2000)

    def read(index: int, at_least: int | None = None) -> np.ndarray:
        time.sleep(0.001)
        with lock:
            decoded.append(index)
        return good.read(index)

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load(replace(good, read=read), size=4, workers=2, progress=interrupt)
    assert len(decoded) < 200
