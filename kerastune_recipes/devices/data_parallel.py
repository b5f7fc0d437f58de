"""Several devices under JAX: the choice of keras.distribution.DataParallel, and batches that its devices can share."""

import weakref
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np


def choose() -> keras.distribution.DataParallel | None:
    """Return the distribution over all devices of this machine, or None where there is one only."""
    devices = keras.distribution.list_devices()
    return keras.distribution.DataParallel(devices=devices) if len(devices) > 1 else None


def place(networks: Sequence[keras.Model]) -> None:
    """Put the weights of networks, which may have been built before, on all devices of the distribution in force."""
    distribution = keras.distribution.distribution()
    if distribution is not None:
        for variable in (variable for network in networks for variable in network.variables):
            # Keras lays a variable out when it is made, and has no public way to do so afterwards.
            variable._layout = distribution.get_variable_layout(variable)
            variable.assign(variable.value)


def sharing() -> int:
    """Return how many devices share a batch by the distribution in force."""
    distribution = keras.distribution.distribution()
    return 1 if distribution is None else distribution.num_model_replicas


# Which weights of a network were trained when its function was made, gone when the network is.
_MADE_WITH: weakref.WeakKeyDictionary[keras.Model, tuple[bool, ...]] = weakref.WeakKeyDictionary()


def prepare(network: keras.Model) -> None:
    """Make ready what `predict_on_batch` calls, which on several devices holds on to what was trained when it was made.

    Args:
        network: Any model, made under the distribution in force.
    """
    trained = tuple(variable.trainable for variable in network.variables)
    if sharing() > 1 and _MADE_WITH.get(network) != trained:
        network.make_predict_function(force=True)
        _MADE_WITH[network] = trained


def shared(images: np.ndarray) -> Any:
    """Spread images (b, s, s, 3) over the devices of the distribution in force, if any, which must divide them."""
    distribution = keras.distribution.distribution()
    if distribution is None:
        return images
    layout = distribution.get_data_layout(images.shape)
    return keras.distribution.distribute_tensor(keras.ops.convert_to_tensor(images), layout)


def even(batches: keras.utils.PyDataset | None) -> keras.utils.PyDataset | None:
    """Return batches that the devices can share equally; those themselves where there is one device only."""
    return batches if batches is None or sharing() == 1 else _Even(batches, sharing())


class _Even(keras.utils.PyDataset):
    """Batches filled up to a multiple of the devices, which is all that JAX divides.

    What is filled in weighs nothing, so the loss of a batch is that of its own images; Keras's running means of loss
    and accuracy over an epoch count it, up to one image less than there are devices in a batch.

    Args:
        batches: Inputs, labels (b, classes) and, if they like, weights (b,).
        devices: How many share a batch.
    """

    def __init__(self, batches: keras.utils.PyDataset, devices: int):
        super().__init__()
        self.batches = batches
        self.devices = devices

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> tuple[Any, Any, np.ndarray]:
        inputs, labels, weights = keras.utils.unpack_x_y_sample_weight(self.batches[index])
        count = len(labels)
        places = np.arange(-(-count // self.devices) * self.devices) % count
        # Keras divides the sum of the losses by the size of the batch, filled up as it is.
        factors = np.where(np.arange(len(places)) < count, len(places) / count, 0).astype(np.float32)
        filled = keras.tree.map_structure(lambda values: values[places], inputs)
        return filled, labels[places], factors if weights is None else factors * weights[places]

    def on_epoch_end(self) -> None:
        self.batches.on_epoch_end()
