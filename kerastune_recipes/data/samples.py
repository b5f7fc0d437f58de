"""The shape data has inside the package: labelled images that are decoded only when asked for."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from kerastune_recipes.errors import DataError
from kerastune_recipes.facts import DatasetFacts


class Reader(Protocol):
    """Gives the image at an index as uint8 (height, width, 3) RGB.

    With `at_least` given, an image may come smaller than it is stored, but neither side under that many pixels:
    a large JPEG decodes several times faster so. Raises DataError naming the image if it cannot be decoded.
    """

    def __call__(self, index: int, at_least: int | None = None) -> np.ndarray: ...


@dataclass(frozen=True)
class Samples:
    """Labelled images of one split, not yet decoded.

    Args:
        read: From an index to that image's pixels.
        names: How a person would name each image, such as "ants/1.jpg" or "image 17".
        labels: int64 (n,), positions in `class_names`.
        class_names: One per class, in label order.
        sizes: int64 (n, 2), height and width of each image as `read` gives it, known without decoding.
        content: From an index to the bytes the image is stored as, or None where it is stored as pixels.
        groups: int64 (n,), the group of each image, whose images are never divided; None where they may be.
    """

    read: Reader
    names: Sequence[str]
    labels: np.ndarray
    class_names: tuple[str, ...]
    sizes: np.ndarray
    content: Callable[[int], bytes] | None = None
    groups: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def counts(self) -> tuple[int, ...]:
        """Images of each class, in label order."""
        return tuple(np.bincount(self.labels, minlength=len(self.class_names)).tolist())

    def digest(self, index: int) -> bytes:
        """Return the digest of an image's content, by which it is known wherever it lies and whatever its label.

        Raises:
            DataError: The image cannot be read; it is named.
        """
        if self.content is None:
            pixels = self.read(index)
            return _digest(str(pixels.shape).encode(), np.ascontiguousarray(pixels).data)
        try:
            return _digest(self.content(index))
        except OSError as error:
            raise DataError(f"{self.names[index]}: this image cannot be read: {error.strerror}.") from None

    def select(self, indices: np.ndarray) -> "Samples":
        """Return some of the images, in the order asked for.

        Args:
            indices: int (m,), positions in this split; repeats are allowed.

        Example:
            >>> first_ten = samples.select(np.arange(10))
        """
        indices = np.asarray(indices, dtype=np.int64)

        def read(index: int, at_least: int | None = None) -> np.ndarray:
            return self.read(int(indices[index]), at_least)

        def content(index: int) -> bytes:
            assert self.content is not None  # otherwise this function is not handed on
            return self.content(int(indices[index]))

        return Samples(
            read=read,
            names=[self.names[index] for index in indices],
            labels=self.labels[indices],
            class_names=self.class_names,
            sizes=self.sizes[indices],
            content=content if self.content else None,
            groups=None if self.groups is None else self.groups[indices],
        )


@dataclass(frozen=True)
class Dataset:
    """The images to train on, to choose with and to judge with.

    Args:
        source: Where the images come from, as the user named it.
        train: Images to train on.
        validation: Images to choose with.
        test: Images to judge with, or None when the user gave none.
        held_out: True when the validation images were taken from the training images.
        one_hot_labels: True when the user's own labels were one-hot, so that the final model is compiled to match.
        grouped_by: What groups the images, in words; None where nothing does.
    """

    source: str
    train: Samples
    validation: Samples
    test: Samples | None
    held_out: bool
    one_hot_labels: bool
    grouped_by: str | None = None

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.train.class_names

    def pooled(self) -> "Dataset":
        """Return the same with the validation images among those to train on, for cross-validation of all."""
        everything = concatenate([self.train, self.validation])
        # In an order that does not tell which images had been held out, by whatever seed.
        ordered = everything.select(np.argsort(np.array(everything.names, str), kind="stable"))
        return replace(self, train=ordered, validation=self.validation.select(np.arange(0)), held_out=False)

    def facts(self) -> DatasetFacts:
        """Return counts and sizes; the sizes leave the test images out, which nothing may be decided by."""
        sizes = np.concatenate([self.train.sizes, self.validation.sizes])
        areas = sizes.prod(axis=1)
        return DatasetFacts(
            source=self.source,
            class_names=self.class_names,
            train=self.train.counts,
            validation=self.validation.counts,
            test=None if self.test is None else self.test.counts,
            held_out=self.held_out,
            median_size=_pair(np.rint(np.median(sizes, axis=0))),
            smallest_size=_pair(sizes[areas.argmin()]),
            largest_size=_pair(sizes[areas.argmax()]),
            groups=self._groups(),
            grouped_by=self.grouped_by,
        )

    def _groups(self) -> int | None:
        groups = [split.groups for split in (self.train, self.validation) if split.groups is not None]
        return len(np.unique(np.concatenate(groups))) if groups else None


def concatenate(parts: Sequence[Samples]) -> Samples:
    """Return the images of several splits with the same classes as one, in order.

    Args:
        parts: At least one.
    """
    if len(parts) == 1:
        return parts[0]
    starts = np.cumsum([0, *map(len, parts)])

    def place(index: int) -> tuple[Samples, int]:
        which = int(np.searchsorted(starts, index, side="right")) - 1
        return parts[which], index - int(starts[which])

    def read(index: int, at_least: int | None = None) -> np.ndarray:
        part, within = place(index)
        return part.read(within, at_least)

    def content(index: int) -> bytes:
        part, within = place(index)
        assert part.content is not None  # otherwise this function is not handed on
        return part.content(within)

    groups = [part.groups for part in parts if part.groups is not None]
    return Samples(
        read=read,
        names=[name for part in parts for name in part.names],
        labels=np.concatenate([part.labels for part in parts]),
        class_names=parts[0].class_names,
        sizes=np.concatenate([part.sizes for part in parts]),
        content=content if all(part.content for part in parts) else None,
        groups=np.concatenate(groups) if len(groups) == len(parts) else None,
    )


def _digest(*parts: bytes | memoryview) -> bytes:
    found = hashlib.blake2b(digest_size=16)
    for part in parts:
        found.update(part)
    return found.digest()


def _pair(size: np.ndarray) -> tuple[int, int]:
    height, width = size
    return int(height), int(width)
