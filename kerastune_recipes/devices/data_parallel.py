"""Several devices under JAX: keras.distribution.DataParallel, and batches padded to divide evenly among devices."""

import weakref
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np


def choose() -> keras.distribution.DataParallel | None:
    """Return the distribution over all devices of this machine, or None if there is only one."""
    devices = keras.distribution.list_devices()
    return keras.distribution.DataParallel(devices=devices) if len(devices) > 1 else None


def place_on_devices(networks: Sequence[keras.Model]) -> None:
    """Copy the weights of networks, which may be built already, to all devices of the active distribution."""
    distribution = keras.distribution.distribution()
    if distribution is not None:
        for variable in (variable for network in networks for variable in network.variables):
            # Keras sets the layout when a variable is created, and has no public way to change it.
            variable._layout = distribution.get_variable_layout(variable)
            variable.assign(variable.value)


def device_count() -> int:
    """Return the number of devices that share a batch in the active distribution, 1 without one."""
    distribution = keras.distribution.distribution()
    return 1 if distribution is None else distribution.num_model_replicas


# The trainable flags of a network's variables when its predict function was built.
_FLAGS_WHEN_BUILT: weakref.WeakKeyDictionary[keras.Model, tuple[bool, ...]] = weakref.WeakKeyDictionary()


def refresh_predict_function(network: keras.Model) -> None:
    """Rebuild the function of `predict_on_batch` if trainable flags changed: on several devices it depends on them.

    Args:
        network: Any model, created under the active distribution.
    """
    flags = tuple(variable.trainable for variable in network.variables)
    if device_count() > 1 and _FLAGS_WHEN_BUILT.get(network) != flags:
        network.make_predict_function(force=True)
        _FLAGS_WHEN_BUILT[network] = flags


def shard(images: np.ndarray) -> Any:
    """Shard images over the devices of the active distribution; without one, return them unchanged.

    Args:
        images: Array (b, s, s, 3), b a multiple of `device_count()`.
    """
    distribution = keras.distribution.distribution()
    if distribution is None:
        return images
    layout = distribution.get_data_layout(images.shape)
    return keras.distribution.distribute_tensor(keras.ops.convert_to_tensor(images), layout)


def padded(images: int) -> int:
    """Return the number of images in a batch that `pad` has padded.

    Args:
        images: Number of images before.
    """
    return -(-images // device_count()) * device_count()


def pad(batches: keras.utils.PyDataset | None) -> keras.utils.PyDataset | None:
    """Pad batches to a multiple of the devices; with a single device, or None, return them unchanged."""
    return batches if batches is None or device_count() == 1 else _PaddedBatches(batches)


class _PaddedBatches(keras.utils.PyDataset):
    """Batches padded to a multiple of the devices, as JAX requires.

    Padding has weight 0, so the loss of a batch is unchanged. Keras's running means of loss and accuracy over an epoch
    still count it: at most one image less than there are devices in each batch.

    Args:
        batches: Inputs, labels (b, classes) and optionally weights (b,).
    """

    def __init__(self, batches: keras.utils.PyDataset):
        super().__init__()
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> tuple[Any, Any, np.ndarray]:
        inputs, labels, weights = keras.utils.unpack_x_y_sample_weight(self.batches[index])
        count = len(labels)
        repeated = np.arange(padded(count)) % count
        # Keras divides the sum of the losses by the size of the padded batch.
        factors = np.where(np.arange(len(repeated)) < count, len(repeated) / count, 0).astype(np.float32)
        inputs = keras.tree.map_structure(lambda values: values[repeated], inputs)
        return inputs, labels[repeated], factors if weights is None else factors * weights[repeated]

    def on_epoch_end(self) -> None:
        self.batches.on_epoch_end()
