import numpy as np
import pytest

from kerastune_recipes.arrays.feature_matrix import FeatureMatrix, allocate_features, fits, side_by_side
from kerastune_recipes.arrays.files import FileArray


@pytest.mark.parametrize(("limit", "kind"), [("1 GiB", np.ndarray), ("1 B", FileArray)])
def test_rows_are_put_and_taken_in_any_order(limit, kind, monkeypatch):
    monkeypatch.setenv("KERASTUNE_MEMORY", limit)
    rows = np.arange(18, dtype=np.float16).reshape(6, 3)
    matrix = FeatureMatrix(images=3, views=2)
    assert matrix.whole().shape == (2, 3, 0)
    for numbers in ([5, 0], [2, 1], [3]):
        matrix.put(np.array(numbers), rows[numbers])
    assert matrix.missing.tolist() == [False, False, False, False, True, False]
    matrix.put(np.array([4]), rows[4:5])
    assert isinstance(matrix.whole(), kind)
    np.testing.assert_array_equal(np.asarray(matrix.whole()), rows.reshape(3, 2, 3).swapaxes(0, 1))
    np.testing.assert_array_equal(matrix.take(np.array([4, 1])), rows[[4, 1]])


@pytest.mark.parametrize("limit", ["1 GiB", "1 B"])
def test_float32_rows_widen_the_whole_matrix(limit, monkeypatch):
    monkeypatch.setenv("KERASTUNE_MEMORY", limit)
    matrix = FeatureMatrix(images=4, views=1)
    matrix.put(np.array([0, 2]), np.ones((2, 3), np.float16))
    matrix.put(np.array([3, 1]), np.full((2, 3), 1e6, np.float32))
    matrix.put(np.array([2]), np.zeros((1, 3), np.float16))
    assert np.asarray(matrix.whole())[0, :, 0].tolist() == [1, 1e6, 0, 1e6]


def test_the_limit_counts_float16_features_as_float32(monkeypatch):
    """Heads are solved in float32: eight float16 numbers count as 32 bytes."""
    monkeypatch.setenv("KERASTUNE_MEMORY", "32 B")
    assert isinstance(allocate_features((1, 2, 4), np.float16), np.ndarray)
    assert isinstance(allocate_features((1, 2, 4), np.float32), np.ndarray)
    assert isinstance(allocate_features((1, 2, 5), np.float16), FileArray)
    assert (fits((1, 2, 4)), fits((1, 2, 5))) == (True, False)


@pytest.mark.parametrize("limit", ["1 GiB", "1 B"])
def test_features_of_networks_are_concatenated(limit, monkeypatch):
    monkeypatch.setenv("KERASTUNE_MEMORY", limit)
    parts = [np.random.default_rng(0).normal(size=(2, 5, width)).astype(np.float32) for width in (3, 4)]
    np.testing.assert_array_equal(np.asarray(side_by_side(parts)), np.concatenate(parts, axis=2))
