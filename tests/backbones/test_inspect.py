"""Facts of built networks: layers, stages and taps, and that they agree with the table."""

import keras
import numpy as np
import pytest

from kerastune_recipes.backbones.build import build
from kerastune_recipes.backbones.inspect import inspect, output_of
from kerastune_recipes.backbones.table import BACKBONES, Stage, find
from kerastune_recipes.errors import BackboneError

pytestmark = pytest.mark.slow

# The smallest network of every family.
SMALLEST = (
    "VGG16",
    "ResNet50",
    "ResNet50V2",
    "DenseNet121",
    "InceptionV3",
    "InceptionResNetV2",
    "Xception",
    "MobileNet_0.25",
    "MobileNetV2_0.35",
    "MobileNetV3Small",
    "NASNetMobile",
    "EfficientNetB0",
    "EfficientNetV2B0",
    "ConvNeXtTiny",
    "AlexNet",
    "DemoNet",
)
# Networks with other names at the ends of their stages than the smallest of their family.
OTHERS = ("MobileNetV3Large", "EfficientNetB1", "ConvNeXtSmall")


# The table against Keras


@pytest.mark.parametrize("name", [*SMALLEST, *OTHERS])
def test_the_table_describes_what_keras_builds(name):
    backbone = find(name)
    network = build(name, "none", backbone.minimum_size)
    facts = inspect(network, name, "none", backbone.preprocessing, backbone.minimum_size, backbone.stages)

    order = [output.layer for output in facts.outputs]
    ends = [order.index(stage.last_layer) for stage in backbone.stages]
    heights = [tap.shape[0] for tap in facts.taps]
    assert ends == sorted(ends)
    assert heights == sorted(heights, reverse=True)
    assert output_of(network, backbone.stages[-1].last_layer) is network.outputs[0]
    assert {layer.stage for layer in facts.layers} == {stage.name for stage in backbone.stages}
    assert any(layer.batch_norm for layer in facts.layers) == backbone.batch_norm
    assert sum(layer.parameters for layer in facts.layers) == network.count_params()


def test_every_family_is_checked():
    assert {find(name).family for name in SMALLEST} == {backbone.family for backbone in BACKBONES.values()}


# A user's own model


def test_the_stages_of_an_own_model_end_where_the_resolution_drops(own_model):
    network = own_model()
    facts = inspect(network, "own", "none", "identity", 32)

    assert network.name == "own"
    assert facts.stages == ("stage1", "stage2", "stage3")
    assert [(tap.layer, tap.shape) for tap in facts.taps[::2]] == [("first_bn", (16, 16, 4)), ("third", (4, 4, 16))]
    # The second stage ends with a sum, which is an operation without a layer.
    assert facts.taps[1].shape == (8, 8, 8)
    assert output_of(network, facts.taps[1].layer).shape == (None, None, None, 8)
    assert {layer.name: layer.stage for layer in facts.layers} == {
        "first": "stage1",
        "first_bn": "stage1",
        "second": "stage2",
        "excite": "stage2",
        "third": "stage3",
    }


def test_no_stage_ends_in_padding():
    image = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(4, 3, padding="same", name="first")(image)
    x = keras.ops.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], constant_values=-np.inf)
    x = keras.layers.MaxPooling2D(3, 2)(x)
    x = keras.layers.Conv2D(8, 3, padding="same", name="second")(x)
    facts = inspect(keras.Model(image, x), "own", "none", "identity", 32)

    assert [tap.layer for tap in facts.taps] == ["first", "second"]


def test_the_facts_of_a_layer_count_its_statistics(own_model):
    facts = inspect(own_model(), "own", "none", "identity", 32)

    batch_norm = facts.layers[1]
    assert (batch_norm.parameters, batch_norm.statistics, batch_norm.batch_norm) == (16, 8, True)
    assert (facts.layers[0].parameters, facts.layers[0].statistics, facts.layers[0].batch_norm) == (112, 0, False)


def test_layers_after_the_last_weights_belong_to_the_last_stage(own_model):
    facts = inspect(own_model(top=[keras.layers.MaxPooling2D(2, name="pool")]), "own", "none", "identity", 32)

    assert [tap.layer for tap in facts.taps][-1] == "pool"
    assert facts.stages == ("stage1", "stage2", "stage3")


def test_a_table_that_does_not_fit_the_network_is_an_error(own_model):
    with pytest.raises(
        BackboneError, match=r'own as built by Keras .* has no layer "conv9", the expected end of stage1'
    ):
        inspect(own_model(), "own", "none", "identity", 32, (Stage("stage1", "conv9"),))
