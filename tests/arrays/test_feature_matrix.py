"""Features in memory, or in a file where there are too many of them."""

import numpy as np
import pytest

from kerastune_recipes.arrays.feature_matrix import Filled, room, side_by_side
from kerastune_recipes.arrays.files import FileArray


@pytest.mark.parametrize(("most", "kind"), [("1 GiB", np.ndarray), ("1 B", FileArray)])
def test_a_place_is_that_of_a_view_of_an_image(most, kind, monkeypatch):
    monkeypatch.setenv("KERASTUNE_MEMORY", most)
    rows = np.arange(18, dtype=np.float16).reshape(6, 3)
    filled = Filled(images=3, views=2)
    assert filled.whole().shape == (2, 3, 0)
    for places in ([5, 0], [2, 1], [3]):
        filled.put(np.array(places), rows[places])
    assert filled.missing.tolist() == [False, False, False, False, True, False]
    filled.put(np.array([4]), rows[4:5])
    assert isinstance(filled.whole(), kind)
    np.testing.assert_array_equal(np.asarray(filled.whole()), rows.reshape(3, 2, 3).swapaxes(0, 1))
    np.testing.assert_array_equal(filled.take(np.array([4, 1])), rows[[4, 1]])


@pytest.mark.parametrize("most", ["1 GiB", "1 B"])
def test_some_may_turn_out_to_need_more_precision(most, monkeypatch):
    monkeypatch.setenv("KERASTUNE_MEMORY", most)
    filled = Filled(images=4, views=1)
    filled.put(np.array([0, 2]), np.ones((2, 3), np.float16))
    filled.put(np.array([3, 1]), np.full((2, 3), 1e6, np.float32))
    filled.put(np.array([2]), np.zeros((1, 3), np.float16))
    assert np.asarray(filled.whole())[0, :, 0].tolist() == [1, 1e6, 0, 1e6]


def test_half_precision_counts_as_what_heads_are_solved_in(monkeypatch):
    """Eight numbers of two bytes are to be eight of four."""
    monkeypatch.setenv("KERASTUNE_MEMORY", "32 B")
    assert isinstance(room((1, 2, 4), np.float16), np.ndarray)
    assert isinstance(room((1, 2, 4), np.float32), np.ndarray)
    assert isinstance(room((1, 2, 5), np.float16), FileArray)


@pytest.mark.parametrize("most", ["1 GiB", "1 B"])
def test_networks_stand_side_by_side(most, monkeypatch):
    monkeypatch.setenv("KERASTUNE_MEMORY", most)
    parts = [np.random.default_rng(0).normal(size=(2, 5, width)).astype(np.float32) for width in (3, 4)]
    np.testing.assert_array_equal(np.asarray(side_by_side(parts)), np.concatenate(parts, axis=2))
