"""Re-estimated statistics of BatchNormalization."""

import keras
import numpy as np
import pytest

from kerastune_recipes.model.batch_norm import batch_norms, reestimate


@pytest.fixture
def network():
    inputs = keras.Input((2,))
    frozen = keras.layers.BatchNormalization(trainable=False)(inputs)
    return keras.Model(inputs, keras.layers.BatchNormalization(momentum=0.9)(frozen))


def test_statistics_are_averaged_over_batches(network):
    batches = np.random.default_rng(0).normal(3, 2, (4, 50, 2)).astype(np.float32)
    frozen, trained = network.layers[1:]
    reestimate(network, [trained], batches)
    scale = np.sqrt(1 + frozen.epsilon)  # of the frozen layer, which has its initial statistics
    np.testing.assert_allclose(trained.moving_mean, batches.mean(axis=(0, 1)) / scale, rtol=1e-4)
    np.testing.assert_allclose(trained.moving_variance, batches.var(axis=1).mean(axis=0) / scale**2, rtol=1e-4)
    assert trained.momentum == 0.9


def test_other_weights_are_unchanged(network):
    frozen, trained = network.layers[1:]
    before = [*frozen.get_weights(), trained.gamma.numpy(), trained.beta.numpy()]
    reestimate(network, [trained], np.ones((1, 4, 2), np.float32))
    for one, other in zip(before, [*frozen.get_weights(), trained.gamma.numpy(), trained.beta.numpy()], strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_momentum_is_restored_when_a_batch_fails(network):
    trained = network.layers[2]
    with pytest.raises(ValueError, match="incompatible"):
        reestimate(network, [trained], [np.ones((4, 3), np.float32)])
    assert trained.momentum == 0.9


def test_layers_inside_a_nested_model_are_found(network):
    inputs = keras.Input((2,))
    outer = keras.Model(inputs, network(inputs))
    assert set(batch_norms(outer)) == set(network.layers[1:])
    assert list(batch_norms(network.layers[2])) == [network.layers[2]]
