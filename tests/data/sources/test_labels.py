import re

import numpy as np
import pytest

from kerastune_recipes.data.sources.labels import collect_names, read_groups, read_labels


@pytest.mark.parametrize(
    ("given", "class_names"),
    [
        (["b", "a", "b"], ("a", "b")),
        (["10", "9", "10"], ("9", "10")),
        (["01", "1", "01"], ("01", "1")),
        (["10", "9a"], ("10", "9a")),
        (["-1", "-10", "0.5"], ("-10", "-1", "0.5")),
    ],
)
def test_names_are_sorted_and_numbers_counted(given, class_names):
    labels = collect_names(given)
    assert labels.class_names == class_names
    assert [class_names[index] for index in labels.indices] == given


def test_integers_are_positions():
    labels, problems = read_labels(np.array([2, 0]))
    assert problems == []
    assert labels.indices.tolist() == [2, 0]
    assert labels.class_names == ("0", "1", "2")
    assert labels.naming == "numbered"


def test_given_class_names_are_used():
    labels, _ = read_labels(np.array([1, 0]), ["ant", "wasp"])
    assert (labels.class_names, labels.naming) == (("ant", "wasp"), "declared")
    labels, _ = read_labels(np.array(["wasp", "ant"]), ["wasp", "ant"])
    assert labels.indices.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("given", "class_names", "problem"),
    [
        (np.array(["bee"]), ["ant", "wasp"], "labels that are not class names: bee; the classes are ant, wasp"),
        (np.eye(3), ["ant", "wasp"], "one-hot labels have 3 columns, but there are 2 classes"),
        (np.array([2]), ["ant", "wasp"], "labels out of range: image 0 with 2"),
        (np.zeros((2, 2, 2)), None, r"labels have shape \(2, 2, 2\)"),
        (np.array([1j]), None, "labels are of type complex128"),
        (None, None, "there are no labels; give one for each image"),
        ({0, 1}, None, r"labels are a set; give \(n,\) integers"),
        ([{"a": 1}, "b"], None, "labels are of type dict; give integers"),
        ([b"\xff", b"ant"], None, "labels that are not UTF-8 text: image 0; decode them"),
        ([["a", "b"], ["c", "d"]], None, r"images with several labels: image 0 with \['a', 'b'\], image 1 with"),
        ([("a",), ("a", "b")], None, r"images with several labels: image 1 with \('a', 'b'\); an image has one class"),
        ([{"a"}, set()], None, r"images with several labels: image 1 with set\(\)"),
        (np.array([[1, 1, 0], [0, 1, 0]]), None, "images with several labels: image 0 with sum 2; an image has one"),
        ([0.0, np.inf], None, "labels that are not integers: image 1 with inf"),
    ],
)
def test_unusable_labels_are_refused(given, class_names, problem):
    labels, problems = read_labels(given, class_names)
    assert labels is None
    assert re.match(problem, problems[0])


def test_very_long_numbers_are_sorted_as_texts():
    assert collect_names(["9" * 5000, "10", "9"]).class_names == ("10", "9", "9" * 5000)


@pytest.mark.parametrize(
    ("given", "class_names"),
    [
        (np.array([b"na", b"ci"]), ("ci", "na")),
        ([np.array(b"na", object), np.array("ci")], ("ci", "na")),
        ([["na"], ["ci"]], ("ci", "na")),
        ([{"na"}, {"ci"}], ("ci", "na")),
        (["na ", " ci"], ("ci", "na")),
        (np.array([1.0, 0.0], object), ("0", "1")),
        ([np.float32(1), 0], ("0", "1")),
        ([True, False], ("0", "1")),
        (["1", 0.0], ("0", "1")),
        (["1", 0.5], ("0.5", "1")),
    ],
)
def test_values_are_read_whatever_holds_them(given, class_names):
    labels, problems = read_labels(given)
    assert problems == []
    assert labels.class_names == class_names
    assert labels.indices.tolist() == [1, 0]


def test_missing_labels_of_which_numpy_made_text_are_doubted():
    labels, problems = read_labels(np.array(["ant", None, "bee", np.nan]).astype(str))
    assert problems == []
    assert labels.doubts == (
        'labels that may be missing ones, of which NumPy made text: image 1 with "None", image 3 with "nan"; they are '
        "classes here, so give a list or an array of objects, or leave these images out.",
    )
    assert read_labels(["ant", "None"])[0].doubts == ()


def test_a_label_of_an_evaluated_class_may_be_large():
    labels, problems = read_labels([999, 3])
    assert problems == []
    assert len(labels.class_names) == 1000


def test_groups_are_names():
    assert read_groups(["b ", b"a"], 2)[0].tolist() == ["b", "a"]
    assert read_groups([1.0, 7], 2)[0].tolist() == ["1", "7"]
    groups, problems = read_groups(["a", None], 2)
    assert groups is None
    assert problems == ["groups missing: image 1; give one for each image, or leave these images out."]


def test_one_form_of_accents_is_one_class():
    assert collect_names(["Mo\u0308we", "M\u00f6we"]).class_names == ("M\u00f6we",)
    labels, problems = read_labels(np.array(["Mo\u0308we"]), ["ant", "M\u00f6we"])
    assert (labels.indices.tolist(), problems) == ([1], [])


def test_names_of_numbers_are_kept_with_the_numbers():
    assert read_labels(np.array([0, 1]), ["10", "2"])[0].numbering == ("10", "2")
    assert read_labels(np.array([0, 1]))[0].numbering is None
    assert read_labels(np.array(["2", "10"]), ["10", "2"])[0].numbering is None
