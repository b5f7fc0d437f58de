"""The fingerprint of a network: it changes with whatever changes the features, and with nothing else."""

import subprocess
import sys
from dataclasses import replace

import keras
import numpy as np
import PIL
import pytest

from kerastune_recipes.features.fingerprint import fingerprint
from kerastune_recipes.model import freeze

BUILD = """
from kerastune_recipes import Recipe
from kerastune_recipes.model.network import assemble
from kerastune_recipes.features.fingerprint import fingerprint
from kerastune_recipes.run.options import RunOptions
from kerastune_recipes.run.prepare import prepare
recipe = Recipe.from_name("small_similar", **{"backbone.name": "DemoNet", "backbone.weights": "demo"})
prepared = prepare(recipe.name, recipe.content, "demo:digits", RunOptions())
found = fingerprint(assemble(prepared.plan, prepared.facts, *prepared.networks).members[0], prepared.plan.head.pooling)
"""


def test_every_process_computes_the_same_fingerprint():
    """Keras numbers the layers of a process; layers built before must not change the fingerprint."""
    keras.layers.Dense(1)
    keras.layers.ReLU()
    keras.Input((3,))
    here: dict[str, str] = {}
    exec(BUILD, here)
    there = subprocess.run([sys.executable, "-c", BUILD + "print(found)"], capture_output=True, text=True, check=True)
    assert there.stdout.split()[-1] == here["found"]
    assert len(here["found"]) == 32


def test_weights_change_it(assembled):
    member = assembled()[2].members[0]
    before = fingerprint(member, "avg")
    last = next(weight for weight in reversed(member.backbone.weights))
    last.assign(last + 1e-6 * np.ones(last.shape))
    assert fingerprint(member, "avg") != before


def test_size_preprocessing_taps_and_pooling_change_it(assembled):
    member = assembled()[2].members[0]
    others = [
        (replace(member, plan=member.plan.model_copy(update={"image_size": 48})), "avg"),
        (replace(member, plan=member.plan.model_copy(update={"preprocessing": "torch"})), "avg"),
        (replace(member, taps=("stage1",)), "avg"),
        (member, "max"),
    ]
    assert fingerprint(member, "avg") not in {fingerprint(*other) for other in others}


def test_the_position_in_an_ensemble_does_not_change_it(assembled):
    member = assembled()[2].members[0]
    second = keras.Model(member.backbone.inputs, member.backbone.outputs, name="backbone_2")
    assert fingerprint(replace(member, backbone=second), "avg") == fingerprint(member, "avg")


def test_freezing_and_the_head_do_not_change_it(assembled):
    from kerastune_recipes.planning import layer_patterns

    _, facts, network = assembled()
    before = fingerprint(network.members[0], "avg")
    groups = layer_patterns.group_layers([["head", 1.0], ["backbone", 0.1]], facts, "trainable")
    freeze.freeze(network, groups, "trained", momentum=0.5)
    network.head.set_weights([weight + 1 for weight in network.head.get_weights()])
    assert fingerprint(network.members[0], "avg") == before


def test_another_activation_changes_it(assembled):
    """Although weights and shapes are the same."""
    member = assembled()[2].members[0]

    def with_activation(activation):
        image = keras.Input((32, 32, 3), name="image")
        layer = keras.layers.Conv2D(4, 3, activation=activation, kernel_initializer="ones", name="only")
        return keras.Model(image, layer(image), name="backbone")

    relu, tanh = (replace(member, backbone=with_activation(activation)) for activation in ("relu", "tanh"))
    assert fingerprint(relu, "avg") != fingerprint(tanh, "avg")


class _WithoutConfig(keras.layers.Layer):
    """A layer without get_config."""

    def __init__(self, scale):
        super().__init__()
        self.scale = scale["by"]

    def get_config(self):
        raise NotImplementedError

    def call(self, inputs):
        return inputs * self.scale


def test_a_network_without_a_config_never_has_the_same_fingerprint_twice(assembled):
    image = keras.Input((32, 32, 3))
    unknown = replace(assembled()[2].members[0], backbone=keras.Model(image, _WithoutConfig({"by": 2})(image)))
    assert fingerprint(unknown, "avg") != fingerprint(unknown, "avg")


def of_layer(assembled, *layers):
    """Return the fingerprint of a network of the given layers, and the mean of each channel as features."""
    image = keras.Input((32, 32, 3), name="image")
    output = image
    for layer in layers:
        output = layer(output)
    backbone = keras.Model(image, output, name="backbone")
    extractor = keras.Model(image, keras.layers.GlobalAveragePooling2D()(backbone(image)))
    return fingerprint(replace(assembled()[2].members[0], backbone=backbone, extractor=extractor), "avg")


