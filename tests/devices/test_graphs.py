"""Graphs with a custom gradient are let go."""

import gc
import weakref

import keras
import numpy as np
import pytest

from kerastune_recipes.devices import graphs

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="only TensorFlow builds graphs")

IMAGES, LABELS = np.ones((4, 2), np.float32), np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]


def network():
    """Two layers with SiLU, whose gradient TensorFlow registers."""
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, "silu"), keras.layers.Dense(3, "silu")])


def test_a_traced_graph_is_gone_with_its_function():
    import tensorflow as tf

    model, traced = network(), []

    def call(batch):
        traced.append(weakref.ref(tf.compat.v1.get_default_graph()))
        outputs = model(batch)
        graphs.forget_gradients()
        return outputs

    function = tf.function(call)
    np.testing.assert_allclose(function(IMAGES), model(IMAGES), rtol=1e-6)
    del function, call
    gc.collect()
    assert [graph() for graph in traced] == [None]


def test_graphs_of_fit_are_gone_with_the_model():
    import tensorflow as tf

    traced = []

    def loss(labels, outputs):
        if not tf.executing_eagerly():
            traced.append(weakref.ref(outputs.graph))
        return keras.ops.mean(keras.ops.square(labels - outputs))

    def train():
        model = network()
        model.compile("sgd", loss, jit_compile=False)
        before = model.get_weights()
        with graphs.forgotten_after_fit(model):
            model.fit(IMAGES, LABELS, validation_data=(IMAGES, LABELS), verbose=0)
        assert all(np.any(old != new) for old, new in zip(before, model.get_weights(), strict=True))

    train()
    gc.collect()
    assert traced
    assert [graph() for graph in traced] == [None] * len(traced)


def test_the_gradients_of_other_graphs_stay():
    import tensorflow as tf

    mine, other = network(), network()
    forward = tf.function(other)
    with tf.GradientTape() as tape:
        outputs = forward(IMAGES)
        with tape.stop_recording():
            tf.function(lambda batch: (mine(batch), graphs.forget_gradients())[0])(IMAGES)
    with tf.GradientTape() as eager:
        expected = other(IMAGES)
    for one, by in zip(
        tape.gradient(outputs, other.trainable_variables),
        eager.gradient(expected, other.trainable_variables),
        strict=True,
    ):
        np.testing.assert_allclose(one, by, rtol=1e-6)


def test_a_model_can_be_fitted_again():
    model = network()
    model.compile("sgd", "mse", jit_compile=False)
    with graphs.forgotten_after_fit(model):
        model.fit(IMAGES, LABELS, verbose=0)
    model.compile("sgd", "mse", jit_compile=False)
    model.fit(IMAGES, LABELS, verbose=0)
    assert model.train_step.__func__ is keras.Model.train_step
