import numpy as np
import pandas as pd
import pytest

from kerastune_recipes.data.sources import cells


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ("ant", "ant"),
        (np.array(b"ant", object), b"ant"),
        (np.array(["ant"]), "ant"),
        (np.int8(3), 3),
        (["ant"], "ant"),
        ([["ant"]], "ant"),
        (np.ma.masked, None),
        (["ant", "bee"], ["ant", "bee"]),
        ([], []),
    ],
)
def test_a_single_value_is_taken_out_of_what_holds_it(value, plain):
    assert cells.plain(value) == plain


def test_a_tensor_without_axes_is_a_single_value():
    tf = pytest.importorskip("tensorflow", reason="a tensor of TensorFlow")
    assert cells.plain(tf.constant("ant")) == b"ant"


@pytest.mark.parametrize(
    "value", [None, np.nan, np.float32("nan"), pd.NA, pd.NaT, np.datetime64("NaT"), "", " \t", b" "]
)
def test_missing_values(value):
    assert cells.is_missing(value)


@pytest.mark.parametrize("value", [0, 0.0, False, "nan", "None", b"0", [], np.datetime64("2026-01-01")])
def test_values_that_are_there(value):
    assert not cells.is_missing(value)


def test_values_of_a_masked_array_and_of_a_column():
    assert cells.listed_values(np.ma.array([1, 2], mask=[False, True])) == [1, None]
    assert cells.listed_values(pd.Series([1, None], dtype="Int64")) == [1, pd.NA]


def test_different_values_are_found_once():
    values, positions = cells.distinct(["a", 1, True, "a", [1], [1], 1.0])
    assert values == ["a", 1, True, [1], [1], 1.0]
    assert positions.tolist() == [0, 1, 2, 0, 3, 4, 5]


def test_values_as_text():
    assert [cells.as_text(value) for value in ("a ", b"a", 1.0, 1.5, 10**20, True)] == [
        "a", "a", "1", "1.5", "1" + 20 * "0", "True",
    ]  # fmt: skip


def test_numbers_of_any_size():
    assert cells.as_numbers([1, 2]).dtype == np.int64
    assert cells.as_numbers([1, 2**63]).tolist() == [1.0, 2.0**63]
    assert cells.as_numbers([-(10**400), 10**400]).tolist() == [-np.inf, np.inf]


def test_long_values_are_shown_shortened():
    assert cells.shown(list(range(100))).endswith("...")
    assert cells.is_utf8(b"ant")
    assert not cells.is_utf8(b"\xff")
    assert cells.has_several(("ant", "bee"))
    assert cells.is_single(np.float32(1))
    assert not cells.is_single({"ant": 1})
    assert cells.are_numbers([1, 1.5, True])
    assert not cells.are_numbers([1, "1"])
