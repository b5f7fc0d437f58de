import threading
import time
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from kerastune_recipes.arrays import memory
from kerastune_recipes.arrays.files import FileArray, allocate
from kerastune_recipes.arrays.lazy import Joined
from kerastune_recipes.arrays.memory import Budget
from kerastune_recipes.data.dataset import Samples
from kerastune_recipes.data.decoding import load
from kerastune_recipes.errors import DataError, WorkError


def plain(count: int) -> Samples:
    """Images of different sizes whose gray is their index."""
    sizes = np.array([(4 + index % 3, 5) for index in range(count)], dtype=np.int64)
    return Samples(
        read=lambda index, at_least=None: np.full((*sizes[index], 3), index % 256, dtype=np.uint8),
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
    assert isinstance(pixels, np.ndarray)


def test_over_budget_the_array_lies_in_a_file():
    pixels = load(plain(50), size=8, budget_bytes=50 * 8 * 8 * 3 - 1)
    assert isinstance(pixels, FileArray)
    assert (pixels.shape, pixels.dtype) == ((50, 8, 8, 3), np.uint8)
    np.testing.assert_array_equal(pixels, load(plain(50), size=8))


def test_several_threads_fill_the_file():
    pixels = load(plain(250), size=16, workers=4, budget_bytes=0)
    assert pixels[:][:, 15, 15, 0].tolist() == list(range(250))


def test_memory_is_what_the_budget_leaves(monkeypatch):
    monkeypatch.setattr(memory, "SHARED", Budget(80 * 64 * 64 * 3))
    first = load(plain(50), size=64)
    second = load(plain(50), size=64)
    assert isinstance(first, np.ndarray)
    assert isinstance(second, FileArray)
    del first
    assert isinstance(load(plain(50), size=64), np.ndarray)


def test_memory_stays_within_the_budget(monkeypatch):
    monkeypatch.setattr(memory, "SHARED", Budget(2**20))
    samples = plain(1200)  # 172 MiB at this size, of which three chunks are in work
    tracemalloc.start()
    try:
        pixels = load(samples, size=224, workers=2)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert pixels[199, 0, 0, 0] == 199
    assert peak < 70 * 2**20


def test_allocated_arrays_have_any_shape_and_type():
    for budget in (24, 23):
        array = allocate((2, 3), np.float32, budget, what="two rows", otherwise="give fewer rows")
        assert isinstance(array, np.ndarray) is (budget == 24)
        array[1] = [1, 2, 0.5]
        assert array[1].tolist() == [1, 2, 0.5]


def test_full_disk_is_told_in_the_words_of_the_caller(monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 0}))
    with pytest.raises(WorkError, match=r"the features take 8\.0 GiB and .* larger disk, or freeze less\."):
        allocate((2**30,), np.float64, 0, what="the features", otherwise="freeze less")


def test_temporary_file_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    pixels = load(plain(5), size=8, budget_bytes=0)
    del pixels
    assert list(tmp_path.iterdir()) == []


def test_full_disk_is_told_before_it_kills(monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 0}))
    with pytest.raises(
        WorkError,
        match=r"5 images of 8 x 8 pixels take .*; set TMPDIR .*, or choose a smaller image_size",
    ):
        load(plain(5), size=8, budget_bytes=0)


def test_progress_reaches_the_end():
    seen = []
    load(plain(300), size=4, progress=seen.append)
    assert seen == [128, 256, 300]


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

    def interrupt(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load(replace(good, read=read), size=4, workers=2, progress=interrupt)
    assert len(decoded) < 200


@pytest.mark.parametrize("index", [slice(1, 4), [4, 0, 2], slice(3, 5), [0], 2, 4])
def test_joined_rows_are_those_of_one_array(index):
    rows = np.arange(15, dtype=np.uint8).reshape(5, 3)
    joined = Joined(rows[:3], rows[3:])
    np.testing.assert_array_equal(joined[index], rows[index])
    assert (len(joined), joined.shape) == (5, (5, 3))
