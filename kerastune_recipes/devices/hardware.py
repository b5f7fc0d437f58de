"""Inspecting the hardware through the Keras backend."""

import re

import keras

from kerastune_recipes.devices.facts import HardwareFacts


def inspect() -> HardwareFacts:
    """Return the facts of the devices that the Keras backend uses.

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

    # Listing logical devices instead would initialise them, after which they cannot be configured.
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
    # "8.0" for an NVIDIA GPU, "gfx90a" for an AMD one.
    match = re.fullmatch(r"(\d+)\.(\d+)", str(getattr(devices[0], "compute_capability", "")))
    return HardwareFacts("jax", platform, len(devices), (int(match[1]), int(match[2])) if match else None)


def _torch() -> HardwareFacts:
    import torch

    if torch.cuda.is_available():
        return HardwareFacts("torch", "gpu", torch.cuda.device_count(), torch.cuda.get_device_capability())
    return HardwareFacts("torch", "gpu" if torch.backends.mps.is_available() else "cpu")
