"""The table of backbones."""

import subprocess
import sys

import pytest

from kerastune_recipes.backbones.table import BACKBONES, WEIGHTS, Stage, check, find
from kerastune_recipes.errors import BackboneError


def test_a_name_finds_its_facts():
    resnet = find("ResNet50")

    assert resnet.preprocessing == "caffe"
    assert resnet.default_size == 224
    assert resnet.minimum_size == 32
    assert resnet.stages == (
        Stage("stem", "pool1_pool"),
        Stage("stage1", "conv2_block3_out"),
        Stage("stage2", "conv3_block4_out"),
        Stage("stage3", "conv4_block6_out"),
        Stage("stage4", "conv5_block3_out"),
    )


def test_a_width_is_part_of_the_name():
    quarter = find("MobileNet_0.25")

    assert quarter.constructor == "MobileNet"
    assert quarter.arguments == {"alpha": 0.25}
    assert quarter.weights_file == "mobilenet_2_5_224_tf_no_top.h5"
    assert find("MobileNet").arguments == {}


@pytest.mark.parametrize(
    ("name", "nearest"), [("resnet50", "ResNet50"), ("RESNET50V2", "ResNet50V2"), ("EfficentNetB0", "EfficientNetB0")]
)
def test_a_misspelt_name_suggests_the_nearest(name, nearest):
    with pytest.raises(BackboneError, match=f'There is no backbone "{name}". Did you mean "{nearest}"?'):
        find(name)


def test_an_unknown_name_lists_all_backbones():
    with pytest.raises(BackboneError, match=r'no backbone "banana"\. Known: VGG16, VGG19, .*, DemoNet\.'):
        find("banana")


def test_a_kerashub_preset_may_have_any_name():
    check("hub:resnet_18_imagenet")
    check("hub:hf://somebody/something")
    with pytest.raises(BackboneError, match='There is no backbone "resnet_18_imagenet"'):
        check("resnet_18_imagenet")


def test_every_entry_is_complete():
    assert len(BACKBONES) == 50
    for name, backbone in BACKBONES.items():
        names = [stage.name for stage in backbone.stages]
        counted = [f"stage{number}" for number in range(1, len(names) + 1)]
        assert backbone.name == name
        assert names in (["stem", *counted[:-1]], counted)
        assert backbone.minimum_size <= backbone.default_size
        assert backbone.pretrained in (*WEIGHTS, None)
        assert bool(backbone.weights_file) == (backbone.pretrained == "imagenet")


def test_each_family_has_one_preprocessing():
    families = {backbone.family: backbone.preprocessing for backbone in BACKBONES.values()}

    assert all(families[backbone.family] == backbone.preprocessing for backbone in BACKBONES.values())
    assert {family for family, preprocessing in families.items() if preprocessing == "identity"} == {
        "convnext",
        "efficientnet",
        "efficientnet_v2",
        "mobilenet_v3",
    }
    assert {family for family, preprocessing in families.items() if preprocessing == "caffe"} == {"vgg", "resnet"}
    assert {family for family, preprocessing in families.items() if preprocessing == "torch"} == {"alexnet", "densenet"}


def test_the_table_needs_no_keras():
    code = "import sys, kerastune_recipes.backbones.table; print('keras' in sys.modules or 'tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"
