import pytest

from kerastune_recipes import augmentations
from kerastune_recipes.errors import RecipeError


def names(layers):
    return [entry["layer"] for entry in layers]


def test_each_strength_adds_to_the_one_before():
    assert augmentations.preset("none", "horizontal") == ()
    assert names(augmentations.preset("light", "none")) == ["RandomTranslation", "RandomZoom"]
    assert names(augmentations.preset("medium", "none")) == [
        "RandomTranslation",
        "RandomZoom",
        "RandomRotation",
        "RandomColorJitter",
    ]
    assert names(augmentations.preset("strong", "none")) == [
        "RandomTranslation",
        "RandomZoom",
        "keras_cv.RandAugment",
        "MixUp",
    ]


def test_a_preset_is_plain_data_a_plan_can_hold():
    flip, *_ = augmentations.preset("light", "horizontal_and_vertical")
    assert flip == {"layer": "RandomFlip", "arguments": {"mode": "horizontal_and_vertical"}}


def test_a_preset_can_be_edited_without_changing_the_next_one():
    augmentations.preset("light", "none")[0]["arguments"]["height_factor"] = 9.0
    assert augmentations.preset("light", "none")[0]["arguments"]["height_factor"] == 0.1


@pytest.mark.parametrize("strength", ["light", "medium", "strong"])
def test_without_flip_nothing_flips(strength):
    assert augmentations.flipping(augmentations.preset(strength, "none")) == ()
    assert augmentations.flipping(augmentations.preset(strength, "horizontal")) == ("RandomFlip",)


def test_only_strong_mixes_labels():
    mixing = {s: augmentations.mixing(augmentations.preset(s, "none")) for s in ("light", "medium", "strong")}
    assert mixing == {"light": (), "medium": (), "strong": ("MixUp",)}
    assert augmentations.mixing([{"layer": "keras_cv.layers.CutMix"}]) == ("keras_cv.layers.CutMix",)


def test_unknown_words_are_named_together():
    with pytest.raises(RecipeError) as caught:
        augmentations.preset("lihgt", "vertical")
    first, second = caught.value.problems
    assert first == (
        'augmentation strength is one of none, light, medium, strong; received "lihgt". Did you mean "light"?'
    )
    assert second == 'augmentation flip is one of none, horizontal, horizontal_and_vertical; received "vertical".'
