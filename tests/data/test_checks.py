import numpy as np
import pytest

from kerastune_recipes.data import checks
from kerastune_recipes.data.images import Stored
from kerastune_recipes.errors import DataError


def test_correct_data_has_no_problems():
    names = ("a", "b")
    assert checks.lengths(3, 3) == []
    assert checks.class_counts((2, 2), names, hold_out=True) == []
    assert checks.class_counts((1, 1), names, hold_out=False) == []
    assert checks.class_agreement("test", ("b", "a"), names, complete=True) == []
    assert checks.class_agreement("test", ("b",), names, complete=False) == []
    assert checks.empty_split("test", 1) == []
    assert checks.unknown_labels(["a"], names) == []
    assert checks.whole_numbers(np.array([0.0, 2.0])) == []
    assert checks.label_range(np.array([0, 1]), 2) == []
    assert checks.one_hot(np.eye(3)) == []
    assert checks.one_hot_width(3, 3) == []
    assert checks.array_shapes(np.zeros((2, 4, 4, 3))) == []
    assert checks.outside([]) == []
    assert checks.duplicates(["a", "b"]) == []
    assert checks.columns(["path", "label", "more"], ["path", "label"]) == []
    assert checks.unreadable({}, []) == []


def test_labels_out_of_range_are_named():
    assert checks.label_range(np.array([0, 5, -1]), 3) == [
        "labels out of range: image 1 with 5, image 2 with -1; give integers from 0 to 2, as there are 3 classes."
    ]


def test_one_hot_rows_must_be_exact():
    assert checks.one_hot(np.array([[0, 0], [0, 1]])) == [
        "label rows that are not one-hot: image 0 with sum 0; give rows with a single 1 and otherwise 0, or integer "
        "labels."
    ]


def test_long_lists_are_shortened():
    (problem,) = checks.label_range(-np.ones(50, dtype=int))
    assert "image 9 with -1 and 40 more" in problem


def test_headers_keep_their_order_and_report_unreadable_images():
    def read_stored(index: int) -> Stored:
        if index == 1:
            raise DataError("b.jpg cannot be read")
        return Stored(index, 10 * index, deep=index == 2)

    sizes, deep, problems = checks.headers(read_stored, ["a.jpg", "b.jpg", "c.jpg"])
    assert sizes.tolist() == [[0, 0], [0, 0], [2, 20]]
    assert deep.tolist() == [False, False, True]
    assert problems == ["b.jpg cannot be read"]


@pytest.mark.parametrize(("count", "reasons"), [(10, 10), (11, 11)])
def test_unreadable_images_are_all_named(count, reasons):
    names = [f"{index}.jpg" for index in range(count)]
    problems = checks.unreadable({index: f"{name} is torn" for index, name in enumerate(names)}, names)
    assert len(problems) == reasons
    assert all(name in "\n".join(problems) for name in names)


def test_every_class_needs_validation_images():
    assert checks.held_out_counts((1, 2), ("a", "b")) == []
    (problem,) = checks.held_out_counts((1, 0, 0), ("a", "b", "c"))
    assert problem.startswith("classes without a validation image: b, c; validation images choose the model")
    assert "leave validation out" in problem
