import numpy as np
import pytest

from kerastune_recipes import checksummed_files
from kerastune_recipes.checksummed_files import DamagedError

ARRAYS = {
    "kernel": np.arange(6, dtype=np.float32).reshape(2, 3),
    "scalar": np.array(7, np.int64),
    "seed": np.array([2**31, 5], np.uint32),
    "flags": np.array([True, False]),
    "empty": np.empty((0, 4), np.float16),
}
VALUE = {"epoch": 3, "loss": 0.1 + 0.2, "rows": [{"accuracy": 1.0}], "name": "Käfer"}


@pytest.fixture
def file(tmp_path):
    checksummed_files.save(tmp_path / "file", ARRAYS, VALUE)
    return tmp_path / "file"


def test_arrays_and_value_come_back_exactly(file):
    arrays, value = checksummed_files.load(file)
    assert value == VALUE
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array, strict=True)


def test_values_that_are_not_numbers_come_back(tmp_path):
    checksummed_files.save(tmp_path / "file", {}, [float("nan"), float("inf")])
    _, (nothing, infinite) = checksummed_files.load(tmp_path / "file")
    assert nothing != nothing
    assert infinite == float("inf")


def test_slices_are_written_as_they_are(tmp_path):
    array = np.arange(12).reshape(3, 4)[:, ::2]
    checksummed_files.save(tmp_path / "file", {"array": array}, None)
    np.testing.assert_array_equal(checksummed_files.load(tmp_path / "file")[0]["array"], array)


def test_every_flipped_bit_is_noticed(file):
    content = file.read_bytes()
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 1 << position % 8
        file.write_bytes(damaged)
        with pytest.raises(DamagedError):
            checksummed_files.load(file)


def test_every_truncation_and_any_appended_byte_is_noticed(file):
    content = file.read_bytes()
    for damaged in (*(content[:length] for length in range(len(content))), content + b"\0"):
        file.write_bytes(damaged)
        with pytest.raises(DamagedError):
            checksummed_files.load(file)


def test_a_file_in_the_place_of_another_is_refused(tmp_path):
    checksummed_files.save(tmp_path / "file", ARRAYS, VALUE, "phase 1")
    assert checksummed_files.load(tmp_path / "file", "phase 1")[1] == VALUE
    with pytest.raises(DamagedError, match="its checksum does not match its content and place"):
        checksummed_files.load(tmp_path / "file", "phase 2")


def test_the_reason_is_said(file):
    file.write_bytes(b"")
    with pytest.raises(DamagedError, match="^it is empty$"):
        checksummed_files.load(file)
    file.write_bytes(b"my thesis")
    with pytest.raises(DamagedError, match="^it was not written by this package$"):
        checksummed_files.load(file)
