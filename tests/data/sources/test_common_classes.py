"""One list of classes for all splits: names matched by name, numbers by what they number."""

import numpy as np
import pytest

from kerastune_recipes.data.dataset import Pictures
from kerastune_recipes.data.sources.common_classes import Classes, with_classes, with_common_classes
from kerastune_recipes.data.sources.parts import Part

TWELVE = tuple(map(str, range(12)))


def part(names, labels, naming="declared", **more) -> Part:
    pictures = Pictures(lambda index, at_least=None: None, list(map(str, labels)), np.ones((len(labels), 2), int))
    return Part(pictures.labelled(np.array(labels, dtype=np.int64), names), naming, **more)


def numbered(*labels, **more) -> Part:
    return part(tuple(map(str, range(max(labels) + 1))), labels, "numbered", **more)


def read(labels: Part, classes: Classes) -> tuple[list[str], list[str], list[str]]:
    converted, problems, doubts = with_classes("test", labels, classes)
    names = [] if problems else [classes.names[label] for label in converted.samples.labels]
    return names, problems, doubts


def test_splits_are_matched_by_name():
    parts = {"train": part(("a", "b"), [0, 1]), "test": part(("b", "a"), [0, 0, 1])}
    converted, problems, doubts = with_common_classes(parts)
    assert (problems, doubts) == ([], [])
    assert converted["test"].samples.class_names == ("a", "b")
    assert converted["test"].samples.labels.tolist() == [1, 1, 0]


def test_integers_name_the_classes_that_folders_name_by_numbers():
    names, problems, doubts = read(numbered(2, 10, 11), Classes(TWELVE, "declared"))
    assert (names, problems) == (["2", "10", "11"], [])
    assert doubts == [
        'test: the label 2 is read as class "2"; where folders are sorted as text, as by Keras, it would be "10": if '
        "that is meant, give the labels as names."
    ]


@pytest.mark.parametrize(
    ("labels", "names", "doubt"),
    [
        ((1, 2, 3), ["1", "2", "3"], 0),  # no position is 3
        ((1, 2), ["1", "2"], 1),
        ((0, 1, 2), ["1", "2", "3"], 0),  # no class is called 0
    ],
)
def test_integers_are_positions_where_no_class_has_such_a_name(labels, names, doubt):
    assert read(numbered(*labels), Classes(("1", "2", "3"), "declared"))[0] == names
    assert len(read(numbered(*labels), Classes(("1", "2", "3"), "declared"))[2]) == doubt


def test_integers_that_are_neither_name_nor_position_are_refused():
    problems = read(numbered(0, 4), Classes(("1", "2", "3"), "declared"))[1]
    assert problems == ["test: labels out of range: image 1 with 4; give integers from 0 to 2, as there are 3 classes."]


def test_the_numbers_of_a_source_count_for_other_splits():
    as_text = tuple(sorted(TWELVE))
    names, problems, doubts = read(numbered(2, 10, 11), Classes(TWELVE, "declared", numbering=as_text))
    assert (names, problems, doubts) == (["10", "8", "9"], [], [])
    model = Classes.of_model(as_text)
    assert read(numbered(2, 10, 11), model)[0] == ["10", "8", "9"]
    assert read(numbered(2, 10, 11), Classes.of_model(TWELVE))[0] == ["2", "10", "11"]


def test_integers_match_labels_that_are_numbers_as_text():
    names, problems, doubts = read(numbered(3, 1), Classes(("1", "3"), "collected"))
    assert (names, problems, doubts) == (["3", "1"], [], [])
    assert "unknown classes in test" in read(numbered(1, 0), Classes(("ant", "bee"), "collected"))[1][0]


def test_one_hot_rows_are_positions():
    one_hot = part(tuple(map(str, range(12))), [2, 11], "numbered", one_hot=True)
    assert read(one_hot, Classes(TWELVE, "declared"))[0] == ["2", "11"]
    assert read(one_hot, Classes(("1", "2"), "declared"))[1][1] == (
        "test: one-hot labels have 12 columns, but there are 2 classes; give one column for each class."
    )


def test_numbers_that_are_no_numbers_of_classes_stay_names():
    long = ("20240101", "9" * 18)
    assert read(numbered(0, 1), Classes(long, "declared"))[0] == list(long)
    assert read(numbered(0, 1), Classes(("007", "7"), "declared"))[0] == ["007", "7"]


def test_names_that_differ_only_in_capitals_are_shown_beside_each_other():
    parts = {"train": part(("ANT", "DOG"), [0, 1]), "test": part(("ant", "dog"), [0, 1])}
    assert with_common_classes(parts)[1][-1] == (
        'test: classes that differ only in capitals: "ANT" and "ant", "DOG" and "dog"; if they are one class, give it '
        "one name."
    )
    assert with_common_classes({"train": part(("Cat", "cat"), [0, 1])})[2] == [
        'classes that differ only in capitals: "Cat" and "cat"; if they are one class, give it one name.'
    ]


def test_a_model_of_an_earlier_run_may_store_accents_otherwise():
    assert Classes.of_model(("Mo\u0308we", "ant")).names == ("M\u00f6we", "ant")
    both = ("Mo\u0308we", "M\u00f6we")
    assert Classes.of_model(both).names == both
