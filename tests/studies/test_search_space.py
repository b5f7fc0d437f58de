"""The search space: which fields that a recipe leaves to auto are searched, and over which values."""

from dataclasses import replace

import pytest

from kerastune_recipes.planning.resolve import resolve
from kerastune_recipes.spec.overrides import override
from kerastune_recipes.spec.recipe_spec import RecipeSpec
from kerastune_recipes.studies import search_space


@pytest.fixture
def space(data_facts, backbone_facts):
    """Return a function that gives the dimensions, by key, of a recipe that leaves every other field to auto."""

    def dimensions(train=(30, 20), **changes):
        fit = {"trainable": [["head", 1.0], ["backbone", 1.0]]}
        data = {"summary": "A test.", "backbone": {"name": "DemoNet"}, "phases": [{"name": "only", "fit": fit}]}
        spec = RecipeSpec.from_data(override(data, changes, "test"), "test")
        facts = replace(data_facts, train=train)
        plan = resolve("test", spec, facts, replace(backbone_facts, image_size=128))
        return {dimension.key: dimension for dimension in search_space.space(spec, plan, facts)}

    return dimensions


FIT = "phases.only.fit"


def test_every_number_that_a_rule_guesses_is_searched(space):
    assert list(space()) == [
        "backbone.image_size",
        *(f"{FIT}.{key}" for key in ("learning_rate", "duration", "batch_size")),
    ]


def test_learning_rates_within_a_decade_of_the_rule(space):
    rate = space(**{f"{FIT}.batch_size": 32})[f"{FIT}.learning_rate"]
    assert rate.default == 3e-3
    assert rate.bounds == pytest.approx((3e-4, 3e-2))


def test_durations_and_batch_sizes_are_halved_and_doubled(space):
    """Fifty images in batches of 32 are two steps; the rule gives them the most epochs of few."""
    found = space()
    assert found[f"{FIT}.duration"].default == "20 epochs"
    assert found[f"{FIT}.duration"].values == ("10 epochs", "20 epochs", "40 epochs")
    assert found[f"{FIT}.batch_size"].values == (16, 32)  # 64 is more than the number of images
    assert space(train=(300, 200))[f"{FIT}.batch_size"].values == (16, 32, 64)


def test_image_sizes_are_multiples_of_the_grid(space):
    size = space()["backbone.image_size"]
    assert (size.default, size.values) == (128, (96, 128, 160))


def test_image_size_of_a_network_outside_the_table_is_not_searched(space):
    assert "backbone.image_size" not in space(**{"backbone.weights": "given", "backbone.name": "mine"})


def test_momentum_only_where_batch_norm_is_trained(space):
    assert f"{FIT}.batch_norm_momentum" not in space()
    momentum = space(**{f"{FIT}.batch_norm": "trained"})[f"{FIT}.batch_norm_momentum"]
    assert (momentum.default, momentum.values) == (0.9, (0.8, 0.9, 0.95, 0.99))


def test_views_are_searched_where_the_rule_uses_them(space):
    frozen = {f"{FIT}.trainable": [["head", 1.0], ["backbone/last_stage", 1.0], ["backbone", "frozen"]]}
    assert space(**frozen, **{f"{FIT}.duration": "20 epochs"})[f"{FIT}.views"].values == (2, 4, 8)
    # Each epoch uses one view: no more views than epochs in the shortest trial.
    assert space(**frozen, **{f"{FIT}.duration": "7 epochs"})[f"{FIT}.views"].values == (2, 4)
    assert f"{FIT}.views" not in space(**frozen, **{f"{FIT}.views": "fresh"})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("backbone.image_size", 64),
        (f"{FIT}.learning_rate", 0.1),
        (f"{FIT}.duration", "3 epochs"),
        (f"{FIT}.batch_size", 8),
    ],
)
def test_fields_that_a_recipe_sets_are_not_searched(space, key, value):
    assert key not in space(**{key: value})


def test_a_solved_head_adds_nothing_to_the_search(space):
    assert list(space(**{"phases": [{"name": "only", "solve": {}}], "backbone.image_size": 64})) == []


def test_open_keys_are_those_of_overrides():
    data = {
        "summary": "A test.",
        "backbone": {"name": "DemoNet", "image_size": 32, "preprocessing": "symmetric"},
        "phases": [{"name": "head", "solve": {}}],
    }
    assert search_space.open_keys(RecipeSpec.from_data(data, "test")) == ("phases.head.solve.regularization",)
