"""The backbones that a recipe asks for, built at one size."""

import keras
import pytest

from kerastune_recipes.errors import RecipeError
from kerastune_recipes.run.networks import at_other_sizes, build_networks
from kerastune_recipes.spec import catalog

DEMO = {"backbone.name": "DemoNet", "backbone.weights": "none"}


def test_small_images_get_a_small_network(data_facts):
    (network,), facts = build_networks(catalog.load("small_similar", DEMO), data_facts, None, dry=True)
    assert network.input_shape[1:3] == (facts.image_size, facts.image_size)
    assert facts.companions == ()


def test_an_ensemble_has_one_size(data_facts):
    companion = {"name": "MobileNet_0.25", "weights": "none"}
    asked = catalog.load("features_ensemble", {**DEMO, "backbone.image_size": 64, "ensemble": [companion]})
    networks, facts = build_networks(asked, data_facts, None, dry=True)
    assert [network.input_shape[1] for network in networks] == [64, 64]
    assert [one.name for one in facts.companions] == ["MobileNet_0.25"]


def test_the_size_of_a_preset_must_be_given(data_facts):
    preset = {"name": "hub:resnet_18_imagenet", "weights": "none"}
    asked = catalog.load("features_ensemble", {**DEMO, "ensemble": [preset]})
    with pytest.raises(RecipeError, match="the image size of hub:resnet_18_imagenet is not known before it is built"):
        build_networks(asked, data_facts, None, dry=True)


def test_a_network_of_the_users_own_keeps_its_size(data_facts):
    image = keras.Input((40, 40, 3))
    own = keras.Model(image, keras.layers.Conv2D(4, 3)(image), name="mine")
    asked = catalog.load("small_similar", {"backbone.name": "mine", "backbone.weights": "given"})
    _, facts = build_networks(asked, data_facts, own, dry=True)
    assert (facts.name, facts.image_size, facts.preprocessing) == ("mine", 40, "identity")


def test_other_sizes_are_those_a_plan_shows(data_facts):
    asked = catalog.load("small_similar", {**DEMO, "backbone.image_size": 32})
    _, facts = build_networks(asked, data_facts, None, dry=True)
    sizes = [one.image_size for one in at_other_sizes(facts)]
    assert sizes == sorted(set(sizes))
    assert 32 not in sizes
    assert {160, 224} <= set(sizes)
