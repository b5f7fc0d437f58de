"""What the work runs on, as the Keras backend sees it."""

import re

import keras

from kerastune_recipes.devices.facts import HardwareFacts


def inspect() -> HardwareFacts:
    """Return what the work runs on.

    Example:
        >>> inspect().device
        'cpu'
    """
    match keras.backend.backend():
        case "tensorflow":
            return _tensorflow()
        case "jax":
            return _jax()
        case "torch":
            return _torch()
        case other:
            return HardwareFacts(other)


def _tensorflow() -> HardwareFacts:
    import tensorflow as tf

    # Not the logical ones: asked for them, TensorFlow sets up its devices, and they cannot be changed any more.
    if tpus := tf.config.get_visible_devices("TPU"):
        return HardwareFacts("tensorflow", "tpu", len(tpus))
    if gpus := tf.config.get_visible_devices("GPU"):
        details = tf.config.experimental.get_device_details(gpus[0])
        return HardwareFacts("tensorflow", "gpu", len(gpus), details.get("compute_capability"))
    return HardwareFacts("tensorflow")


def _jax() -> HardwareFacts:
    import jax

    devices = jax.devices()
    platform = devices[0].platform
    if platform not in ("gpu", "tpu"):
        return HardwareFacts("jax", "cpu", len(devices))
    # "8.0" for one of NVIDIA, "gfx90a" for one of AMD.
    found = re.fullmatch(r"(\d+)\.(\d+)", str(getattr(devices[0], "compute_capability", "")))
    return HardwareFacts("jax", platform, len(devices), (int(found[1]), int(found[2])) if found else None)


def _torch() -> HardwareFacts:
    import torch

    if torch.cuda.is_available():
        return HardwareFacts("torch", "gpu", torch.cuda.device_count(), torch.cuda.get_device_capability())
    return HardwareFacts("torch", "gpu" if torch.backends.mps.is_available() else "cpu")
