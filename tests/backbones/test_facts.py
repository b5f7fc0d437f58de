"""Facts about backbones."""

import pytest

from kerastune_recipes.backbones.facts import PretrainedClassifierFacts, channels


def test_a_tap_is_found_by_the_name_of_a_stage_or_layer(backbone_facts):
    assert backbone_facts.tap("stage1").layer == "stage1_bn"
    assert backbone_facts.tap("stage1_conv").shape == (8, 8, 16)
    assert backbone_facts.tap("stage9") is None


def test_layers_after_the_last_tap_are_not_used(backbone_facts):
    used = backbone_facts.up_to(["stem", "stage1"])
    assert used.stages == ("stem", "stage1")
    assert [layer.name for layer in used.layers] == ["stem_conv", "stem_bn", "stage1_conv", "stage1_bn"]


def test_a_tap_inside_a_stage_cuts_the_stage(backbone_facts):
    used = backbone_facts.up_to(["stage1_conv"])
    assert used.stages == ("stem", "stage1")
    assert [layer.name for layer in used.layers] == ["stem_conv", "stem_bn", "stage1_conv"]
    assert [tap.name for tap in used.taps] == ["stem"]


def test_the_last_tap_keeps_everything(backbone_facts):
    assert backbone_facts.up_to(["stage2"]) == backbone_facts


def test_counts(data_facts):
    assert (data_facts.train_images, data_facts.validation_images, data_facts.classes) == (50, 13, 2)


@pytest.mark.parametrize(("numbers", "field"), [((2, 2, 2), 2.0), ((1, 2, 3), (1.0, 2.0, 3.0))])
def test_equal_numbers_for_all_channels_are_one_number(numbers, field):
    assert channels(numbers) == field


def test_a_pretrained_class_is_labelled_by_name_and_index():
    assert PretrainedClassifierFacts(classes=2, names=("ant", "bee")).label(1) == "bee (1)"
    assert PretrainedClassifierFacts(classes=2).label(1) == "1"
