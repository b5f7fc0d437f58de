import errno
import os
import resource
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest

from kerastune_recipes.arrays.files import ArrayList, FileArray, allocate
from kerastune_recipes.arrays.memory import Budget
from kerastune_recipes.errors import WorkError

MIB = 2**20


def image(index: int, size: int = 100) -> np.ndarray:
    """An image whose shape and values depend on its number."""
    return np.random.default_rng(index).integers(0, 256, (size + index % 7, 90 + index % 5, 3), dtype=np.uint8)


@contextmanager
def most_memory(limit: int):
    """Check that the block never allocates more than `limit` bytes."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < limit


@contextmanager
def small_files(limit: int):
    """Limit the size of files in bytes, like a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


# ArrayList


@pytest.mark.parametrize("limit", [0, 8 * MIB, 100 * MIB], ids=["file", "both", "memory"])
def test_arrays_are_returned_unchanged(limit):
    arrays = ArrayList(Budget(limit))
    for index in range(500):  # 14 MB
        arrays.append(image(index))
    assert len(arrays) == 500
    for index in (0, 1, 250, 498, 499, -1):
        np.testing.assert_array_equal(arrays[index], image(index % 500))
    with pytest.raises(IndexError):
        arrays[500]


def test_arrays_of_any_shape_even_empty():
    arrays = ArrayList(Budget(0))
    originals = [np.arange(5, dtype=np.uint8), np.zeros((0,), np.uint8), np.ones((2, 3), np.uint8), image(3)[::2, ::-1]]
    for array in originals:
        arrays.append(array)
    for stored, array in zip(arrays, originals, strict=True):
        np.testing.assert_array_equal(stored, array)


def test_the_list_holds_copies():
    arrays, array = ArrayList(Budget(8 * MIB)), np.zeros(3, np.uint8)
    arrays.append(array)
    array[:] = 1
    assert arrays[0].tolist() == [0, 0, 0]


@pytest.mark.parametrize("side", [100, 1300], ids=["small images", "images over 4 MiB"])
def test_memory_stays_within_the_budget(side):
    arrays = ArrayList(Budget(12 * MIB))
    array = np.zeros((side, side, 3), np.uint8)
    with most_memory(13 * MIB):
        for _ in range(60 * MIB // array.nbytes):
            arrays.append(array)


def test_threads_read_while_another_appends():
    arrays = ArrayList(Budget(0))
    for index in range(100):
        arrays.append(image(index))
    with ThreadPoolExecutor(4) as pool:
        reads = [pool.submit(arrays.__getitem__, index) for index in range(100)]
        arrays.append(image(100))
        for index, read in enumerate(reads):
            np.testing.assert_array_equal(read.result(), image(index))


def test_a_list_leaves_no_file_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    arrays = ArrayList(Budget(0))
    arrays.append(image(0))
    assert list(tmp_path.iterdir()) == []
    open_files = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
    del arrays
    if open_files is not None:
        assert len(os.listdir("/proc/self/fd")) == open_files - 1


def test_appending_to_a_full_disk_raises():
    arrays = ArrayList(Budget(0))
    for index in range(3):
        arrays.append(image(index))
    with (
        small_files(100_000),
        pytest.raises(WorkError, match=r"GiB cannot be written in .*: .*; set TMPDIR to a folder"),
    ):
        arrays.append(image(3))
    assert len(arrays) == 3
    np.testing.assert_array_equal(arrays[2], image(2))


def test_a_missing_temporary_folder_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with pytest.raises(WorkError, match=f"gone: {os.strerror(errno.ENOENT)}; set TMPDIR to a folder on a larger disk"):
        ArrayList(Budget(0)).append(image(0))


# FileArray


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.int64])
@pytest.mark.parametrize("shape", [(20,), (20, 3), (20, 4, 4, 3)])
def test_rows_are_read_as_numpy_reads_them(dtype, shape):
    values = np.random.default_rng(0).integers(0, 256, shape).astype(dtype)
    stored = FileArray(shape, dtype)
    assert (stored.shape, stored.dtype, len(stored)) == (shape, dtype, 20)
    stored[:] = values
    mask = np.arange(20) % 3 == 0
    for key in (3, -1, np.int64(4), slice(2, 9), slice(15, 99), slice(None, None, -3), slice(5, 5), slice(9, 2)):
        np.testing.assert_array_equal(stored[key], values[key], strict=True)
    for rows in (np.array([4, 5, 6, 1, 1, -2]), [0, 19], np.array([], dtype=int), mask):
        np.testing.assert_array_equal(stored[rows], values[rows], strict=True)
    np.testing.assert_array_equal(np.asarray(stored), values, strict=True)


