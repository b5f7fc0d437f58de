"""Hardware facts under each backend; devices that are not there are faked."""

import sys
from types import SimpleNamespace

import keras
import pytest

from kerastune_recipes.devices import hardware
from kerastune_recipes.devices.facts import HardwareFacts


def test_this_machine_has_a_backend_and_a_device():
    found = hardware.inspect()
    assert found.backend == keras.backend.backend()
    assert found.accelerated == (found.device in ("gpu", "tpu"))
    assert found.devices >= 1


def test_a_gpu_under_tensorflow(monkeypatch):
    import tensorflow as tf

    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: ["GPU:0", "GPU:1"] if kind == "GPU" else [])
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: {"compute_capability": (8, 6)})
    assert hardware.inspect() == HardwareFacts("tensorflow", "gpu", 2, (8, 6))


@pytest.mark.parametrize(
    ("platform", "capability", "found"),
    [
        ("gpu", "9.0", HardwareFacts("jax", "gpu", 2, (9, 0))),
        ("gpu", "gfx90a", HardwareFacts("jax", "gpu", 2)),
        ("tpu", None, HardwareFacts("jax", "tpu", 2)),
        ("cpu", None, HardwareFacts("jax", "cpu", 2)),
    ],
)
def test_devices_under_jax(platform, capability, found, monkeypatch):
    device = SimpleNamespace(platform=platform, compute_capability=capability)
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    monkeypatch.setitem(sys.modules, "jax", SimpleNamespace(devices=lambda: [device, device]))
    assert hardware.inspect() == found


@pytest.mark.parametrize(
    ("cuda", "found"), [(True, HardwareFacts("torch", "gpu", 1, (7, 5))), (False, HardwareFacts("torch"))]
)
def test_devices_under_torch(cuda, found, monkeypatch):
    functions = {"is_available": lambda: cuda, "device_count": lambda: 1, "get_device_capability": lambda: (7, 5)}
    mps = SimpleNamespace(is_available=lambda: False)
    torch = SimpleNamespace(cuda=SimpleNamespace(**functions), backends=SimpleNamespace(mps=mps))
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert hardware.inspect() == found
