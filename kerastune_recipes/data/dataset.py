"""The shape data has inside the package: images that are decoded only when asked for, most of them labelled."""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Protocol, Self

import numpy as np

from kerastune_recipes.data.facts import DatasetFacts
from kerastune_recipes.errors import DataError

# Images whose digests are one task of a thread: enough that handing out tasks costs nothing.
_BLOCK = 64


class Reader(Protocol):
    """Gives the image at an index as uint8 (height, width, 3) RGB.

    With `at_least` given, an image may come smaller than it is stored, but neither side under that many pixels:
    a large JPEG decodes several times faster so. Raises DataError naming the image if it cannot be decoded.
    """

    def __call__(self, index: int, at_least: int | None = None) -> np.ndarray: ...


@dataclass(frozen=True)
class Pictures:
    """Images, not yet decoded.

    Args:
        read: From an index to that image's pixels.
        names: How a person would name each image, such as "ants/1.jpg" or "image 17".
        sizes: int64 (n, 2), height and width of each image as `read` gives it, known without decoding.
        content: From an index to the bytes the image is stored as, or None where it is stored as pixels.
        told: From an index to the image's digest, where these images are some of others, or several others together:
            no image is read twice for it.
    """

    read: Reader
    names: Sequence[str]
    sizes: np.ndarray
    content: Callable[[int], bytes] | None = None
    told: Callable[[int], bytes] | None = None
    _digests: dict[int, bytes] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.names)

    def labelled(self, labels: np.ndarray, class_names: Sequence[str]) -> "Samples":
        """Return the same images with labels.

        Args:
            labels: int64 (n,), positions in the class names.
            class_names: One per class.
        """
        return Samples(
            self.read,
            self.names,
            self.sizes,
            self.content,
            self.told,
            labels=labels,
            class_names=tuple(class_names),
        )

    def digest(self, index: int) -> bytes:
        """Return the digest of an image's content, by which it is known wherever it lies and whatever its label.

        Raises:
            DataError: The image cannot be read; it is named.
        """
        if index not in self._digests:
            self._digests[index] = self._digest(index) if self.told is None else self.told(index)
        return self._digests[index]

    def _digest(self, index: int) -> bytes:
        try:
            return hashlib.blake2b(self._stored(index), digest_size=16).digest()
        except OSError as error:
            raise DataError(f"{self.names[index]}: this image cannot be read: {error.strerror}.") from None

    def digests(self) -> list[bytes]:
        """Return the digest of each image.

        Raises:
            DataError: Images that cannot be read, all of them.
        """

        def attempt(block: range) -> tuple[list[bytes], list[str]]:
            found: list[bytes] = []
            problems: list[str] = []
            for index in block:
                try:
                    found.append(self.digest(index))
                except DataError as error:
                    problems += error.problems
            return found, problems

        starts = range(0, len(self), _BLOCK)
        with ThreadPoolExecutor() as pool:
            blocks = list(pool.map(attempt, (range(start, min(start + _BLOCK, len(self))) for start in starts)))
        problems = [problem for _, told in blocks for problem in told]
        if problems:
            raise DataError(*problems)
        return [digest for found, _ in blocks for digest in found]

    def select(self, indices: np.ndarray) -> Self:
        """Return some of the images, in the order asked for.

        Args:
            indices: int (m,), positions in this split; repeats are allowed.

        Example:
            >>> first_ten = samples.select(np.arange(10))
        """
        indices = np.asarray(indices, dtype=np.int64)

        def read(index: int, at_least: int | None = None) -> np.ndarray:
            return self.read(int(indices[index]), at_least)

        return replace(
            self,
            read=read,
            names=[self.names[index] for index in indices],
            sizes=self.sizes[indices],
            content=None,
            told=lambda index: self.digest(int(indices[index])),
        )

    def _stored(self, index: int) -> bytes:
        if self.content is not None:
            return self.content(index)
        pixels = self.read(index)
        return str(pixels.shape).encode() + pixels.tobytes()


@dataclass(frozen=True)
class Samples(Pictures):
    """Labelled images of one split, not yet decoded.

    Args:
        labels: int64 (n,), positions in `class_names`.
        class_names: One per class, in label order.
        groups: int64 (n,), the group of each image, whose images are never divided; None where they may be.
    """

    labels: np.ndarray = field(kw_only=True)
    class_names: tuple[str, ...] = field(kw_only=True)
    groups: np.ndarray | None = field(default=None, kw_only=True)

    @property
    def counts(self) -> tuple[int, ...]:
        """Images of each class, in label order."""
        return tuple(np.bincount(self.labels, minlength=len(self.class_names)).tolist())

    def select(self, indices: np.ndarray) -> Self:
        """Return some of the images with their labels and groups, in the order asked for; see `Pictures.select`."""
        indices = np.asarray(indices, dtype=np.int64)
        groups = None if self.groups is None else self.groups[indices]
        return replace(super().select(indices), labels=self.labels[indices], groups=groups)


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
        unlabeled: Images without labels, of which none is labelled elsewhere; None when the user gave none.
    """

    source: str
    train: Samples
    validation: Samples
    test: Samples | None
    held_out: bool
    one_hot_labels: bool
    grouped_by: str | None = None
    unlabeled: Pictures | None = None

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
            unlabeled=0 if self.unlabeled is None else len(self.unlabeled),
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

    def told(index: int) -> bytes:
        part, within = place(index)
        return part.digest(within)

    groups = [part.groups for part in parts if part.groups is not None]
    return Samples(
        read=read,
        names=[name for part in parts for name in part.names],
        sizes=np.concatenate([part.sizes for part in parts]),
        told=told,
        labels=np.concatenate([part.labels for part in parts]),
        class_names=parts[0].class_names,
        groups=np.concatenate(groups) if len(groups) == len(parts) else None,
    )


def _pair(size: np.ndarray) -> tuple[int, int]:
    height, width = size
    return int(height), int(width)


def dataset_digest(dataset: Dataset) -> str:
    """Return a digest of what data hold, by which other data are told from them: names, labels and sizes."""
    digest = hashlib.sha256()
    for split in (dataset.train, dataset.validation, dataset.test):
        if split is not None:
            digest.update("\n".join(map(str, split.names)).encode())
            digest.update(split.labels.tobytes())
            digest.update(split.sizes.tobytes())
            digest.update(b"" if split.groups is None else split.groups.tobytes())
    if dataset.unlabeled is not None:
        digest.update("\n".join(dataset.unlabeled.names).encode())
        digest.update(dataset.unlabeled.sizes.tobytes())
    return digest.hexdigest()
