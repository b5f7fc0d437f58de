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
from kerastune_recipes.run.prepare import prepare
recipe = Recipe.from_name("small_similar", **{"backbone.name": "DemoNet", "backbone.weights": "demo"})
prepared = prepare(recipe.name, recipe.content, "demo:digits", seed=0)
found = fingerprint(assemble(prepared.plan, prepared.facts, *prepared.networks).members[0], prepared.plan.head.pooling)
"""


def test_every_process_finds_the_same():
    """Keras counts the layers of a process; what was built before must not tell."""
    keras.layers.Dense(1)
    keras.layers.ReLU()
    keras.Input((3,))
    here: dict[str, str] = {}
    exec(BUILD, here)
    there = subprocess.run([sys.executable, "-c", BUILD + "print(found)"], capture_output=True, text=True, check=True)
    assert there.stdout.split()[-1] == here["found"]
    assert len(here["found"]) == 32


def test_weights_tell(assembled):
    member = assembled()[2].members[0]
    before = fingerprint(member, "avg")
    last = next(weight for weight in reversed(member.backbone.weights))
    last.assign(last + 1e-6 * np.ones(last.shape))
    assert fingerprint(member, "avg") != before


def test_what_is_done_with_pixels_and_activations_tells(assembled):
    member = assembled()[2].members[0]
    others = [
        (replace(member, plan=member.plan.model_copy(update={"image_size": 48})), "avg"),
        (replace(member, plan=member.plan.model_copy(update={"preprocessing": "torch"})), "avg"),
        (replace(member, taps=("stage1",)), "avg"),
        (member, "max"),
    ]
    assert fingerprint(member, "avg") not in {fingerprint(*other) for other in others}


def test_the_place_in_an_ensemble_does_not_tell(assembled):
    member = assembled()[2].members[0]
    second = keras.Model(member.backbone.inputs, member.backbone.outputs, name="backbone_2")
    assert fingerprint(replace(member, backbone=second), "avg") == fingerprint(member, "avg")


def test_freezing_and_the_head_do_not_tell(assembled):
    from kerastune_recipes.planning import layer_patterns

    _, facts, network = assembled()
    before = fingerprint(network.members[0], "avg")
    groups = layer_patterns.group_layers([["head", 1.0], ["backbone", 0.1]], facts, "trainable")
    freeze.freeze(network, groups, "trained", momentum=0.5)
    network.head.set_weights([weight + 1 for weight in network.head.get_weights()])
    assert fingerprint(network.members[0], "avg") == before


def test_a_network_of_other_operations_tells(assembled):
    """Same weights, same shapes, another activation."""
    member = assembled()[2].members[0]

    def mine(activation):
        image = keras.Input((32, 32, 3), name="image")
        layer = keras.layers.Conv2D(4, 3, activation=activation, kernel_initializer="ones", name="only")
        return keras.Model(image, layer(image), name="backbone")

    relu, tanh = (replace(member, backbone=mine(activation)) for activation in ("relu", "tanh"))
    assert fingerprint(relu, "avg") != fingerprint(tanh, "avg")


class _Silent(keras.layers.Layer):
    """Does not say what it was made with."""

    def __init__(self, scale):
        super().__init__()
        self.scale = scale["by"]

    def get_config(self):
        raise NotImplementedError

    def call(self, inputs):
        return inputs * self.scale


def test_a_network_that_does_not_tell_what_it_does_is_never_found_again(assembled):
    image = keras.Input((32, 32, 3))
    silent = replace(assembled()[2].members[0], backbone=keras.Model(image, _Silent({"by": 2})(image)))
    assert fingerprint(silent, "avg") != fingerprint(silent, "avg")
