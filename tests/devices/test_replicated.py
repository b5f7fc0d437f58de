"""Training on several replicas gives the losses of one device."""

import gc
import subprocess
import sys
import weakref

import keras
import numpy as np
import pytest

from kerastune_recipes.devices.replicated import distribute, split_batch, synchronized
from kerastune_recipes.training.batches import LabelledBatches

# In its own process, because logical devices must be configured before TensorFlow starts. The batches of an epoch have
# five images, the last four, which replicas cannot all share evenly, and the gradients are clipped.
SAME = """
import numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 3)
import keras
from kerastune_recipes import Recipe
random = np.random.default_rng(0)
ds = random.integers(0, 256, (30, 32, 32, 3), dtype=np.uint8), np.arange(30) % 3
fit = {"batch_size": 5, "duration": "6 steps", "learning_rate": 0.03, "clip_norm": 0.1, **OPTIONS}
options = {f"phases.fine_tuning.fit.{key}": value for key, value in fit.items()}

class Losses(list, keras.callbacks.Callback):
    def __init__(self):
        keras.callbacks.Callback.__init__(self)
    def on_train_batch_end(self, batch, logs):
        self.append(logs["loss"])

def run(strategy):
    losses = Losses()
    recipe = Recipe.from_name("small_similar", **{"backbone": "DemoNet", "backbone.weights": "demo"}, **options)
    report = recipe.run(ds, strategy=strategy, verbose=False, cache=False, callbacks=[losses])
    rows = [[row[key] for key in ("loss", "accuracy", "val_loss")] for row in report.history]
    return np.array(losses), np.array(rows), report.model
losses, rows, model = run("none")
mirrored_losses, mirrored_rows, mirrored = run(tf.distribute.MirroredStrategy([f"CPU:{n}" for n in range(COUNT)]))
np.testing.assert_allclose(mirrored_losses, losses, atol=1e-4)
np.testing.assert_allclose(mirrored_rows, rows, atol=1e-4)
assert len(losses) == 6
for one, other in zip(model.get_weights(), mirrored.get_weights(), strict=True):
    np.testing.assert_allclose(one, other, atol=1e-3)
print("the same")
"""
TRAINED = {"batch_norm": "trained", "trainable": [["head", 1.0], ["backbone", 0.5]], "views": "fresh"}
TRAINED |= {"augmentation": "none", "class_balance": "weights", "l2_sp": 0.01, "loss": "squared_error"}
TRAINED |= {"reinitialize": ["backbone/last_stage"]}
TRAINED |= {"optimizer": {"name": "sgd", "momentum": 0.9, "ema_momentum": 0.9}}


@pytest.mark.slow
@pytest.mark.parametrize(("replicas", "options"), [(2, {"views": 2}), (3, TRAINED)], ids=["cached_views", "everything"])
def test_the_losses_are_those_of_one_device(replicas, options, tmp_path):
    script = SAME.replace("OPTIONS", repr(options)).replace("COUNT", str(replicas))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "the same" in done.stdout


def test_shards_of_a_batch_differ_by_one_image_at_most():
    batch = np.arange(5), np.eye(5), np.ones(5)
    shares = list(split_batch(batch, 2))
    assert [inputs.tolist() for inputs, _, _ in shares] == [[0, 2, 4], [1, 3]]
    assert [len(labels) for _, labels, _ in shares] == [3, 2]


def test_a_replica_without_images_gets_one_of_weight_zero():
    inputs, labels, weights = list(split_batch(((np.arange(2), np.arange(2)), np.eye(2), np.ones(2)), 3))[2]
    assert [one.tolist() for one in inputs] == [[0], [0]]
    assert labels.tolist() == [[1.0, 0.0]]
    assert weights.tolist() == [0.0]


def test_one_device_trains_the_model_itself_on_the_batches_in_order(assembled, pictures):
    _, _, network = assembled()
    batches = LabelledBatches(*pictures(7), classes=3, batch_size=4)
    model, data, nothing = distribute(network.core, batches, None)
    assert model is network.core
    assert nothing is None
    for index, (images, labels) in enumerate(data):
        np.testing.assert_array_equal(images, batches[index][0])
        np.testing.assert_array_equal(labels, batches[index][1])
    assert index == 1
    # The tuning thread of TensorFlow delayed the closing of an iterator by up to a minute.
    assert not data.options().autotune.enabled


def test_the_images_are_gone_with_the_dataset_that_reads_them(assembled, pictures):
    _, _, network = assembled()
    batches = LabelledBatches(*pictures(7), classes=3, batch_size=4)
    remaining = weakref.ref(batches)
    _, data = distribute(network.core, batches)
    del batches
    assert len(list(data)) == 2
    # TensorFlow keeps the function that reads them until the process ends.
    del data
    gc.collect()
    assert remaining() is None


def test_one_device_does_not_synchronize_batch_norm(assembled):
    norm = keras.layers.BatchNormalization()
    with synchronized([norm]):
        assert not norm.synchronized
