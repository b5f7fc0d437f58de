import pytest

from kerastune_recipes.errors import RecipeError
from kerastune_recipes.planning import augmentation_presets


def names(layers):
    return [entry["layer"] for entry in layers]


def test_each_strength_adds_to_the_one_before():
    assert augmentation_presets.preset("none", "horizontal") == ()
    assert names(augmentation_presets.preset("light", "none")) == ["RandomTranslation", "RandomZoom"]
    assert names(augmentation_presets.preset("medium", "none")) == [
        "RandomTranslation",
        "RandomZoom",
        "RandomRotation",
        "RandomColorJitter",
    ]
    assert names(augmentation_presets.preset("strong", "none")) == [
        "RandomTranslation",
        "RandomZoom",
        "keras_cv.RandAugment",
        "MixUp",
    ]


def test_a_preset_is_plain_data_for_a_plan():
    flip, *_ = augmentation_presets.preset("light", "horizontal_and_vertical")
    assert flip == {"layer": "RandomFlip", "arguments": {"mode": "horizontal_and_vertical"}}


def test_a_preset_can_be_edited_without_changing_the_next_one():
    augmentation_presets.preset("light", "none")[0]["arguments"]["height_factor"] = 9.0
    assert augmentation_presets.preset("light", "none")[0]["arguments"]["height_factor"] == 0.1


@pytest.mark.parametrize("strength", ["light", "medium", "strong"])
def test_without_flip_nothing_flips(strength):
    assert augmentation_presets.flipping(augmentation_presets.preset(strength, "none")) == ()
    assert augmentation_presets.flipping(augmentation_presets.preset(strength, "horizontal")) == ("RandomFlip",)


def test_only_strong_mixes_labels():
    strengths = ("light", "medium", "strong")
    mixing = {each: augmentation_presets.mixing(augmentation_presets.preset(each, "none")) for each in strengths}
    assert mixing == {"light": (), "medium": (), "strong": ("MixUp",)}
    assert augmentation_presets.mixing([{"layer": "keras_cv.layers.CutMix"}]) == ("keras_cv.layers.CutMix",)


def test_unknown_words_are_reported_together():
    with pytest.raises(RecipeError) as caught:
        augmentation_presets.preset("lihgt", "vertical")
    first, second = caught.value.problems
    assert first == (
        'augmentation strength is one of none, light, medium, strong; received "lihgt". Did you mean "light"?'
    )
    assert second == 'augmentation flip is one of none, horizontal, horizontal_and_vertical; received "vertical".'
