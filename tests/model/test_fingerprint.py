import subprocess
import sys

import keras
import numpy as np
import pytest

from kerastune_recipes.model import freeze
from kerastune_recipes.model.fingerprint import fingerprint

BUILD = """
import keras
keras.utils.set_random_seed(1)
{before}
from kerastune_recipes import Recipe
from kerastune_recipes.model.assemble import assemble
from kerastune_recipes.model.fingerprint import fingerprint
from kerastune_recipes.preparation import prepare
recipe = Recipe.from_name("small_similar", **{{"backbone.name": "DemoNet", "backbone.weights": "demo"}})
prepared = prepare(recipe.name, recipe.content, "demo:digits", seed=0)
print(fingerprint(assemble(prepared.plan, prepared.facts, prepared.network), prepared.plan))
"""


def test_every_process_finds_the_same():
    """Keras counts the layers of a process; what was built before must not tell."""
    before = ("", "keras.layers.Dense(1); keras.layers.ReLU(); keras.Input((3,))")
    told = [
        subprocess.run([sys.executable, "-c", BUILD.format(before=each)], capture_output=True, text=True, check=True)
        for each in before
    ]
    first, second = (process.stdout.split()[-1] for process in told)
    assert first == second
    assert len(first) == 32


def test_weights_tell(assembled):
    plan, _, network = assembled()
    before = fingerprint(network, plan)
    last = next(weight for weight in reversed(network.backbone.weights))
    last.assign(last + 1e-6 * np.ones(last.shape))
    assert fingerprint(network, plan) != before


@pytest.mark.parametrize(
    "change",
    [
        {"backbone": {"image_size": 48}},
        {"backbone": {"convention": "torch"}},
        {"features": {"taps": ("stage1",)}},
        {"head": {"pooling": "max"}},
    ],
)
def test_what_is_done_with_pixels_and_activations_tells(assembled, change):
    plan, _, network = assembled()
    (part, values), *_ = change.items()
    other = plan.model_copy(update={part: getattr(plan, part).model_copy(update=values)})
    assert fingerprint(network, other) != fingerprint(network, plan)


def test_freezing_and_the_head_do_not_tell(assembled):
    from kerastune_recipes import trainable

    plan, facts, network = assembled()
    before = fingerprint(network, plan)
    groups = trainable.groups([["head", 1.0], ["backbone", 0.1]], facts, "trainable")
    freeze.freeze(network, groups, "trained", momentum=0.5)
    network.head.set_weights([weight + 1 for weight in network.head.get_weights()])
    assert fingerprint(network, plan) == before


def test_a_network_of_other_operations_tells(assembled):
    """Same weights, same shapes, another activation."""
    plan, _, network = assembled()

    def mine(activation):
        image = keras.Input((32, 32, 3), name="image")
        layer = keras.layers.Conv2D(4, 3, activation=activation, kernel_initializer="ones", name="only")
        return keras.Model(image, layer(image), name="backbone")

    from dataclasses import replace

    relu, tanh = (replace(network, backbone=mine(activation)) for activation in ("relu", "tanh"))
    assert fingerprint(relu, plan) != fingerprint(tanh, plan)


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
    from dataclasses import replace

    plan, _, network = assembled()
    image = keras.Input((32, 32, 3))
    silent = replace(network, backbone=keras.Model(image, _Silent({"by": 2})(image)))
    assert fingerprint(silent, plan) != fingerprint(silent, plan)
