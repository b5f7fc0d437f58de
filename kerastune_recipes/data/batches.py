"""Batches of decoded images, the same under every Keras backend."""

from collections.abc import Callable

import keras
import numpy as np

from kerastune_recipes.data.spool import Rows

Augment = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


class Batches(keras.utils.PyDataset):
    """Images in their own order, for a pass through a network.

    Args:
        images: uint8 (n, s, s, 3), in memory or in a file.
        batch_size: Images in a batch; the last may hold fewer.
        mirrored: True to give each image's mirror image instead.
    """

    def __init__(self, images: Rows, batch_size: int, mirrored: bool = False):
        super().__init__()
        self.images = images
        self.batch_size = batch_size
        self.mirrored = mirrored

    def __len__(self) -> int:
        return -(-len(self.images) // self.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray]:
        batch = self.images[index * self.batch_size : (index + 1) * self.batch_size]
        return (batch[:, :, ::-1] if self.mirrored else batch,)


class LabelledBatches(keras.utils.PyDataset):
    """Images with one-hot labels, shuffled anew every epoch where they are to be trained on.

    Args:
        images: uint8 (n, s, s, 3), in memory or in a file.
        labels: int (n,).
        classes: Number of classes.
        batch_size: Images in a batch; the last may hold fewer.
        seed: Of the shuffling; None keeps the order.
        augment: What is done to each batch, or None.
    """

    def __init__(
        self,
        images: Rows,
        labels: np.ndarray,
        classes: int,
        batch_size: int,
        seed: int | None = None,
        augment: Augment | None = None,
    ):
        super().__init__()
        self.images = images
        self.labels = np.eye(classes, dtype=np.float32)[labels]
        self.batch_size = batch_size
        self.seed = seed
        self.augment = augment
        self.epoch = 0
        self.order = self._order()

    def __len__(self) -> int:
        return -(-len(self.images) // self.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        # Sorted within the batch: a file is then read forwards.
        chosen = np.sort(self.order[index * self.batch_size : (index + 1) * self.batch_size])
        images, labels = self.images[chosen], self.labels[chosen]
        return self.augment(images, labels) if self.augment else (images, labels)

    def on_epoch_end(self) -> None:
        """Shuffle for the next epoch."""
        self.epoch += 1
        self.order = self._order()

    def _order(self) -> np.ndarray:
        if self.seed is None:
            return np.arange(len(self.images))
        return np.random.default_rng([self.seed, self.epoch]).permutation(len(self.images))
