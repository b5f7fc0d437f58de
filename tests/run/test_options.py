"""The options of a run are those of `Recipe.run`, with the same defaults."""

import dataclasses
import inspect

from kerastune_recipes import Recipe
from kerastune_recipes.data.sources.open import open_dataset
from kerastune_recipes.run.options import RunOptions


def test_the_options_of_the_images_are_those_of_their_opening():
    names = set(inspect.signature(open_dataset).parameters)
    assert set(RunOptions().of_data()) == names - {"ds", "seed"}
    assert RunOptions(pixel_range=(0, 1)).of_data()["pixel_range"] == (0, 1)


def test_options_and_recipe_run_agree():
    stated = {name: one.default for name, one in inspect.signature(Recipe.run).parameters.items()}
    assert {field.name: field.default for field in dataclasses.fields(RunOptions)} == {
        name: default for name, default in stated.items() if name not in ("self", "ds")
    }
