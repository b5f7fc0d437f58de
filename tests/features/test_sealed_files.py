"""Files that are read only if every byte is as it was written."""

import numpy as np
import pytest

from kerastune_recipes.checksummed_files import DamagedError
from kerastune_recipes.features.sealed_files import opened, sealed

ARRAYS = {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3), "bias": np.ones(3, np.float16)}
WHOLE = sealed("here", ARRAYS, {"strength": 10.0}, b"\n\x00index\n")


@pytest.fixture
def file(tmp_path):
    """A file that is as it was written."""
    path = tmp_path / "file"
    path.write_bytes(WHOLE)
    return path


def read(file, place="here"):
    with opened(file, place) as content:
        return content.arrays(), content.value, content.index


def test_what_was_written_is_read(file):
    arrays, value, index = read(file)
    assert list(arrays) == ["kernel", "bias"]
    for name, array in arrays.items():
        assert array.dtype == ARRAYS[name].dtype
        np.testing.assert_array_equal(array, ARRAYS[name])
    assert (value, index) == ({"strength": 10.0}, b"\n\x00index\n")


@pytest.mark.parametrize(
    "array", [np.zeros((0, 3), np.float32), np.array(7), np.arange(6).reshape(2, 3).T, np.array([True]), np.zeros(0)]
)
def test_arrays_of_any_shape(file, array):
    file.write_bytes(sealed("here", {"before": ARRAYS["bias"], "array": array, "after": ARRAYS["bias"]}))
    arrays, value, index = read(file)
    assert (arrays["array"].dtype, arrays["array"].shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(arrays["array"], array)
    np.testing.assert_array_equal(arrays["after"], ARRAYS["bias"])
    assert (value, index) == (None, b"")


def test_the_index_is_read_without_the_arrays(file):
    file.write_bytes(WHOLE[:-1] + b"?")
    with opened(file, "here") as content:
        assert content.index == b"\n\x00index\n"
        with pytest.raises(DamagedError):
            content.arrays()


def test_every_byte_counts(file):
    for place in range(len(WHOLE)):
        changed = bytearray(WHOLE)
        changed[place] ^= 1 << place % 8
        file.write_bytes(changed)
        with pytest.raises(DamagedError):
            read(file)


def test_every_length_but_its_own_is_refused(file):
    for length in range(len(WHOLE)):
        file.write_bytes(WHOLE[:length])
        with pytest.raises(DamagedError):
            read(file)
    for more in (b"\0", b"more", WHOLE):
        file.write_bytes(WHOLE + more)
        with pytest.raises(DamagedError):
            read(file)
    file.write_bytes(bytes(len(WHOLE)))
    with pytest.raises(DamagedError):
        read(file)


def test_a_file_of_another_place_is_refused(file):
    with pytest.raises(DamagedError):
        read(file, "there")


def test_parts_of_two_files_do_not_fit_together(file):
    other = sealed("here", {name: array + 1 for name, array in ARRAYS.items()}, {"strength": 10.0}, b"\n\x00index\n")
    body = sum(array.nbytes for array in ARRAYS.values())
    file.write_bytes(WHOLE[:-body] + other[-body:])
    with pytest.raises(DamagedError):
        read(file)


def test_an_error_of_the_system_passes_through(tmp_path):
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "nowhere")
