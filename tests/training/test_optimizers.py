"""Optimizers and schedules of a phase."""

import gc
import weakref

import keras
import numpy as np
import pytest

from kerastune_recipes.training import optimizers


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "rmsprop", "adagrad"])
def test_each_name_builds_its_optimizer(name, fit_plan):
    plan = fit_plan(optimizer={"name": name, "weight_decay": 0.01})
    optimizer = optimizers.build(plan, {"a": 1.0})
    assert type(optimizer).__name__.lower() == name
    assert optimizer.weight_decay == 0.01
    assert optimizer.global_clipnorm == 1.0


def test_constant_after_warmup(fit_plan):
    schedule = optimizers.schedule(fit_plan(warmup_steps=4, steps=10))
    assert [float(schedule(step)) for step in (0, 2, 4, 9)] == pytest.approx([0.0, 0.05, 0.1, 0.1])


def test_cosine_ends_at_zero(fit_plan):
    schedule = optimizers.schedule(fit_plan(schedule="cosine", steps=10))
    assert [float(schedule(step)) for step in (0, 5, 10)] == pytest.approx([0.1, 0.05, 0.0], abs=1e-8)


def test_groups_are_clipped_by_their_global_norm(fit_plan):
    fast, slow = keras.Variable(np.zeros(1), name="fast"), keras.Variable(np.zeros(1), name="slow")
    optimizer = optimizers.build(fit_plan(), {fast.path: 1.0, slow.path: 0.5})
    optimizer.apply([keras.ops.array([3.0]), keras.ops.array([4.0])], [fast, slow])
    # Both gradients are divided by the norm of 5, and multiplied by their rates of 0.1 and 0.05.
    assert float(fast[0]) == pytest.approx(-0.06)
    assert float(slow[0]) == pytest.approx(-0.04)


@pytest.mark.parametrize("rates", [(1.0, 1.0), (1.0, 0.5)], ids=["one rate", "two rates"])
def test_float16_scales_the_loss_and_skips_steps_that_overflow(rates, fit_plan):
    fast, slow = keras.Variable(np.zeros(1), name="fast"), keras.Variable(np.zeros(1), name="slow")
    optimizer = optimizers.build(fit_plan(), dict(zip((fast.path, slow.path), rates, strict=True)), "float16")
    optimizer.build([fast, slow])
    scale = float(optimizer.scale_loss(1.0))
    assert scale > 1000

    def step(*gradients):
        optimizer.apply([keras.ops.array([scale * gradient]) for gradient in gradients], [fast, slow])
        return float(fast[0]), float(slow[0])

    moved = pytest.approx((-0.06 * rates[0], -0.08 * rates[1]))
    assert step(3.0, 4.0) == moved
    assert step(np.inf, 1.0) == moved
    assert float(optimizer.scale_loss(1.0)) == scale / 2


@pytest.mark.parametrize("rates", [(1.0, 1.0), (1.0, 0.5)], ids=["one rate", "two rates"])
def test_a_phase_can_end_with_averaged_weights(rates, fit_plan):
    fast, slow = keras.Variable(np.zeros(1), name="fast"), keras.Variable(np.zeros(1), name="slow")
    plan = fit_plan(optimizer={"name": "sgd", "ema_momentum": 0.5}, clip_norm=None)
    optimizer = optimizers.build(plan, dict(zip((fast.path, slow.path), rates, strict=True)))
    for _ in range(3):
        optimizer.apply([keras.ops.array([1.0]), keras.ops.array([1.0])], [fast, slow])
    optimizer.finalize_variable_values([fast, slow])  # as fit does at its end
    # The weights were -0.1, -0.2, -0.3 times their rates; the average began at the first.
    assert (float(fast[0]), float(slow[0])) == pytest.approx((-0.225 * rates[0], -0.225 * rates[1]))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("sgd", {"momentum": 0.5, "nesterov": True}),
        ("adagrad", {"initial_accumulator_value": 0.5, "epsilon": 0.25}),
        ("rmsprop", {"momentum": 0.5, "rho": 0.75, "centered": True, "epsilon": 0.25}),
        ("adam", {"beta_1": 0.5, "beta_2": 0.75, "amsgrad": True, "epsilon": 0.25}),
        ("adamw", {"beta_1": 0.5, "beta_2": 0.75, "amsgrad": True, "epsilon": 0.25, "weight_decay": 0.125}),
    ],
)
def test_every_argument_reaches_its_optimizer(name, arguments, fit_plan):
    optimizer = optimizers.build(fit_plan(optimizer={"name": name, **arguments}), {"a": 1.0})
    assert {key: getattr(optimizer, key) for key in arguments} == arguments


def test_the_default_decay_of_adamw_spares_biases_too(fit_plan):
    optimizer = optimizers.build(fit_plan(optimizer={"name": "adamw"}), {"a": 1.0})
    kernel, bias = keras.Variable(np.ones(1), name="kernel"), keras.Variable(np.ones(1), name="bias")
    optimizer.apply([keras.ops.zeros(1), keras.ops.zeros(1)], [kernel, bias])
    # The default of Keras is 0.004, here at a learning rate of 0.1.
    assert float(kernel[0]) == pytest.approx(1 - 0.1 * 0.004)
    assert float(bias[0]) == 1


@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.parametrize("rates", [(1.0, 1.0), (1.0, 0.5)], ids=["one rate", "two rates"])
def test_variables_have_the_same_names_in_every_run(rates, precision, fit_plan):
    fast, slow = keras.Variable(np.zeros(1), name="fast"), keras.Variable(np.zeros(1), name="slow")

    def names():
        plan = fit_plan(optimizer={"name": "sgd", "momentum": 0.9})
        optimizer = optimizers.build(plan, dict(zip((fast.path, slow.path), rates, strict=True)), precision)
        optimizer.build([fast, slow])
        return [variable.path for variable in optimizer.variables]

    # TensorFlow keeps a piece of memory for each new name.
    assert names() == names()


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="only TensorFlow builds graphs")
@pytest.mark.parametrize("rates", [(1.0, 1.0), (1.0, 0.5)], ids=["one rate", "two rates"])
def test_a_graph_is_gone_with_the_model_that_was_trained(rates, fit_plan):
    import tensorflow as tf

    graphs = []

    def loss(labels, probabilities):
        if not tf.executing_eagerly():
            graphs.append(weakref.ref(probabilities.graph))
        return keras.ops.mean(keras.ops.square(labels - probabilities))

    def train():
        model = keras.Sequential(
            [keras.Input((2,)), keras.layers.Dense(3, name="one"), keras.layers.Dense(3, name="two")]
        )
        multipliers = {one.path: rates["two" in one.path] for one in model.trainable_variables}
        model.compile(optimizers.build(fit_plan(), multipliers), loss, jit_compile=False)
        model.fit(np.ones((4, 2), np.float32), np.eye(3, dtype=np.float32)[[0, 1, 2, 0]], verbose=0)

    train()
    gc.collect()
    assert graphs
    assert [graph() for graph in graphs] == [None] * len(graphs)
