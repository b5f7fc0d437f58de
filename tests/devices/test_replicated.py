import subprocess
import sys

import numpy as np
import pytest

from kerastune_recipes.devices.replicated import divided, spread, synchronized
from kerastune_recipes.training.batches import LabelledBatches

# In a process of its own, because devices must be set up before TensorFlow starts. The last batch of an epoch has four
# images, which three replicas cannot share evenly, and the gradients are clipped.
SAME = """
import numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 3)
import keras
from kerastune_recipes import Recipe
random = np.random.default_rng(0)
ds = random.integers(0, 256, (30, 32, 32, 3), dtype=np.uint8), np.arange(30) % 3
fit = {"batch_size": 10, "duration": "6 steps", "learning_rate": 0.03, "clip_norm": 0.1, **OPTIONS}
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
by_all, rows_of_all, replicated = run(tf.distribute.MirroredStrategy([f"CPU:{n}" for n in range(COUNT)]))
np.testing.assert_allclose(by_all, losses, atol=1e-4)
np.testing.assert_allclose(rows_of_all, rows, atol=1e-4)
assert len(losses) == 6
for one, other in zip(model.get_weights(), replicated.get_weights(), strict=True):
    np.testing.assert_allclose(one, other, atol=1e-3)
print("the same")
"""
TRAINED = {"batch_norm": "trained", "trainable": [["head", 1.0], ["backbone", 0.5]], "views": "fresh"}
TRAINED |= {"augmentation": "none", "class_balance": "weights", "l2_sp": 0.01, "loss": "squared_error"}
TRAINED |= {"reinitialize": ["backbone/last_stage"]}
TRAINED |= {"optimizer": {"name": "sgd", "momentum": 0.9, "ema_momentum": 0.9}}


@pytest.mark.parametrize(
    ("replicas", "options"), [(2, {"views": 2}), (3, TRAINED)], ids=["behind_a_frozen_part", "everything"]
)
def test_the_losses_are_those_of_one_device(replicas, options, tmp_path):
    script = SAME.replace("OPTIONS", repr(options)).replace("COUNT", str(replicas))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "the same" in done.stdout


def test_a_batch_is_divided_evenly_but_for_one_image():
    batch = np.arange(5), np.eye(5), np.ones(5)
    shares = list(divided(batch, 2))
    assert [inputs.tolist() for inputs, _, _ in shares] == [[0, 2, 4], [1, 3]]
    assert [len(labels) for _, labels, _ in shares] == [3, 2]


def test_a_replica_left_without_is_given_an_image_that_counts_for_nothing():
    inputs, labels, weights = list(divided(((np.arange(2), np.arange(2)), np.eye(2), np.ones(2)), 3))[2]
    assert [one.tolist() for one in inputs] == [[0], [0]]
    assert labels.tolist() == [[1.0, 0.0]]
    assert weights.tolist() == [0.0]


def test_one_device_trains_the_model_itself_on_the_batches_in_their_order(assembled, pictures):
    _, _, network = assembled()
    batches = LabelledBatches(*pictures(7), classes=3, batch_size=4)
    model, fed, nothing = spread(network.core, batches, None)
    assert model is network.core
    assert nothing is None
    for index, (images, labels) in enumerate(fed):
        np.testing.assert_array_equal(images, batches[index][0])
        np.testing.assert_array_equal(labels, batches[index][1])
    assert index == 1
    # With that thread of TensorFlow's an iterator took up to a minute to close.
    assert not fed.options().autotune.enabled


def test_one_device_needs_no_synchronisation(assembled):
    import keras

    norm = keras.layers.BatchNormalization()
    with synchronized([norm]):
        assert not norm.synchronized
