"""Batches of decoded images, the same under every Keras backend."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import keras
import numpy as np

from kerastune_recipes.arrays.files import AnyArray
from kerastune_recipes.planning.costs import steps_per_epoch

# Images, labels, and the epoch and number of the batch, to new images and labels.
Augment = Callable[[np.ndarray, np.ndarray, tuple[int, int]], tuple[np.ndarray, np.ndarray]]
Balance = Literal["none", "weights", "sampling"]


class _ShuffledBatches(keras.utils.PyDataset):
    """Batches, shuffled in every epoch unless the seed is None; their sizes differ by at most one image.

    A last batch of the images left over would make a whole step at the full learning rate, and trained
    BatchNormalization would normalize by the statistics of very few images.
    """

    def __init__(self, count: int, batch_size: int, seed: int | None):
        super().__init__()
        self.count = count
        self.batch_size = batch_size
        self.seed = seed
        self.class_weights: np.ndarray | None = None
        self.by_class: Sequence[np.ndarray] = ()
        self.first = 0
        self.start(0)

    def balance(self, how: Balance, labels: np.ndarray) -> None:
        """Balance classes of unequal size, from the first epoch on.

        Args:
            how: "weights" gives each image a weight inversely proportional to the size of its class, 1 on average over
                the images; a mixed label gets the mean weight of its classes, weighted by their shares. "sampling"
                draws all classes equally often in an epoch of the same length, repeating images of small classes and
                drawing a random part of large ones. "none" changes nothing.
            labels: int (n,), the class of each image; every class has at least one.
        """
        counts = np.bincount(labels)
        if how == "weights":
            self.class_weights = (len(labels) / (len(counts) * counts)).astype(np.float32)
        elif how == "sampling":
            self.by_class = [np.flatnonzero(labels == number) for number in range(len(counts))]
        self.start(0)

    @property
    def sizes(self) -> list[int]:
        """Images in each batch of a whole epoch, the larger batches first.

        Example:
            >>> LabelledBatches(images, labels, classes=2, batch_size=32).sizes  # of 97 images
            [25, 24, 24, 24]
        """
        batches = steps_per_epoch(self.count, self.batch_size)
        return [self._start_of(number + 1) - self._start_of(number) for number in range(batches)]

    def _start_of(self, number: int) -> int:
        """Return where a batch of a whole epoch starts in its order."""
        size, larger = divmod(self.count, steps_per_epoch(self.count, self.batch_size))
        return number * size + min(number, larger)

    def __len__(self) -> int:
        return steps_per_epoch(self.count, self.batch_size) - self.first

    def start(self, epoch: int, first: int = 0) -> None:
        """Shuffle for an epoch; the same seed and epoch give the same order.

        Args:
            epoch: Number of the epoch, from 0.
            first: Number of its first batch, above 0 in an epoch that resumes.
        """
        self.epoch, self.first = epoch, first
        if self.seed is None:
            self.order = np.arange(self.count)
            return
        random = np.random.default_rng([self.seed, epoch])
        if self.by_class:
            self.order = random.permutation(_class_balanced_sample(self.by_class, self.count, random))
        else:
            self.order = random.permutation(self.count)

    def on_epoch_end(self) -> None:
        """Shuffle for the next epoch."""
        self.start(self.epoch + 1)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        return self.shard(index, 0, 1)

    def shard(self, index: int, worker: int, workers: int) -> tuple[Any, ...]:
        """Return every `workers`-th image of a batch, starting with number `worker`; there may be none."""
        return self.take(self.positions(index)[worker::workers], self.first + index)

    def take(self, positions: np.ndarray, number: int) -> tuple[Any, ...]:
        """Return images as a batch for Keras.

        Args:
            positions: Positions of the images, int (b,).
            number: Number of the batch in its epoch.
        """
        raise NotImplementedError

    def positions(self, index: int) -> np.ndarray:
        """Return the positions of the images in a batch, int (b,)."""
        number = self.first + index
        # Sorted, so that a file is read forwards.
        return np.sort(self.order[self._start_of(number) : self._start_of(number + 1)])

    def weighted(self, inputs: Any, labels: np.ndarray) -> tuple[Any, ...]:
        """Return a batch for Keras: inputs, labels (b, classes) and, if classes are weighted, weights (b,)."""
        return (inputs, labels) if self.class_weights is None else (inputs, labels, labels @ self.class_weights)


def _class_balanced_sample(by_class: Sequence[np.ndarray], count: int, random: np.random.Generator) -> np.ndarray:
    """Draw `count` positions, equally many of each class and, within a class, each image equally often."""
    # Random classes get one image more where `count` does not divide evenly.
    shares = count // len(by_class) + (random.permutation(len(by_class)) < count % len(by_class))
    return np.concatenate(
        [
            np.concatenate([random.permutation(images) for _ in range(-(-share // len(images)))])[:share]
            for images, share in zip(by_class, shares, strict=True)
            if share
        ]
    )


class LabelledBatches(_ShuffledBatches):
    """Images with one-hot labels, shuffled in every epoch for training.

    Args:
        images: uint8 (n, s, s, 3), in memory or in a file.
        labels: int (n,).
        classes: Number of classes.
        batch_size: Most images in a batch; sizes differ by at most one.
        seed: Random seed of the shuffling; None keeps the order.
        augment: Augmentation of images and labels, applied to each batch; None for none.

    Example:
        >>> batches = LabelledBatches(images, np.array([0, 1, 1]), classes=2, batch_size=2)
        >>> batches[0][1]
        array([[1., 0.], [0., 1.]], dtype=float32)
    """

    def __init__(
        self,
        images: AnyArray,
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

    def take(self, positions: np.ndarray, number: int) -> tuple[np.ndarray, ...]:
        images, labels = self.images[positions], self.labels[positions]
        if self.augment and len(positions):
            images, labels = self.augment(images, labels, (self.epoch, number))
        return self.weighted(images, labels)

    def example(self) -> tuple[np.ndarray, ...]:
        """Return a batch of one image that is not augmented, with the dtypes that augmented batches have."""
        images = self.images[np.arange(1)]
        return self.weighted(images.astype(np.float32) if self.augment else images, self.labels[:1])


class LabelledViews(_ShuffledBatches):
    """Outputs of the frozen part of a network for several views of each image; each epoch uses the next view in turn.

    Args:
        values: float32 (views, n, d), in memory or in a file: the output tensors of each image, flattened and
            concatenated.
        shapes: Shapes of these tensors, without the batch axis.
        labels: float32 (views, n, classes); a view that mixes images mixes their labels too.
        batch_size: Most images in a batch; sizes differ by at most one.
        seed: Random seed of the shuffling; None keeps the order.
    """

    def __init__(
        self,
        values: AnyArray,
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

    def take(self, positions: np.ndarray, number: int) -> tuple[Any, ...]:
        view = self.epoch % len(self.values)
        tensors = np.split(self.values[view, positions], self.ends, axis=1)
        shaped = (tensor.reshape(-1, *shape) for tensor, shape in zip(tensors, self.shapes, strict=True))
        return self.weighted(tuple(shaped), self.labels[view, positions])

    def example(self) -> tuple[Any, ...]:
        """Return a batch of one image."""
        return self.take(np.arange(1), 0)


Batches = LabelledBatches | LabelledViews
