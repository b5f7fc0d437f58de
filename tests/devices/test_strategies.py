"""Choosing a strategy, and running with it."""

import json
import os
import signal
import socket
import subprocess
import sys
import warnings
from contextlib import closing

import keras
import pytest

from kerastune_recipes.devices import data_parallel, strategies
from kerastune_recipes.errors import RequestError

TWO_DEVICES = """
import numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from kerastune_recipes import Recipe
random = np.random.default_rng(0)
ds = (random.integers(0, 256, (30, 32, 32, 3), dtype=np.uint8), np.arange(30) % 3)
steps = {"phases.fine_tuning.fit.duration": "3 steps", "phases.fine_tuning.fit.batch_size": 10, "keep": "last"}
demo = {"backbone.name": "DemoNet", "backbone.weights": "none"}
recipe = Recipe.from_name("small_similar", **demo, **steps)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert strategy.num_replicas_in_sync == 2
report = recipe.run(ds, strategy=strategy, verbose=False)
assert [phase["steps"] for phase in report.record["phases"]] == [0, 3]
mirrored = [weight.value for weight in report.model.weights]
assert all(isinstance(value, tf.distribute.DistributedValues) for value in mirrored), type(mirrored[0])
assert report.model.evaluate(ds[0], ds[1], verbose=0)
report.model.save("model.keras")
import keras
image = keras.Input((32, 32, 3))
own = keras.Model(image, keras.layers.Conv2D(8, 3, strides=2)(image), name="own")
before = own.get_weights()
again = Recipe.from_name("small_similar", backbone=own, **steps).run(ds, strategy=strategy, verbose=False)
assert again.model.evaluate(ds[0], ds[1], verbose=0)
assert all((one == other).all() for one, other in zip(before, own.get_weights()))
print("steps", report.history[-1]["step"], "loss", report.history[-1]["loss"])
"""


@pytest.mark.slow
def test_a_model_trained_on_two_devices_can_be_used_afterwards(tmp_path):
    """In its own process, because logical devices must be configured before TensorFlow starts."""
    done = subprocess.run([sys.executable, "-c", TWO_DEVICES], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "steps 3 loss" in done.stdout


def test_one_device_needs_no_strategy():
    assert strategies.choose("auto") is None
    assert strategies.choose("none") is None
    assert strategies.choose(None) is None
    assert strategies.replicas(None) == 1


def test_mirrored_by_name():
    strategy = strategies.choose("mirrored")
    assert strategies.replicas(strategy) == 1
    # Two strategies of the same devices in one process would mix up their collective operations.
    assert strategies.choose("mirrored") is strategy
    with strategies.scope(strategy):
        pass


def test_a_strategy_object_is_returned_unchanged():
    import tensorflow as tf

    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    assert strategies.choose(strategy) is strategy


def test_an_unknown_name_is_refused_with_a_suggestion():
    with pytest.raises(RequestError, match=r'strategy: there is no "miror". Did you mean "mirrored"\?'):
        strategies.choose("miror")


def test_mirrored_needs_the_tensorflow_backend(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(RequestError, match=r'"mirrored" is tf.distribute and .* in use is jax. Give "auto" or "none"'):
        strategies.choose("mirrored")


@pytest.mark.parametrize(("backend", "found"), [("jax", "all devices"), ("torch", None)])
def test_auto_takes_all_devices_under_jax_only(backend, found, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: backend)
    monkeypatch.setattr(data_parallel, "choose", lambda: "all devices")
    assert strategies.choose("auto") == found
    assert strategies.choose("none") is None


@pytest.fixture
def connected(monkeypatch):
    """Return a function that chooses a strategy of workers; instead of TensorFlow, a plain socket listens."""

    def choose(*hosts, index=0, listen=lambda port: socket.create_server(("", port), reuse_port=True)):
        monkeypatch.setattr(strategies, "wait_for_workers", lambda cluster, notify: None)
        monkeypatch.setattr(strategies, "_connect", lambda cluster: listen(cluster.port))
        with closing(socket.create_server(("", 0), reuse_port=True)) as one:
            port = one.getsockname()[1]
        config = {"cluster": {"worker": [f"{host}:{port}" for host in hosts]}, "task": {"type": "worker"}}
        config["task"]["index"] = index
        monkeypatch.setenv("TF_CONFIG", json.dumps(config))
        return strategies.choose("multi_worker")

    return choose


@pytest.mark.skipif(sys.platform != "linux", reason="closes the ports under Linux")
def test_ports_of_workers_on_this_machine_are_closed_to_others(connected):
    with warnings.catch_warnings(action="error"), connected("127.0.0.1", "127.0.0.2") as server:
        assert server.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16) == b"lo\0"


SIGTERM = """
import os, signal
from kerastune_recipes.devices import strategies
before = signal.signal(signal.SIGTERM, lambda number, frame: print("saves a checkpoint", flush=True))
strategies.choose("multi_worker")
os.kill(os.getpid(), signal.SIGTERM)
signal.signal(signal.SIGTERM, before)
os.kill(os.getpid(), signal.SIGTERM)
"""


@pytest.mark.slow
def test_sigterm_still_reaches_python_after_tensorflow_has_connected():
    """In its own process, because TensorFlow's server is started once in each."""
    config = {"cluster": {}, "task": {"type": "worker", "index": 0}}
    with closing(socket.create_server(("", 0))) as one:
        config["cluster"]["worker"] = [f"127.0.0.1:{one.getsockname()[1]}"]
    environment = {**os.environ, "TF_CONFIG": json.dumps(config)}
    done = subprocess.run([sys.executable, "-c", SIGTERM], capture_output=True, text=True, env=environment)
    assert (done.stdout, done.returncode) == ("saves a checkpoint\n", -signal.SIGTERM), done.stderr[-3000:]


OPEN = r"the ports of the workers \({}.*\) are open to every machine that can reach them: TensorFlow listens on all"


def test_open_ports_of_several_machines_are_a_warning_of_the_main_worker(connected):
    with pytest.warns(UserWarning, match=OPEN.format("node1:")), connected("node1", "node2"):
        pass
    with warnings.catch_warnings(action="error"), connected("node1", "node2", index=1):
        pass


def test_ports_of_workers_on_this_machine_that_cannot_be_closed_are_a_warning(connected, monkeypatch):
    monkeypatch.delattr(socket, "SO_BINDTODEVICE", raising=False)
    with pytest.warns(UserWarning, match=OPEN.format("127.0.0.1:")), connected("127.0.0.1", "127.0.0.2"):
        pass
