"""The columns of a table are found by their names and what is in them, where that has only one meaning."""

import pandas as pd
import pytest

from kerastune_recipes.data.sources.columns import Columns, class_of_each_row, find, known

FILE, OTHER = "1.png", "word"


def table(**cells) -> pd.DataFrame:
    return pd.DataFrame({name.replace("__", " "): [cell, cell] for name, cell in cells.items()})


def found(frame, group=None, labelled=True):
    columns, problems = find(frame, group, lambda text: text.endswith(".png"), labelled)
    assert (columns is None) == bool(problems)
    return columns or "\n".join(problems)


@pytest.mark.parametrize(
    ("frame", "columns"),
    [
        (table(path=FILE, label=OTHER), Columns("path", "label")),
        (table(label=OTHER, Path=FILE), Columns("Path", "label")),
        (table(path=FILE, Path=FILE, label=OTHER, Label=OTHER), Columns("path", "label")),
        (table(file_name=FILE, label=OTHER), Columns("file_name", "label")),
        (table(filename=FILE, width=3, height=4, Class=OTHER), Columns("filename", "Class")),
        (table(Image__Path=FILE, Class__Name=OTHER), Columns("Image Path", "Class Name")),
        (table(id_code=FILE, diagnosis=OTHER), Columns("id_code", "diagnosis")),
        (table(image_id=7, filename=FILE, label=OTHER), Columns("filename", "label")),
        (table(image=7, file=FILE, label=OTHER), Columns("file", "label")),
        (table(image_id=7, filename=FILE, breed=OTHER), Columns("filename", "breed")),
        (table(filename=FILE, ants=1, bees=0), Columns("filename", classes=("ants", "bees"))),
        (table(path=FILE, label=OTHER, ants=1, bees=0), Columns("path", "label")),
        (table(path=FILE, label=OTHER, Split="any"), Columns("path", "label", split="Split")),
    ],
)
def test_columns_are_found(frame, columns):
    assert found(frame) == columns


@pytest.mark.parametrize(
    ("frame", "problem"),
    [
        (table(scan=FILE, label=OTHER), 'no column "path"; the columns are scan, label. Rename'),
        (table(image=FILE, file=FILE, label=OTHER), "the path could be image or file; rename one of these columns"),
        (table(path=FILE, Class=OTHER, target=1), "the label could be Class or target; rename one of"),
        (table(path=FILE, day=OTHER, camera=OTHER), 'no column "label"; the columns are path, day, camera. Rename'),
        (table(path=FILE, labl=OTHER, camera=OTHER), 'Did you mean "labl"?'),
        (table(path=FILE), 'there is no column "label"; the columns are path.'),
        (pd.DataFrame([[FILE, "a", FILE]], columns=["path", "label", "path"]), 'there are 2 columns "path"'),
    ],
)  # fmt: skip
def test_columns_with_several_meanings_are_refused(frame, problem):
    assert problem in found(frame)


def test_a_table_without_names_is_told():
    frame = pd.DataFrame([["2.png", "x"]], columns=["1.png", "x"])
    assert found(frame) == "the first line names an image, not the columns; put a line path,label above it."


def test_a_class_may_be_called_like_a_file():
    frame = pd.DataFrame({"path": [FILE, FILE], "1.png": [1, 0], "2.png": [0, 1]})
    assert found(frame) == Columns("path", classes=("1.png", "2.png"))


def test_the_index_of_pandas_is_no_label():
    frame = pd.DataFrame({"Unnamed: 0": [7, 9], "file": [FILE, FILE], "breed": ["a", "b"]})
    assert found(frame) == Columns("file", "breed")


def test_splits_are_found_by_what_is_in_them():
    frame = pd.DataFrame({"path": [FILE] * 3, "label": list("aba"), "part": ["Train", "valid", "test"]})
    assert found(frame) == Columns("path", "label", split="part")
    assert found(frame.assign(other=["train", "train", "test"])) == Columns("path", "label")
    assert found(frame.assign(part="train")) == Columns("path", "label")
    assert found(frame.drop(columns="label").assign(label=["train", "train", "test"])).label == "label"


def test_groups_are_found_by_their_name():
    frame = table(path=FILE, Patient__ID=1, kind=OTHER)
    assert found(frame, group="patient_id") == Columns("path", "kind", group="Patient ID")
    assert 'there is no column "patience"; the columns are path, Patient ID, kind.' in found(frame, group="patience")
    assert found(table(path=FILE, label=OTHER, other=1), group="label") == Columns("path", "label", group="label")


def test_images_without_labels_need_a_path_only():
    assert found(table(filename=FILE, day=1, camera=2), labelled=False) == Columns("filename")


def test_columns_of_other_names_are_noted():
    assert Columns("path", "label", split="split").note() == []
    assert Columns("file", "label", split="part").note() == [
        'column "file" is read as path, column "part" is read as split.'
    ]
    assert Columns("path", classes=("a", "b")).note() == ["columns a, b are read as one class each."]


def test_roles_are_counted():
    assert [known(names) for names in (["path", "label", "split"], ["File Name", "x"], ["path;label"], [])] == [
        3,
        1,
        0,
        0,
    ]


def test_each_row_has_one_class():
    classes, problems = class_of_each_row({"a": ["1", "False", "0", "1"], "b": ["0", "True", "0", "1"]})
    assert classes == ["a", "b", "", ""]
    assert problems == [
        "rows without a class (a, b are 0 and 1): row 3; an image has one class here.",
        "rows with several classes (a, b are 0 and 1): row 4; an image has one class here.",
    ]
