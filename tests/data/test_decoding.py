import io
import threading
import time
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from kerastune_recipes.arrays import memory
from kerastune_recipes.arrays.files import FileArray
from kerastune_recipes.arrays.memory import Budget
from kerastune_recipes.data import decoding, images
from kerastune_recipes.data.dataset import Samples
from kerastune_recipes.data.decoding import load
from kerastune_recipes.data.images import decode, resize
from kerastune_recipes.data.views import WHOLE, View, box
from kerastune_recipes.errors import DataError, WorkError

# stream


@pytest.fixture
def samples():
    """300 images of noise, 12 x 10 pixels."""
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
def test_chunks_are_yielded_in_order(samples, ahead):
    chunks = list(decoding.stream(samples, whole(300), 8, ahead))
    assert [len(chunk) for chunk in chunks] == [128, 128, 44]
    np.testing.assert_array_equal(np.concatenate(chunks)[299], resize(samples.read(299), 8))


def test_an_image_is_decoded_once_for_all_its_views(samples):
    read = []
    counted = replace(samples, read=lambda index, at_least=None: read.append(index) or samples.read(index))
    mirrored, crop = View(mirrored=True), View(1, mirrored=True)
    (rows,) = decoding.stream(counted, [(7, (WHOLE, mirrored)), (9, (crop,))], 8)
    np.testing.assert_array_equal(rows[0], resize(samples.read(7), 8))
    np.testing.assert_array_equal(rows[1], rows[0][:, ::-1])
    cropped = resize(samples.read(9), 8, box(crop, samples.digest(9)))
    np.testing.assert_array_equal(rows[2], cropped[:, ::-1])
    assert read.count(7) == 1


def test_stream_names_all_images_that_cannot_be_decoded_after_the_last_chunk(samples):
    def read(index, at_least=None):
        if index in (130, 290):
            raise DataError(f"image {index}: torn.")
        return samples.read(index)

    chunks = decoding.stream(replace(samples, read=read), whole(300), 8)
    assert len(next(chunks)) == 128
    with pytest.raises(DataError) as caught:
        next(chunks)
    assert caught.value.problems == ("image 130: torn.", "image 290: torn.")


def test_decoding_runs_only_a_chunk_ahead(samples):
    started = []
    counted = replace(samples, read=lambda index, at_least=None: started.append(index) or samples.read(index))
    chunks = decoding.stream(counted, whole(300), 8)
    next(chunks)
    assert len(started) == 128
    ahead = decoding.stream(counted, whole(300), 8, ahead=1)
    next(ahead)
    assert len(started) <= 128 + 256


@pytest.fixture
def large(samples):
    """100 images of 100 x 100 pixels, which take 69 KiB each to decode."""
    file = io.BytesIO()
    Image.new("RGB", (100, 100)).save(file, "PNG")
    return replace(samples, read=lambda index, at_least=None: decode(file.getvalue(), at_least))


def test_large_images_wait_for_one_another_until_they_are_resized(large, monkeypatch):
    """An image counts while its pixels are in memory, not only while it is decoded."""
    at_once, most = set(), []

    def resized(image, size, box):
        if image.shape != (100, 100, 3):  # of a thread that an earlier test left
            return resize(image, size, box)
        at_once.add(threading.get_ident())
        most.append(len(at_once))
        time.sleep(0.001)
        at_once.remove(threading.get_ident())
        return resize(image, size, box)

    monkeypatch.setattr(images, "resize", resized)
    monkeypatch.setenv("KERASTUNE_DECODING", "100 KiB")
    assert [len(chunk) for chunk in decoding.stream(large, whole(100), 8, threads=4)] == [100]
    assert max(most) == 1


def test_images_that_fit_in_memory_together_do_not_wait(large, monkeypatch):
    together, met = threading.Barrier(2), threading.Event()

    def resized(image, size, box):
        if image.shape == (100, 100, 3) and not met.is_set():
            together.wait(60)
            met.set()
        return resize(image, size, box)

    monkeypatch.setattr(images, "resize", resized)
    assert [len(chunk) for chunk in decoding.stream(large, whole(16), 8, threads=2)] == [16]
    assert met.is_set()


# load


