"""Batches of decoded images, the same under every Keras backend."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import keras
import numpy as np

from kerastune_recipes.arrays.files import Rows

Augment = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
Balance = Literal["none", "weights", "sampling"]


class _Shuffled(keras.utils.PyDataset):
    """Batches shuffled anew every epoch; the last may be smaller. The seed None keeps the order."""

    def __init__(self, count: int, batch_size: int, seed: int | None):
        super().__init__()
        self.count = count
        self.batch_size = batch_size
        self.seed = seed
        self.class_weights: np.ndarray | None = None
        self.by_class: Sequence[np.ndarray] = ()
        self.start(0)

    def balance(self, how: Balance, labels: np.ndarray) -> None:
        """Make up for classes of unequal size, from the first epoch on.

        Args:
            how: "weights" gives every image a weight as well: that of its class, which is the inverse of the class's
                size and 1 on average over the images. A mixed label is given the mean of its classes' weights, by
                their shares. "sampling" draws images of each class equally often in every epoch, which stays as long:
                those of a small class come again and again, those of a large one by lot.
                "none" changes nothing.
            labels: int (n,), the class of each image; every class has one at least.
        """
        counts = np.bincount(labels)
        if how == "weights":
            self.class_weights = (len(labels) / (len(counts) * counts)).astype(np.float32)
        elif how == "sampling":
            self.by_class = [np.flatnonzero(labels == number) for number in range(len(counts))]
        self.start(0)

    def __len__(self) -> int:
        return -(-self.count // self.batch_size)

    def start(self, epoch: int) -> None:
        """Shuffle for an epoch, counted from 0."""
        self.epoch = epoch
        if self.seed is None:
            self.order = np.arange(self.count)
            return
        random = np.random.default_rng([self.seed, epoch])
        if self.by_class:
            self.order = random.permutation(_equally_often(self.by_class, self.count, random))
        else:
            self.order = random.permutation(self.count)

    def on_epoch_end(self) -> None:
        """Shuffle for the next epoch."""
        self.start(self.epoch + 1)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        return self.part(index, 0, 1)

    def part(self, index: int, piece: int, pieces: int) -> tuple[Any, ...]:
        """Return every `pieces`-th image of a batch, from the `piece`-th on; there may be none."""
        return self.of(self.chosen(index)[piece::pieces])

    def of(self, chosen: np.ndarray) -> tuple[Any, ...]:
        """Return the images of these numbers as Keras takes them."""
        raise NotImplementedError

    def chosen(self, index: int) -> np.ndarray:
        """Return the numbers of the images in a batch."""
        # Sorted within the batch: a file is then read forwards.
        return np.sort(self.order[index * self.batch_size : (index + 1) * self.batch_size])

    def weighted(self, inputs: Any, labels: np.ndarray) -> tuple[Any, ...]:
        """Return a batch as Keras takes it: inputs and labels, and a weight of each image where they have one."""
        return (inputs, labels) if self.class_weights is None else (inputs, labels, labels @ self.class_weights)


def _equally_often(by_class: Sequence[np.ndarray], count: int, random: np.random.Generator) -> np.ndarray:
    """Draw `count` images, as many of each class as can be, and each image of a class as often as the others."""
    # What is left over after equal shares goes to classes by lot.
    shares = count // len(by_class) + (random.permutation(len(by_class)) < count % len(by_class))
    return np.concatenate(
        [
            np.concatenate([random.permutation(images) for _ in range(-(-share // len(images)))])[:share]
            for images, share in zip(by_class, shares, strict=True)
            if share
        ]
    )


class LabelledBatches(_Shuffled):
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
        super().__init__(len(images), batch_size, seed)
        self.images = images
        self.labels = np.eye(classes, dtype=np.float32)[labels]
        self.augment = augment

    def of(self, chosen: np.ndarray) -> tuple[np.ndarray, ...]:
        images, labels = self.images[chosen], self.labels[chosen]
        return self.weighted(*(self.augment(images, labels) if self.augment and len(chosen) else (images, labels)))

    def example(self) -> tuple[np.ndarray, ...]:
        """Return a batch of one image, of the type that all have; nothing is drawn for it."""
        images = self.images[np.arange(1)]
        return self.weighted(images.astype(np.float32) if self.augment else images, self.labels[:1])


class LabelledViews(_Shuffled):
    """What a part of a network made of several views of each image, one view an epoch in turn.

    Args:
        values: float32 (views, n, d), in memory or in a file: the tensors of each image, flat and side by side.
        shapes: Of these tensors.
        labels: float32 (views, n, classes); a view that mixes images mixes their labels too.
        batch_size: Images in a batch; the last may hold fewer.
        seed: Of the shuffling; None keeps the order.
    """

    def __init__(
        self,
        values: Rows,
        shapes: Sequence[tuple[int, ...]],
        labels: np.ndarray,
        batch_size: int,
        seed: int | None = None,
    ):
        super().__init__(values.shape[1], batch_size, seed)
        self.values = values
        self.shapes = shapes
        self.ends = np.cumsum([math.prod(shape) for shape in shapes])[:-1]
        self.labels = labels

    def of(self, chosen: np.ndarray) -> tuple[Any, ...]:
        view = self.epoch % len(self.values)
        tensors = np.split(self.values[view, chosen], self.ends, axis=1)
        shaped = (tensor.reshape(-1, *shape) for tensor, shape in zip(tensors, self.shapes, strict=True))
        return self.weighted(tuple(shaped), self.labels[view, chosen])

    def example(self) -> tuple[Any, ...]:
        """Return a batch of one image."""
        return self.of(np.arange(1))


Batches = LabelledBatches | LabelledViews
