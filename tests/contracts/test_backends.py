"""Runs under the other Keras backends, in processes that cannot import TensorFlow."""

import importlib.util
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from kerastune_recipes import Recipe

# A whole run without TensorFlow: data, both phases, report, saved model.
WITHOUT_TENSORFLOW = """
import json, sys
from importlib.machinery import PathFinder

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, *args):
        return None if name.partition(".")[0] in ("tensorflow", "keras_cv") else super().find_spec(name, *args)

sys.meta_path[sys.meta_path.index(PathFinder)] = Without
import keras, numpy as np
from kerastune_recipes import Recipe
options, data, folder = json.loads(sys.argv[1]), dict(np.load("digits.npz")), sys.argv[2]
ds = {split: (data[f"{split}_x"], data[f"{split}_y"]) for split in ("train", "test")}
report = Recipe.from_name("small_similar", **options).run(ds, out=folder, verbose=False, cache=False)
probabilities = report.predict(ds["test"][0])
loaded = keras.saving.load_model(f"{folder}/model.keras")
# bfloat16 is rounded at other places in compiled code.
tolerance = 1e-5 if options["precision"] == "float32" else 0.02
np.testing.assert_allclose(loaded.predict(ds["test"][0], verbose=0), probabilities, atol=tolerance)
np.save(f"{folder}/probabilities.npy", probabilities)
"""

# Under JAX, on one device and on two: batches that divide evenly, and a user's own network with batches that do not.
ON_TWO_DEVICES = """
import json
import keras, numpy as np
from kerastune_recipes import Recipe
from kerastune_recipes.devices import strategies
from kerastune_recipes.demo.network import DemoNet
data = np.load("digits.npz")
images, labels = data["train_x"][:30], data["train_y"][:30] % 3
ds = {"train": (images[:24], labels[:24]), "validation": (images[24:], labels[24:])}
fit = "phases.fine_tuning.fit."
brief = {"keep": "last", fit + "duration": "2 epochs"}
even = {"backbone.weights": "demo", fit + "batch_size": 10, fit + "class_balance": "weights"}
uneven = {"backbone.preprocessing": "symmetric", fit + "batch_size": 9, fit + "views": 2}

def run(strategy, backbone, options):
    recipe = Recipe.from_name("small_similar", backbone=backbone, **brief | options)
    report = recipe.run(ds, strategy=strategy, verbose=False, cache=False)
    devices = strategies.replicas(strategies.choose(strategy))
    assert {len(weight.value.sharding.device_set) for weight in report.model.weights} == {devices}
    losses = [row["loss"] for row in report.history] + [row["val_loss"] for row in report.history]
    return {"devices": devices, "losses": losses, "probabilities": report.predict(images).tolist()}

found = {}
for strategy in ("none", "auto"):
    network = DemoNet(include_top=False, weights="demo", input_shape=(32, 32, 3))
    found[strategy] = {"even": run(strategy, "DemoNet", even), "uneven": run(strategy, network, uneven)}
print(json.dumps(found))
"""

needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")
pytestmark = pytest.mark.slow  # each process imports Keras
backends = ["jax", pytest.param("torch", marks=needs_torch)]


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """The working folder of the processes, with a few digits of each class."""
    from kerastune_recipes.demo.digits import digits

    found = digits(train_per_class=4)
    test_x, test_y = (values[:40] for values in found["test"])
    folder = tmp_path_factory.mktemp("backends")
    np.savez(folder / "digits.npz", train_x=found["train"][0], train_y=found["train"][1], test_x=test_x, test_y=test_y)
    return folder


def process(script, digits, *words, backend="jax", **environment):
    """Run a script under a backend and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", script, *words],
        # Compiled code runs only once here, so fast compilation matters more than speed.
        env=os.environ | {"KERAS_BACKEND": backend, "JAX_DISABLE_MOST_OPTIMIZATIONS": "true"} | environment,
        cwd=digits,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def run_without_tensorflow(digits, backend, precision):
    """Return the options of a run, and the folder it was written to."""
    options = {
        "backbone.name": "DemoNet",
        "backbone.weights": "demo",
        "precision": precision,
        "keep": "last",
        # Random draws differ between backends.
        "phases.fine_tuning.fit.augmentation": "none",
        "phases.fine_tuning.fit.duration": "2 epochs",
    }
    folder = digits / f"{backend}_{precision}"
    process(WITHOUT_TENSORFLOW, digits, json.dumps(options), folder.name, backend=backend)
    return options, folder


@pytest.mark.parametrize("backend", backends)
def test_a_run_without_tensorflow_ends_in_the_same_model(backend, digits):
    options, folder = run_without_tensorflow(digits, backend, "float32")
    data = np.load(digits / "digits.npz")
    ds = {split: (data[f"{split}_x"], data[f"{split}_y"]) for split in ("train", "test")}
    here = Recipe.from_name("small_similar", **options).run(ds, verbose=False).predict(data["test_x"])
    there = np.load(folder / "probabilities.npy")
    np.testing.assert_allclose(there, here, atol=1e-3)
    loaded = keras.saving.load_model(folder / "model.keras")
    np.testing.assert_allclose(loaded.predict(data["test_x"], verbose=0), there, atol=1e-3)


@pytest.mark.parametrize("backend", backends)
def test_other_backends_compute_in_bfloat16(backend, digits):
    _, folder = run_without_tensorflow(digits, backend, "bfloat16")
    record = json.loads((folder / "report.json").read_text())
    assert (record["compute"]["backend"], record["compute"]["precision"]) == (backend, "bfloat16")
    assert record["versions"][backend][0].isdigit()
    # Ten classes, four training images each.
    assert record["test"]["accuracy"] > 0.8


def test_two_devices_under_jax_train_the_same_model_as_one(digits):
    flags = "--xla_force_host_platform_device_count=2"
    one, two = json.loads(process(ON_TWO_DEVICES, digits, XLA_FLAGS=flags)).values()
    assert (one["even"]["devices"], two["even"]["devices"]) == (1, 2)
    np.testing.assert_allclose(two["even"]["losses"], one["even"]["losses"], atol=1e-4)
    for name in one:
        np.testing.assert_allclose(two[name]["probabilities"], one[name]["probabilities"], atol=1e-4)
