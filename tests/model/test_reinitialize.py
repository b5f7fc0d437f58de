"""Fresh weights for some layers of a network."""

import keras
import numpy as np
import pytest

from kerastune_recipes.model.reinitialize import reinitialize


@pytest.fixture
def network():
    """A convolution, a BatchNormalization and a nested model, all with weights that no initializer draws."""
    image = keras.Input((8, 8, 3))
    block = keras.Sequential([keras.layers.SeparableConv2D(4, 3), keras.layers.BatchNormalization()], name="block")
    hidden = keras.layers.Conv2D(64, 3, kernel_initializer="he_normal", bias_initializer="ones", name="conv")(image)
    hidden = keras.layers.BatchNormalization(name="norm")(hidden)
    hidden = keras.layers.Dropout(0.5, name="drop")(hidden)
    model = keras.Model(image, block(hidden))
    model.set_weights([np.full(weight.shape, 7.0) for weight in model.weights])
    return model


def weights(network, name):
    return [np.array(weight) for weight in network.get_layer(name).weights]


def test_layers_get_weights_from_their_initializers(network):
    reinitialize(network, {"conv", "norm"}, seed=0)
    kernel, bias = weights(network, "conv")
    # He et al. 2015: variance 2 / inputs, 27 here.
    assert kernel.std() == pytest.approx((2 / 27) ** 0.5, rel=0.05)
    assert abs(kernel.mean()) < 0.02
    np.testing.assert_array_equal(bias, np.ones(64))
    for weight, value in zip(weights(network, "norm"), (1, 0, 0, 1), strict=True):
        np.testing.assert_array_equal(weight, np.full(64, value))
    assert all((weight == 7).all() for weight in weights(network, "block"))


def test_the_name_of_a_nested_model_means_all_its_layers(network):
    reinitialize(network, {"block"}, seed=0)
    assert not any((weight == 7).any() for weight in weights(network, "block"))
    np.testing.assert_array_equal(weights(network, "block")[-1], np.ones(4))
    assert (weights(network, "conv")[0] == 7).all()


def test_the_seed_decides_and_other_random_draws_are_unaffected(network):
    drawn = []
    for seed in (1, 1, 2):
        keras.utils.set_random_seed(len(drawn))
        expected = keras.initializers.GlorotUniform()((2, 2))
        keras.utils.set_random_seed(len(drawn))
        reinitialize(network, {"conv"}, seed)
        np.testing.assert_array_equal(keras.initializers.GlorotUniform()((2, 2)), expected)
        drawn.append(weights(network, "conv")[0])
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[1] != drawn[2]).any()


def test_equal_layers_get_different_weights():
    image = keras.Input((4, 4, 3))
    hidden = keras.layers.Conv2D(3, 1, name="one")(image)
    network = keras.Model(image, keras.layers.Conv2D(3, 1, name="two")(hidden))
    reinitialize(network, {"one", "two"}, seed=0)
    assert (weights(network, "one")[0] != weights(network, "two")[0]).all()


def test_preprocessing_statistics_are_kept(assembled):
    """EfficientNet normalises pixels with statistics of ImageNet, which training would not learn again."""
    _, _, network = assembled("EfficientNetB0")
    stem = ("normalization", "stem_conv", "stem_bn")
    before = {name: weights(network.backbone, name)[0] for name in stem}
    reinitialize(network.backbone, set(stem), seed=0)
    # BatchNormalization of a network with random weights has its initial statistics already.
    assert {name for name in stem if (before[name] != weights(network.backbone, name)[0]).any()} == {"stem_conv"}
