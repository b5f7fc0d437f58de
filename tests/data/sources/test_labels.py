import re

import numpy as np
import pytest

from kerastune_recipes.data.sources.labels import collect_names, read_labels


@pytest.mark.parametrize(
    ("given", "class_names"),
    [
        (["b", "a", "b"], ("a", "b")),
        (["10", "9", "10"], ("9", "10")),
        (["01", "1", "01"], ("01", "1")),
        (["10", "9a"], ("10", "9a")),
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
    ],
)
def test_unusable_labels_are_refused(given, class_names, problem):
    labels, problems = read_labels(given, class_names)
    assert labels is None
    assert re.match(problem, problems[0])


def test_very_long_numbers_are_sorted_as_texts():
    assert collect_names(["9" * 5000, "10", "9"]).class_names == ("10", "9", "9" * 5000)