def gray_images(count: int) -> Samples:
    """Images of different sizes whose gray is their index."""
    sizes = np.array([(4 + index % 3, 5) for index in range(count)], dtype=np.int64)
    return Samples(
        read=lambda index, at_least=None: np.full((*sizes[index], 3), index % 256, dtype=np.uint8),
        names=[f"image {index}" for index in range(count)],
        labels=np.zeros(count, dtype=np.int64),
        class_names=("a",),
        sizes=sizes,
    )


def test_images_are_loaded_in_order_at_one_size():
    pixels = load(gray_images(50), size=8, threads=3)
    assert pixels.shape == (50, 8, 8, 3)
    assert pixels.dtype == np.uint8
    assert pixels[:, 0, 0, 0].tolist() == list(range(50))
    assert isinstance(pixels, np.ndarray)


def test_over_budget_the_array_is_in_a_file():
    pixels = load(gray_images(50), size=8, budget_bytes=50 * 8 * 8 * 3 - 1)
    assert isinstance(pixels, FileArray)
    assert (pixels.shape, pixels.dtype) == ((50, 8, 8, 3), np.uint8)
    np.testing.assert_array_equal(pixels, load(gray_images(50), size=8))


def test_several_threads_fill_the_file():
    pixels = load(gray_images(250), size=16, threads=4, budget_bytes=0)
    assert pixels[:][:, 15, 15, 0].tolist() == list(range(250))


def test_images_take_what_is_left_of_the_shared_budget(monkeypatch):
    monkeypatch.setattr(memory, "SHARED", Budget(80 * 64 * 64 * 3))
    first = load(gray_images(50), size=64)
    second = load(gray_images(50), size=64)
    assert isinstance(first, np.ndarray)
    assert isinstance(second, FileArray)
    del first
    assert isinstance(load(gray_images(50), size=64), np.ndarray)


def test_loading_stays_within_the_memory_budget(monkeypatch):
    monkeypatch.setattr(memory, "SHARED", Budget(2**20))
    samples = gray_images(1200)  # 172 MiB at this size, of which three chunks are in work
    tracemalloc.start()
    try:
        pixels = load(samples, size=224, threads=2)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert pixels[199, 0, 0, 0] == 199
    assert peak < 70 * 2**20


def test_the_temporary_file_is_deleted_with_the_array(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    pixels = load(gray_images(5), size=8, budget_bytes=0)
    del pixels
    assert list(tmp_path.iterdir()) == []


def test_images_larger_than_the_disk_are_refused_before_decoding(monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 0}))
    with pytest.raises(
        WorkError,
        match=r"5 images of 8 x 8 pixels take .*; set TMPDIR .*, or choose a smaller image_size",
    ):
        load(gray_images(5), size=8, budget_bytes=0)


def test_progress_reaches_the_end():
    seen = []
    load(gray_images(300), size=4, progress=seen.append)
    assert seen == [128, 256, 300]


def test_a_large_jpeg_decoded_at_reduced_size_looks_the_same(tmp_path):
    path = tmp_path / "ramp.jpg"
    ramp = np.linspace(0, 255, 640).astype(np.uint8)
    Image.fromarray(np.broadcast_to(ramp, (480, 640))).save(path)
    samples = replace(gray_images(1), read=lambda index, at_least=None: decode(path, at_least))
    assert samples.read(0, 64).shape == (120, 160, 3)
    difference = load(samples, size=32)[0].astype(int) - resize(decode(path), 32)
    assert np.abs(difference).max() <= 2


def test_load_names_all_images_that_cannot_be_decoded():
    good = gray_images(40)

    def read(index: int, at_least: int | None = None) -> np.ndarray:
        if index % 3 == 0:
            raise DataError(f"image {index}: this image cannot be read: it is torn; replace or remove it.")
        return good.read(index)

    with pytest.raises(DataError) as caught:
        load(replace(good, read=read), size=4, threads=4)
    assert caught.value.problems[0] == "image 0: this image cannot be read: it is torn; replace or remove it."
    assert caught.value.problems[9].startswith("image 27: ")
    assert caught.value.problems[10] == "4 more images cannot be read: image 30, image 33, image 36, image 39."


def test_an_interrupt_does_not_wait_for_the_remaining_images():
    decoded = []
    lock = threading.Lock()
    good = gray_images(2000)

    def read(index: int, at_least: int | None = None) -> np.ndarray:
        time.sleep(0.001)
        with lock:
            decoded.append(index)
        return good.read(index)

    def interrupt(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load(replace(good, read=read), size=4, threads=2, progress=interrupt)
    assert len(decoded) < 200
