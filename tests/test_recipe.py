"""The public face: a recipe by name, by file or as it is, with overrides; what it plans."""

import keras
import pytest
from stripes import stripes

from kerastune_recipes import Recipe, yaml_files
from kerastune_recipes.errors import RecipeError
from kerastune_recipes.planning.plan import Plan
from kerastune_recipes.planning.resolve import resolve
from kerastune_recipes.spec import catalog

DEMO = {"backbone": "DemoNet", "backbone.weights": "none"}


def test_backbone_is_short_for_its_name():
    assert Recipe.from_name("small_similar", backbone="VGG16").content.backbone.name == "VGG16"


def test_a_network_of_ones_own_is_put_in():
    image = keras.Input((32, 32, 3))
    own = keras.Model(image, keras.layers.Conv2D(4, 3)(image), name="mine")
    recipe = Recipe.from_name("small_similar", backbone=own)
    assert recipe.network is own
    assert (recipe.content.backbone.name, recipe.content.backbone.weights) == ("mine", "given")


def test_a_recipe_is_loaded_by_name_by_path_or_as_it_is(tmp_path):
    recipe = Recipe.from_name("small_similar", **DEMO)
    file = tmp_path / "own.yaml"
    file.write_text(yaml_files.dump(recipe.content.to_data()))
    assert Recipe.load("small_similar").name == "small_similar"
    assert Recipe.load(file).content == Recipe.load(str(file)).content == recipe.content
    assert Recipe.load(file).name == "own"
    assert Recipe.load(recipe) is recipe


def test_a_saved_plan_keeps_the_name_of_its_recipe_and_takes_no_overrides(tmp_path):
    plan = Recipe.from_name("small_similar", **DEMO).plan(stripes())
    file = tmp_path / "plan.yaml"
    file.write_text(yaml_files.dump(plan.to_data()))
    loaded = Recipe.from_file(file)
    assert isinstance(loaded.content, Plan)
    assert loaded.name == "small_similar"
    with pytest.raises(RecipeError, match="a plan takes no overrides; edit the file"):
        Recipe.from_file(file, **{"features.views": 2})


def test_a_misspelt_recipe():
    with pytest.raises(RecipeError, match='Did you mean "small_similar"'):
        Recipe.from_name("smal_similar")


def test_the_description_is_of_the_same_plan():
    recipe = Recipe.from_name("small_similar", **DEMO)
    assert recipe.describe(stripes()).startswith(f"Plan: small_similar\n{recipe.plan(stripes()).summary}\n")


def test_a_file_may_have_any_name(tmp_path, data_facts, backbone_facts):
    file = tmp_path / "mine\x1b[2J\udcff.yaml"
    file.write_text(catalog.text("small_similar"))
    recipe = Recipe.from_file(file)
    assert recipe.name == r"mine\x1b[2J\udcff"
    assert resolve(recipe.name, recipe.content, data_facts, backbone_facts).recipe == recipe.name
