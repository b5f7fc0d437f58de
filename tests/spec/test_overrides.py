"""Overrides of a recipe by dotted keys."""

import pytest

from kerastune_recipes.errors import RecipeError
from kerastune_recipes.spec.overrides import override


def recipe():
    return {
        "backbone": {"name": "ResNet50"},
        "phases": [
            {"name": "feature_extraction", "solve": {}},
            {"name": "fine_tuning", "fit": {"trainable": [["head", 1.0], ["backbone", "frozen"]]}},
        ],
    }


def test_a_phase_is_named_by_its_name_or_position():
    data = recipe()
    by_name = override(data, {"phases.fine_tuning.fit.duration": "1 epoch"}, "r.yaml")
    by_position = override(data, {"phases.1.fit.duration": "1 epoch"}, "r.yaml")
    assert by_name == by_position
    assert by_name["phases"][1]["fit"]["duration"] == "1 epoch"
    assert "duration" not in data["phases"][1]["fit"]


def test_backbone_is_short_for_its_name():
    assert override({"backbone": {"name": "A", "weights": "none"}}, {"backbone": "B"}, "r")["backbone"] == {
        "name": "B",
        "weights": "none",
    }


def test_an_unknown_phase_is_refused():
    with pytest.raises(
        RecipeError, match=r'override phases.fine_tunig.fit.duration: there is no "fine_tunig" here. Did'
    ):
        override(recipe(), {"phases.fine_tunig.fit.duration": "1 epoch"}, "r")


def test_a_name_may_have_dots():
    data = {"phases": [{"name": "a"}, {"name": "a.b", "fit": {}}]}
    assert override(data, {"phases.a.b.fit.views": 1}, "r")["phases"][0] == {"name": "a", "b": {"fit": {"views": 1}}}
    assert override({"phases": data["phases"][1:]}, {"phases.a.b.fit.views": 1}, "r")["phases"] == [
        {"name": "a.b", "fit": {"views": 1}}
    ]


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        ("phases.².fit", 'r: override phases.².fit: there is no "²" here. Known: feature_extraction, fine_tuning.'),
        ("phases.-1", 'there is no "-1" here.'),
        ("phases..fit", 'there is no "" here.'),
        (f"phases.{'9' * 5000}", f'there is no "{"9" * 57}..." here.'),
        (".".join(["a"] * 5000), "the key has 5000 steps; the format has seven at most."),
    ],
)
def test_keys_that_lead_nowhere_are_refused_in_a_sentence(key, problem):
    with pytest.raises(RecipeError) as caught:
        override(recipe(), {key: 1}, "r")
    assert problem in str(caught.value)
    assert len(str(caught.value)) < 300


def test_missing_mappings_are_created():
    assert override({"head": None}, {"head.pooling": "max", "features.views": 2}, "r") == {
        "head": {"pooling": "max"},
        "features": {"views": 2},
    }


def test_all_problems_are_reported_at_once():
    with pytest.raises(RecipeError) as raised:
        override(recipe(), {"backbone.name.first": "x", "phases.9.fit": {}}, "r.yaml")
    assert raised.value.problems == (
        "r.yaml: override backbone.name.first: there is no key \"first\" here: the value is 'ResNet50'.",
        'r.yaml: override phases.9.fit: there is no "9" here. Known: feature_extraction, fine_tuning.',
    )
