"""The fingerprint of a network: it changes with whatever changes the features, and with nothing else."""

import subprocess
import sys
from dataclasses import replace

import keras
import numpy as np

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