def own_layer(function, base=keras.layers.Layer):
    """Return a class of layers that is always called the same, whatever it computes."""

    class Own(base):
        def __init__(self, rate=0.5, name="own", **options):
            super().__init__(name=name, **options)
            self.rate = rate

        def call(self, inputs):
            return function(self, inputs)

        def get_config(self):
            return {**super().get_config(), "rate": self.rate}

    return Own


def times(factor):
    return own_layer(lambda self, inputs: keras.ops.cast(inputs, "float32") * factor)


def test_other_code_of_a_layer_of_the_users_own_changes_it(assembled):
    """Same name of the class, same configuration, no weights."""
    twice, thrice, slightly = (of_layer(assembled, times(factor)()) for factor in (2.0, 3.0, 2.05))
    assert len({twice, thrice, slightly}) == 3
    assert of_layer(assembled, times(2.0)()) == twice
    clipped = own_layer(lambda self, inputs: keras.ops.minimum(keras.ops.cast(inputs, "float32"), 128.0) * 2.0)
    assert of_layer(assembled, clipped()) != twice


def test_rounding_errors_of_the_device_do_not_change_it(assembled):
    noise = np.random.default_rng(0).normal(1, 1e-7, (32, 32, 3)).astype(np.float32)
    assert of_layer(assembled, times(noise)()) == of_layer(assembled, times(np.ones_like(noise))())


@pytest.mark.parametrize("base", [keras.layers.Layer, keras.layers.ReLU])
def test_a_training_key_of_a_layer_of_the_users_own_may_mean_anything(base, assembled):
    """`rate` is left out of the configurations of Keras's own layers alone."""
    layer = own_layer(lambda self, inputs: inputs, base)
    assert of_layer(assembled, layer(rate=0.1)) != of_layer(assembled, layer(rate=0.9))


def test_training_keys_of_keras_layers_do_not_change_it(assembled):
    def with_rates(rate, momentum, **options):
        norm = keras.layers.BatchNormalization(momentum=momentum, name="norm", **options)
        return of_layer(assembled, keras.layers.Dropout(rate, name="drop"), norm)

    assert with_rates(0.1, 0.9) == with_rates(0.9, 0.5)
    assert with_rates(0.1, 0.9) != with_rates(0.1, 0.9, epsilon=0.5)


def test_training_keys_of_layers_inside_a_layer_do_not_change_it(assembled):
    def wrapped(rate):
        wrapper = keras.layers.TimeDistributed(keras.layers.Dropout(rate, name="drop"), name="each")
        return of_layer(assembled, wrapper)

    assert wrapped(0.1) == wrapped(0.9)


def test_closures_of_lambda_layers_change_it(assembled):
    def scaled(factor):
        hidden = {"factor": factor}  # not among what Keras writes into the configuration
        return of_layer(assembled, keras.layers.Lambda(lambda one: one * hidden["factor"], name="scaled"))

    assert scaled(2.0) != scaled(3.0)
    assert scaled(2.0) == scaled(2.0)


def test_code_of_a_function_of_the_users_own_changes_it(assembled):
    def with_activation(factor):
        def activation(values):
            return values * factor

        layer = keras.layers.Conv2D(4, 3, activation=activation, kernel_initializer="ones", name="only")
        return of_layer(assembled, layer)

    assert with_activation(1.0) != with_activation(2.0)


def test_features_that_are_not_finite_have_a_fingerprint(assembled):
    infinite = own_layer(lambda self, inputs: keras.ops.cast(inputs, "float32") / 0.0)
    assert of_layer(assembled, infinite()) == of_layer(assembled, infinite())


@pytest.mark.parametrize("module", ["keras", "backend", "PIL"])
def test_versions_change_it(module, assembled, monkeypatch):
    member = assembled()[2].members[0]
    before = fingerprint(member, "avg")
    changed = {"keras": keras, "backend": sys.modules[keras.backend.backend()], "PIL": PIL}[module]
    monkeypatch.setattr(changed, "__version__", "0.0.1")
    assert fingerprint(member, "avg") != before


def test_keras_networks_compute_no_probe(assembled, monkeypatch):
    member = assembled()[2].members[0]
    monkeypatch.setattr("kerastune_recipes.model.forward.forward", lambda *arguments: pytest.fail("a forward pass"))
    assert len(fingerprint(member, "avg")) == 32