def test_rows_are_written_as_numpy_writes_them():
    stored, array = FileArray((20, 3), np.float32), np.zeros((20, 3), np.float32)
    for each in (stored, array):
        each[0] = [1, 2, 3]
        each[5:9] = 4
        each[-1] = 5.5
        each[np.array([11, 12, 15])] = np.arange(9).reshape(3, 3)
        each[19:16:-2] = [[6, 6, 6], [7, 7, 7]]
    np.testing.assert_array_equal(stored, array)


def test_rows_of_one_part_are_read_and_written():
    stored, array = FileArray((2, 6, 5, 3), np.float32), np.zeros((2, 6, 5, 3), np.float32)
    for each in (stored, array):
        each[1, 2:4] = np.arange(30).reshape(2, 5, 3)
        each[-2, 5] = 7
        each[1, 3, 4] = 8
    np.testing.assert_array_equal(stored, array)
    chosen = np.array([3, 0, 2])
    np.testing.assert_array_equal(stored[1, chosen], array[1, chosen])
    np.testing.assert_array_equal(stored[0, 5, 1:3], array[0, 5, 1:3])


@pytest.mark.parametrize("key", [20, -21, [3, 20], (0, 3)])
def test_rows_beyond_the_end_raise_index_error(key):
    with pytest.raises(IndexError):
        FileArray((20, 3), np.uint8)[key]
    with pytest.raises(IndexError):
        FileArray((20, 3), np.uint8)[key] = 1


def test_rows_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="broadcast"):
        FileArray((20, 3), np.uint8)[2:4] = np.zeros((2, 4))


def test_changing_what_was_read_does_not_change_the_file():
    stored = FileArray((4, 3), np.uint8)
    read = stored[1]
    read[:] = 9
    assert stored[1].tolist() == [0, 0, 0]


def test_threads_write_and_read_at_the_same_time():
    stored = FileArray((400, 1000), np.int64)

    def work(row: int) -> bool:
        stored[row] = row
        return bool((stored[row] == row).all())

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(400)))
    assert stored[:][:, 0].tolist() == list(range(400))


def test_only_rows_being_read_take_memory():
    stored = FileArray((64, MIB), np.uint8)
    with most_memory(3 * MIB):
        for row in range(64):
            stored[row] = 1
            stored[row : row + 1]


def test_file_pages_do_not_count_as_memory_of_the_process():
    """A memory-mapped file fails this test."""

    def resident() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()

    if not os.path.exists("/proc/self/statm"):
        pytest.skip("needs /proc to read the resident memory")
    stored, block = FileArray((100, MIB), np.uint8), np.ones((10, MIB), np.uint8)
    before = resident()
    for start in range(0, 100, 10):
        stored[start : start + 10] = block
    assert resident() - before < 50 * MIB


def test_a_file_array_on_a_full_disk_raises():
    with small_files(100_000), pytest.raises(WorkError, match=os.strerror(errno.EFBIG)):
        FileArray((200_000,), np.uint8)


def test_a_file_array_leaves_no_file_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    stored = FileArray((4, 3), np.uint8)
    stored[0] = 1
    assert list(tmp_path.iterdir()) == []


# allocate


def test_arrays_over_budget_are_allocated_in_a_file():
    for budget in (24, 23):
        array = allocate((2, 3), np.float32, budget, what="two rows", otherwise="give fewer rows")
        assert isinstance(array, np.ndarray) is (budget == 24)
        array[1] = [1, 2, 0.5]
        assert array[1].tolist() == [1, 2, 0.5]


def test_allocating_more_than_the_disk_holds_raises_with_the_remedy_of_the_caller(monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 0}))
    with pytest.raises(WorkError, match=r"the features take 8\.0 GiB and .* larger disk, or freeze less\."):
        allocate((2**30,), np.float64, 0, what="the features", otherwise="freeze less")
