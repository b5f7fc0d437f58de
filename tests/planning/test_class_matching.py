"""Classes of the data matched with classes of the pretraining, by hand and by name."""

import pytest

from kerastune_recipes.backbones.facts import PretrainedClassifierFacts
from kerastune_recipes.planning.class_matching import match

NAMES = ("ant", "bee", "crane", "great_white_shark", "Arctic_fox", "crane", "sunglass", "sunglasses")
IDS = tuple(f"n{index:08d}" for index in range(len(NAMES)))
SOURCE = PretrainedClassifierFacts(classes=len(NAMES), names=NAMES, ids=IDS)
NAMELESS = PretrainedClassifierFacts(classes=1000, nameless="The names are not there: give indices.")


def matched(asked, *class_names, source=SOURCE):
    found, problems = match(asked, class_names, source, "pretrained_classes")
    assert not problems
    return found


def told(asked, *class_names, source=SOURCE):
    return match(asked, class_names, source, "pretrained_classes")[1]


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("ant", 0),
        ("Ants", 0),
        ("Great White-Shark", 3),
        ("arctic fox", 4),
        ("n00000001", 1),
        # The very same name comes first, then the one without the s of a plural.
        ("sunglasses", 7),
        ("Sunglass", 6),
    ],
)
def test_classes_are_matched_by_name(name, index):
    assert matched({}, name, "wasps") == {name: (index,)}


def test_a_name_an_id_or_an_index_may_stand_for_a_class():
    asked = {"a": "bee", "b": "n00000004", "c": 2, "d": ["ant", 1, "bee"]}
    assert matched(asked, "a", "b", "c", "d") == {"a": (1,), "b": (4,), "c": (2,), "d": (0, 1)}


def test_what_is_given_by_hand_comes_before_the_name():
    assert matched({"ants": "bee", "bee": []}, "ants", "bee", "shark") == {"ants": (1,)}


def test_classes_that_match_nothing():
    (problem,) = told({}, "wasps", "flies")
    assert problem == (
        "pretrained_classes: no class of the data (wasps, flies) has the name of one that the backbone was pretrained on; "
        "say which of those stand for it, as in pretrained_classes: {bees: bee, ants: 310}, or take another head than "
        "pretrained_classifier."
    )


def test_an_unknown_source_class():
    assert told({"bees": "beee"}, "bees") == [
        'pretrained_classes.bees: there is no pretrained class "beee". Did you mean "bee"? Give a name, a WordNet id or an '
        "index from 0 to 7."
    ]
    assert told({"bees": [1, 8]}, "bees") == [
        "pretrained_classes.bees: there is no pretrained class 8. Give a name, a WordNet id or an index from 0 to 7."
    ]


def test_a_class_that_the_data_lacks():
    assert told({"bes": 1}, "ants", "bees") == [
        'pretrained_classes.bes: the data has no class "bes". Did you mean "bees"? Classes: ants, bees.'
    ]


def test_a_name_of_two_source_classes():
    ambiguous = (
        '"crane" may be any of the pretrained classes 2 (n00000002), 5 (n00000005); give the one that is meant, or'
    )
    assert ambiguous in told({}, "ants", "crane")[0]
    assert ambiguous in told({"birds": "crane"}, "birds")[0]
    assert matched({"crane": 5}, "ants", "crane") == {"ants": (0,), "crane": (5,)}


def test_everything_wrong_is_told_at_once():
    assert len(told({"bes": 1, "ants": ["amt", 9]}, "ants", "bees")) == 3


def test_without_the_names_indices_still_do():
    assert matched({"bees": 309, "flies": []}, "ants", "bees", "flies", source=NAMELESS) == {"bees": (309,)}


def test_without_the_names_names_say_what_to_do():
    expected = ["pretrained_classes: bee, ant cannot be looked up. The names are not there: give indices."]
    assert told({"bees": ["bee", 3], "ants": "ant"}, "bees", "ants", source=NAMELESS) == expected
    assert told({}, "bee", "ant", source=NAMELESS) == expected
    assert told({"bees": 1000}, "bees", source=NAMELESS) == [
        "pretrained_classes.bees: there is no pretrained class 1000. Give an index from 0 to 999."
    ]
