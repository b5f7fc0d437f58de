import keras
import numpy as np
import pytest

from kerastune_recipes.model.batch_norm import reestimate


@pytest.fixture
def network():
    inputs = keras.Input((2,))
    frozen = keras.layers.BatchNormalization(trainable=False)(inputs)
    return keras.Model(inputs, keras.layers.BatchNormalization(momentum=0.9)(frozen))


def test_statistics_are_the_mean_of_those_of_the_batches(network):
    batches = np.random.default_rng(0).normal(3, 2, (4, 50, 2)).astype(np.float32)
    frozen, trained = network.layers[1:]
    reestimate(network, [trained], batches)
    scale = np.sqrt(1 + frozen.epsilon)  # of the frozen one, which has the statistics that it began with
    np.testing.assert_allclose(trained.moving_mean, batches.mean(axis=(0, 1)) / scale, rtol=1e-4)
    np.testing.assert_allclose(trained.moving_variance, batches.var(axis=1).mean(axis=0) / scale**2, rtol=1e-4)
    assert trained.momentum == 0.9


def test_all_else_stays(network):
    frozen, trained = network.layers[1:]
    before = [*frozen.get_weights(), trained.gamma.numpy(), trained.beta.numpy()]
    reestimate(network, [trained], np.ones((1, 4, 2), np.float32))
    for one, other in zip(before, [*frozen.get_weights(), trained.gamma.numpy(), trained.beta.numpy()], strict=True):
        np.testing.assert_array_equal(one, other)
