"""Classes of the data matched with pretrained classes, by hand and by name."""

import pytest

from kerastune_recipes.backbones.facts import PretrainedClassifierFacts
from kerastune_recipes.planning.class_matching import match

NAMES = ("ant", "bee", "crane", "great_white_shark", "Arctic_fox", "crane", "sunglass", "sunglasses")
IDS = tuple(f"n{index:08d}" for index in range(len(NAMES)))
CLASSIFIER = PretrainedClassifierFacts(classes=len(NAMES), names=NAMES, ids=IDS)
WITHOUT_NAMES = PretrainedClassifierFacts(classes=1000, names_problem="The names are not there: give indices.")


def matches(mapping, *class_names, classifier=CLASSIFIER):
    """Return the indices by class of the data; there must be no problems."""
    found, problems = match(mapping, class_names, classifier, "pretrained_classes")
    assert not problems
    return found


def problems(mapping, *class_names, classifier=CLASSIFIER):
    return match(mapping, class_names, classifier, "pretrained_classes")[1]


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("ant", 0),
        ("Ants", 0),
        ("Great White-Shark", 3),
        ("arctic fox", 4),
        ("n00000001", 1),
        # Exactly the same name comes first, then the name without the s of a plural.
        ("sunglasses", 7),
        ("Sunglass", 6),
    ],
)
def test_classes_are_matched_by_name(name, index):
    assert matches({}, name, "wasps") == {name: (index,)}


def test_classes_are_mapped_by_name_id_or_index():
    mapping = {"a": "bee", "b": "n00000004", "c": 2, "d": ["ant", 1, "bee"]}
    assert matches(mapping, "a", "b", "c", "d") == {"a": (1,), "b": (4,), "c": (2,), "d": (0, 1)}


def test_a_mapping_by_hand_overrides_the_match_by_name():
    assert matches({"ants": "bee", "bee": []}, "ants", "bee", "shark") == {"ants": (1,)}


def test_no_match_at_all_is_a_problem():
    (problem,) = problems({}, "wasps", "flies")
    assert problem == (
        "pretrained_classes: no class of the data (wasps, flies) has the name of a class that the backbone was "
        "pretrained on; map them by hand, such as pretrained_classes: {bees: bee, ants: 310}, or use another head than "
        "pretrained_classifier."
    )


def test_an_unknown_pretrained_class_is_a_problem():
    assert problems({"bees": "beee"}, "bees") == [
        'pretrained_classes.bees: there is no pretrained class "beee". Did you mean "bee"? Give a name, a WordNet id '
        "or an index from 0 to 7."
    ]
    assert problems({"bees": [1, 8]}, "bees") == [
        "pretrained_classes.bees: there is no pretrained class 8. Give a name, a WordNet id or an index from 0 to 7."
    ]


def test_a_class_that_the_data_does_not_have_is_a_problem():
    assert problems({"bes": 1}, "ants", "bees") == [
        'pretrained_classes.bes: the data has no class "bes". Did you mean "bees"? Classes: ants, bees.'
    ]


def test_a_name_of_two_pretrained_classes_is_a_problem():
    ambiguous = (
        '"crane" matches several pretrained classes: 2 (n00000002), 5 (n00000005); give one of them, or [] for none.'
    )
    assert ambiguous in problems({}, "ants", "crane")[0]
    assert ambiguous in problems({"birds": "crane"}, "birds")[0]
    assert matches({"crane": 5}, "ants", "crane") == {"ants": (0,), "crane": (5,)}


def test_all_problems_are_reported_at_once():
    assert len(problems({"bes": 1, "ants": ["amt", 9]}, "ants", "bees")) == 3


def test_without_names_indices_still_work():
    assert matches({"bees": 309, "flies": []}, "ants", "bees", "flies", classifier=WITHOUT_NAMES) == {"bees": (309,)}


def test_without_names_the_problem_says_what_to_do():
    expected = ["pretrained_classes: bee, ant cannot be looked up. The names are not there: give indices."]
    assert problems({"bees": ["bee", 3], "ants": "ant"}, "bees", "ants", classifier=WITHOUT_NAMES) == expected
    assert problems({}, "bee", "ant", classifier=WITHOUT_NAMES) == expected
    assert problems({"bees": 1000}, "bees", classifier=WITHOUT_NAMES) == [
        "pretrained_classes.bees: there is no pretrained class 1000. Give an index from 0 to 999."
    ]
