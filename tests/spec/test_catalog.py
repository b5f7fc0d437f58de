"""The catalog of shipped recipes."""

import pytest

from kerastune_recipes.errors import RecipeError
from kerastune_recipes.spec import catalog


def test_the_four_scenarios_are_shipped():
    assert {"small_similar", "large_similar", "small_dissimilar", "large_dissimilar"} <= set(catalog.names())


def test_recipes_in_subfolders_are_found(tmp_path, monkeypatch):
    (tmp_path / "lore").mkdir()
    (tmp_path / "lore" / "half_frozen.yaml").write_text(catalog.text("small_similar"))
    (tmp_path / "notes.txt").write_text("no recipe")
    monkeypatch.setattr(catalog, "folder", lambda: tmp_path)
    assert catalog.names() == ("lore/half_frozen",)
    assert catalog.load("lore/half_frozen").backbone.name == "ResNet50"


@pytest.mark.parametrize("name", catalog.names())
def test_every_shipped_recipe_is_valid_and_says_how_to_run_it(name):
    assert catalog.load(name).summary.endswith(".")
    assert f"kerastune run {name}" in catalog.text(name)
    assert "# Source:" in catalog.text(name)


def test_a_misspelt_recipe_suggests_the_nearest():
    with pytest.raises(RecipeError, match=r'There is no recipe "smal_similar". Did you mean "small_similar"\?'):
        catalog.load("smal_similar")


def test_a_recipe_loads_with_overrides():
    spec = catalog.load("small_similar", {"backbone": "VGG16", "features.views": 1})
    assert (spec.backbone.name, spec.features.views) == ("VGG16", 1)


def test_a_wrong_override_names_its_key():
    with pytest.raises(
        RecipeError, match=r'small_similar: features.view: there is no key "view" here. Did you mean "vi'
    ):
        catalog.load("small_similar", {"features.view": 1})
