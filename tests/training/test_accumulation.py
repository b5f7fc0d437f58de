"""A model that sees batches in parts trains as one that sees them whole."""

import importlib.util
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from kerastune_recipes.training.accumulation import in_parts, part_size

# Two batches of 5 and one of 3; sums of float32 in another order.
IMAGES, BATCH, TOLERANCE = 13, 5, 2e-6

# Runs under every backend: fits a small network with the options of `compile`, and returns the history and the weights.
TRAIN = """
import keras, numpy as np
from kerastune_recipes.training.accumulation import in_parts

def network():
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, kernel_regularizer=keras.regularizers.L2(0.01))(image)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU()(x))
    model = keras.Model(image, keras.layers.Dense(3, activation="softmax")(x))
    model.layers[2].trainable = False
    return model

def train(model, images, batch, **options):
    random = np.random.default_rng(0)
    x, y = random.random((images, 8, 8, 3), np.float32), np.eye(3, dtype=np.float32)[np.arange(images) % 3]
    weights = random.random(images, np.float32)
    accuracy = keras.metrics.CategoricalAccuracy(name="accuracy")
    model.compile(**{"optimizer": "sgd", "loss": "categorical_crossentropy", "metrics": [accuracy], **options})
    held_out = x[: images // 2], y[: images // 2]
    history = model.fit(x, y, batch, 2, 0, None, 0.0, held_out, shuffle=False, sample_weight=weights).history
    return history, model.get_weights()
"""
names = {}
exec(TRAIN, names)
network, train = names["network"], names["train"]


def assert_same(one, other, tolerance=TOLERANCE):
    (history, weights), (other_history, other_weights) = one, other
    assert history.keys() == other_history.keys() >= {"loss", "accuracy", "val_loss", "val_accuracy"}
    for key in history:
        np.testing.assert_allclose(other_history[key], history[key], atol=tolerance, rtol=0, err_msg=key)
    for value, other_value in zip(weights, other_weights, strict=True):
        np.testing.assert_allclose(other_value, value, atol=tolerance, rtol=0)


OPTIMIZERS = {
    "momentum": lambda: keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    "clipped": lambda: keras.optimizers.SGD(0.5, global_clipnorm=0.05),
    "adamw": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1),
    "averaged": lambda: keras.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.9),
    "scaled": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1)),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_losses_metrics_and_weights_are_those_of_whole_batches(name):
    """Parts of two images, the last of one."""
    whole = train(network(), IMAGES, BATCH, optimizer=OPTIMIZERS[name]())
    assert_same(whole, train(in_parts(network(), 2), IMAGES, BATCH, optimizer=OPTIMIZERS[name]()))


def test_parts_of_any_size():
    whole = train(network(), IMAGES, BATCH)
    for size in (1, 3, 5, 9):
        assert_same(whole, train(in_parts(network(), size), IMAGES, BATCH))


def test_steps_that_xla_compiles():
    whole = train(network(), IMAGES, BATCH, jit_compile=True)
    assert_same(whole, train(in_parts(network(), 2), IMAGES, BATCH, jit_compile=True))


def test_a_variable_that_the_loss_does_not_depend_on_stays():
    def with_idle_layer():
        keras.utils.set_random_seed(0)
        image = keras.Input((8, 8, 3))
        used, idle = keras.layers.Dense(3, activation="softmax"), keras.layers.Dense(3)
        flat = keras.layers.Flatten()(image)
        return keras.Model(image, used(flat) + keras.ops.stop_gradient(idle(flat)) * 0)

    options = {"optimizer": "adamw"}  # which would decay it
    assert_same(
        train(with_idle_layer(), IMAGES, BATCH, **options),
        train(in_parts(with_idle_layer(), 2), IMAGES, BATCH, **options),
    )


def test_parts_are_a_loop_of_the_graph():
    """Unrolled, TensorFlow would compute parts side by side and need their memory at the same time."""
    import tensorflow as tf

    model = in_parts(network(), 1)
    model.compile("sgd", "categorical_crossentropy")
    model.optimizer.build(model.trainable_variables)

    @tf.function(autograph=False)
    def step(images, labels):
        return model.train_step((images, labels))

    images, labels = tf.zeros((6, 8, 8, 3)), tf.one_hot(range(6), 3)
    model.test_on_batch(images, labels)  # builds the metrics
    graph = step.get_concrete_function(images, labels).graph.as_graph_def()
    loops = [node for node in graph.node if node.op == "While"]
    assert [loop.attr["parallel_iterations"].i for loop in loops] == [1]
    convolutions = [node for each in graph.library.function for node in each.node_def if node.op == "Conv2D"]
    assert not [node for node in graph.node if node.op == "Conv2D"]
    assert 1 <= len(convolutions) <= 2  # of the step, and of its forward part, from which gradients are built


