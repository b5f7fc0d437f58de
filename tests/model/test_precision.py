"""Networks that compute in 16 bits, with weights and features in float32."""

import keras
import numpy as np
import pytest

from kerastune_recipes.backbones import build
from kerastune_recipes.features.fingerprint import fingerprint
from kerastune_recipes.model.precision import compute_in
from kerastune_recipes.training import fit
from kerastune_recipes.training.fit import FitOptions


def images(count=4, size=32):
    return np.random.default_rng(0).uniform(-1, 1, (count, size, size, 3)).astype("float32")


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_activations_have_16_bits_and_weights_32(precision):
    network = build.build("DemoNet", "demo", 32)
    whole = keras.ops.convert_to_numpy(network(images()))
    compute_in(network, precision)
    half = network(images())
    assert keras.backend.standardize_dtype(half.dtype) == precision
    assert {weight.dtype for weight in network.weights} == {"float32"}
    near = keras.ops.convert_to_numpy(keras.ops.cast(half, "float32"))
    assert 0 < np.abs(near - whole).max() < 0.02 * np.abs(whole).max()
    compute_in(network, "float32")
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(network(images())), whole)


def test_preprocessing_stays_in_float32():
    network = build.build("EfficientNetB0", "none", 32)
    compute_in(network, "bfloat16")
    dtypes = {type(layer).__name__: layer.compute_dtype for layer in network.layers}
    assert (dtypes["Rescaling"], dtypes["Normalization"], dtypes["Conv2D"]) == ("float32", "float32", "bfloat16")


def test_layers_inside_layers_are_set_too():
    class Inner(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(2)

        def call(self, inputs):
            return self.dense(inputs)

    image = keras.Input((2,))
    layer = Inner()
    compute_in(keras.Model(image, layer(image)), "bfloat16")
    assert layer.dense.compute_dtype == "bfloat16"


def test_layers_with_other_weights_are_unchanged():
    image = keras.Input((2,))
    dense = keras.layers.Dense(2, dtype="bfloat16")
    compute_in(keras.Model(image, dense(image)), "float32")
    assert dense.dtype_policy.name == "bfloat16"


def test_features_head_and_probabilities_are_float32(assembled, pictures):
    _, _, network = assembled(taps="all", precision="bfloat16", dropout=0.1)
    pixels = pictures(3)[0]
    assert keras.backend.standardize_dtype(network.backbone(pixels.astype("float32"))[-1].dtype) == "bfloat16"
    assert keras.backend.standardize_dtype(network.extractor(pixels).dtype) == "float32"
    assert keras.backend.standardize_dtype(network.model(pixels).dtype) == "float32"


def test_features_of_another_precision_have_another_fingerprint(assembled):
    _, _, network = assembled()
    member = network.members[0]
    whole = fingerprint(member, "avg")
    compute_in(member.backbone, "bfloat16")
    half = fingerprint(member, "avg")
    compute_in(member.backbone, "float32")
    assert half != whole == fingerprint(member, "avg")


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize("views", [None, 1])
def test_weights_move_as_in_float32(precision, views, assembled, fit_plan, pictures):
    rates = [["head", 1.0], ["backbone/last_stage", 0.5], ["backbone", "frozen"]]
    plan = fit_plan(trainable=rates, steps=4, views=views)
    moves = []
    for each in ("float32", precision):
        keras.utils.set_random_seed(0)
        _, facts, network = assembled(precision=each)
        before = [np.array(weight) for weight in network.model.get_weights()]
        fit.fit(network, facts, "only", plan, pictures(16), pictures(4, seed=1), FitOptions(0, each))
        moves.append(
            np.concatenate([(a - b).ravel() for a, b in zip(network.model.get_weights(), before, strict=True)])
        )
    whole, half = moves
    assert np.linalg.norm(half - whole) < 0.1 * np.linalg.norm(whole)
