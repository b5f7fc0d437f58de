import numpy as np
import pytest

from kerastune_recipes.arrays.files import FileArray
from kerastune_recipes.arrays.lazy import Joined, Selected

ROWS = np.arange(15, dtype=np.uint8).reshape(5, 3)


def stored(rows: np.ndarray) -> FileArray:
    array = FileArray(rows.shape, rows.dtype)
    array[:] = rows
    return array


@pytest.mark.parametrize("kind", [np.asarray, stored])
@pytest.mark.parametrize("index", [slice(1, 4), [4, 0, 2], slice(3, 5), [0], 2, 4])
def test_joined_arrays_are_indexed_like_one_array(index, kind):
    joined = Joined(kind(ROWS[:3]), kind(ROWS[3:]))
    np.testing.assert_array_equal(joined[index], ROWS[index])
    assert (len(joined), joined.shape) == (5, (5, 3))


@pytest.mark.parametrize("kind", [np.asarray, stored])
@pytest.mark.parametrize("index", [slice(0, 2), [2, 0], 1])
def test_selected_rows_are_indexed_like_a_copy(index, kind):
    positions = np.array([4, 1, 1])
    selected = Selected(kind(ROWS), positions)
    np.testing.assert_array_equal(selected[index], ROWS[positions][index])
    assert (len(selected), selected.shape) == (3, (3, 3))