LAST_PART = """
def last_means(images, size):
    # With momentum 0 the moving mean is that of the images seen last.
    image = keras.Input((2,))
    norm = keras.layers.BatchNormalization(momentum=0.0)
    model = in_parts(keras.Model(image, keras.layers.Dense(3, activation="softmax")(norm(image))), size)
    model.compile("sgd", "categorical_crossentropy")
    x = np.random.default_rng(0).random((images, 2), np.float32)
    model.fit(x, np.eye(3, dtype=np.float32)[np.arange(images) % 3], images, verbose=0, shuffle=False)
    return np.array(norm.moving_mean), x

for images, size, last in ((9, 4, 3), (7, 4, 3), (5, 2, 1), (3, 5, 3)):
    found, x = last_means(images, size)
    np.testing.assert_allclose(found, x[-last:].mean(axis=0), atol=1e-6, err_msg=f"{images} {size}")
"""


def test_no_part_is_more_than_one_image_smaller_than_another():
    """9 images in parts of at most 4 are 3, 3 and 3, not 4, 4 and 1."""
    exec(LAST_PART, dict(names))


def test_the_number_of_images_at_once():
    assert [part_size(64, parts) for parts in (1, 2, 4, 64, 128)] == [64, 32, 16, 1, 1]
    assert part_size(5, 2) == 3
    assert [part_size(64, 2, devices) for devices in (2, 3)] == [16, 11]


SAME = """
whole = train(network(), 13, 5, optimizer=keras.optimizers.AdamW(0.01, global_clipnorm=0.05))
for size in (2, 3):
    parts = train(in_parts(network(), size), 13, 5, optimizer=keras.optimizers.AdamW(0.01, global_clipnorm=0.05))
    for key in whole[0]:
        np.testing.assert_allclose(parts[0][key], whole[0][key], atol=1e-5, err_msg=key)
    for one, other in zip(whole[1], parts[1], strict=True):
        np.testing.assert_allclose(other, one, atol=1e-5)
print("the same")
"""
needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", pytest.param("torch", marks=needs_torch)])
def test_other_backends_too(backend, tmp_path):
    run = [sys.executable, "-c", TRAIN + LAST_PART + SAME]
    done = subprocess.run(
        run, capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "KERAS_BACKEND": backend}
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "the same" in done.stdout


# In its own process, because logical devices must be configured before TensorFlow starts.
ON_REPLICAS = """
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from kerastune_recipes.devices.replicated import distribute
from kerastune_recipes.training.batches import LabelledBatches

images = np.random.default_rng(0).integers(0, 2, (13, 8, 8, 3), dtype=np.uint8)
found = []
for parts in (False, True):
    with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
        model, data = distribute(network(), LabelledBatches(images, np.arange(13) % 3, 3, batch_size=5))
        model = in_parts(model, 1) if parts else model
        accuracy = keras.metrics.CategoricalAccuracy(name="accuracy")
        optimizer = keras.optimizers.SGD(0.5, global_clipnorm=0.05)
        model.compile(optimizer, loss="categorical_crossentropy", metrics=[accuracy])
        found.append((model.fit(data, validation_data=data, epochs=2, verbose=0).history, model.get_weights()))
(history, weights), (history_in_parts, weights_in_parts) = found
for key in history:
    np.testing.assert_allclose(history_in_parts[key], history[key], atol=1e-5, err_msg=key)
for one, other in zip(weights, weights_in_parts, strict=True):
    np.testing.assert_allclose(other, one, atol=1e-5)
print("the same")
"""


@pytest.mark.slow
def test_parts_of_the_shards_of_replicas(tmp_path):
    """Shards of three and two images, and of two and two."""
    done = subprocess.run([sys.executable, "-c", TRAIN + ON_REPLICAS], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "the same" in done.stdout
