"""Freezing layers for a phase, also inside nested models and composite layers."""

import keras
import numpy as np
import pytest

from kerastune_recipes.backbones import inspect
from kerastune_recipes.model.freeze import freeze, frozen_dropout_off
from kerastune_recipes.model.network import assemble
from kerastune_recipes.planning import layer_patterns


class Block(keras.layers.Layer):
    """A composite layer, as in keras_hub."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.convolution = keras.layers.Conv2D(4, 3, padding="same")
        self.norm = keras.layers.BatchNormalization()
        self.drop = keras.layers.Dropout(0.5)

    def build(self, shape):
        self.convolution.build(shape)
        self.norm.build((*shape[:-1], 4))
        self.built = True

    def call(self, x, training=False):
        return self.drop(self.norm(self.convolution(x), training=training), training=training)


def own_network() -> keras.Model:
    """A user's network with dropout and a nested model that has BatchNormalization."""
    image = keras.Input((16, 16, 3))
    block = keras.Sequential(
        [keras.layers.Conv2D(4, 3, padding="same"), keras.layers.BatchNormalization()], name="block"
    )
    hidden = keras.layers.Dropout(0.5, name="drop")(block(image))
    return keras.Model(image, keras.layers.Conv2D(8, 3, strides=2, name="last")(hidden), name="own")


def composite_network() -> keras.Model:
    image = keras.Input((16, 16, 3))
    return keras.Model(image, keras.layers.Conv2D(8, 3, strides=2, name="last")(Block(name="block")(image)), name="own")


@pytest.fixture(params=[own_network])
def own(assembled, request):
    plan, _, _ = assembled()
    network = request.param()
    facts = inspect.inspect(network, "own", "given", "identity", 16)
    backbone = {"name": "own", "weights": "given", "image_size": 16, "preprocessing": "identity"}
    data = plan.to_data() | {"backbone": backbone, "features": {"taps": list(facts.stages[-1:]), "views": 1}}
    return facts, assemble(type(plan).from_data(data, "test"), facts, network)


def test_batch_norm_inside_a_nested_model_is_frozen_too(own):
    facts, network = own
    groups = layer_patterns.group_layers([("head", 1.0), ("backbone", 1.0)], facts, "trainable")
    freeze(network, groups, "frozen")
    before = [np.array(weight) for weight in network.backbone.get_layer("block").layers[1].weights]
    network.core.compile(optimizer=keras.optimizers.SGD(1.0), loss="sparse_categorical_crossentropy")
    random = np.random.default_rng(0)
    network.core.fit(random.uniform(0, 255, (8, 16, 16, 3)), np.arange(8) % 3, epochs=1, verbose=0)
    for old, new in zip(before, network.backbone.get_layer("block").layers[1].weights, strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("own", [composite_network], indirect=True)
def test_batch_norm_and_dropout_inside_a_layer_are_frozen_too(own):
    facts, network = own
    groups = layer_patterns.group_layers([("head", 1.0), ("backbone", 1.0)], facts, "trainable")
    freeze(network, groups, "frozen")
    block = network.backbone.get_layer("block")
    assert {variable.name for variable in block.trainable_variables} == {"kernel", "bias"}
    frozen = layer_patterns.group_layers([("head", 1.0), ("backbone", "frozen")], facts, "trainable")
    with frozen_dropout_off(network.backbone, frozen):
        assert block.drop.rate == 0
    assert block.drop.rate == 0.5


def test_trained_batch_norm_takes_the_momentum(own):
    facts, network = own
    groups = layer_patterns.group_layers([("head", 1.0), ("backbone", 1.0)], facts, "trainable")
    freeze(network, groups, "trained", momentum=0.8)
    assert network.backbone.get_layer("block").layers[1].momentum == 0.8


def test_every_trained_variable_has_its_multiplier(own):
    facts, network = own
    rules = [("head", 1.0), ("backbone/last", 0.1), ("backbone", "frozen")]
    groups = layer_patterns.group_layers(rules, facts, "trainable")
    multipliers = freeze(network, groups, "trained")
    assert set(multipliers) == {variable.path for variable in network.model.trainable_variables}
    assert sorted(multipliers.values()) == [0.1, 0.1, 1.0, 1.0]


def test_dropout_is_off_only_after_frozen_layers_and_within_the_context(own):
    facts, network = own
    drop = network.backbone.get_layer("drop")
    frozen = layer_patterns.group_layers([("head", 1.0), ("backbone", "frozen")], facts, "trainable")
    with frozen_dropout_off(network.backbone, frozen):
        assert drop.rate == 0
    assert drop.rate == 0.5
    trained = layer_patterns.group_layers([("head", 1.0), ("backbone", 1.0)], facts, "trainable")
    with frozen_dropout_off(network.backbone, trained):
        assert drop.rate == 0.5


def test_reinitialized_batch_norm_is_trained_where_all_other_is_frozen(assembled):
    _, facts, network = assembled()
    groups = layer_patterns.group_layers([("head", 1.0), ("backbone", 1.0)], facts, "trainable")
    fresh = layer_patterns.match_layers(["backbone/last_stage"], facts, "reinitialize")
    freeze(network, groups, "frozen", momentum=0.8, fresh=fresh)
    norms = [layer for layer in network.backbone.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert {norm.name for norm in norms if norm.trainable} == {name for name in fresh if name.endswith("_bn")}
    assert {norm.momentum for norm in norms if norm.trainable} == {0.8}
