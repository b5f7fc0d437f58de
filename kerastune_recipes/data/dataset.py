"""Datasets inside the package: splits of images that are decoded on demand, with labels and groups."""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, Self

import numpy as np

from kerastune_recipes.data.facts import DatasetFacts
from kerastune_recipes.data.pixel_range import PixelRange
from kerastune_recipes.data.splits import joined_groups
from kerastune_recipes.errors import DataError

# Images per task of a thread: enough that the overhead of a task is negligible.
_BLOCK = 64


class Reader(Protocol):
    """Decodes the image at an index to uint8 (height, width, 3) RGB.

    With `at_least`, the image may be smaller than it is stored, with both sides at least that many pixels: a large JPEG
    then decodes several times faster. Raises DataError naming the image if it cannot be decoded.
    """

    def __call__(self, index: int, at_least: int | None = None) -> np.ndarray: ...


@dataclass(frozen=True)
class Pictures:
    """Images, not yet decoded.

    Args:
        read: Decodes the image at an index.
        names: Name of each image, such as "ants/1.jpg" or "image 17".
        sizes: int64 (n, 2), height and width of each image in pixels, known without decoding.
        content: Returns the stored bytes of the image at an index; None where images are stored as pixels.
        digest_of: Returns the digest of the image at an index, for selections and concatenations, which share the
            digests of the images they are made from; None to compute it from the content.
        stored_bytes: Returns the number of stored bytes of the image at an index, without reading them; None where
            images are stored as pixels, or the number is not known.
        deep: bool (n,), whether an image is stored with more than 8 bits per channel; None where none is.
        read_in: Returns a reader that takes the stored values for those of a range; None where they are in a range
            that is settled.
        salt: Part of the digest of every image, which tells what else its pixels depend on.
    """

    read: Reader
    names: Sequence[str]
    sizes: np.ndarray
    content: Callable[[int], bytes] | None = None
    digest_of: Callable[[int], bytes] | None = None
    stored_bytes: Callable[[int], int] | None = field(default=None, repr=False, compare=False)
    deep: np.ndarray | None = field(default=None, repr=False, compare=False)
    read_in: Callable[[PixelRange], Reader] | None = field(default=None, repr=False, compare=False)
    salt: bytes = b""
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
            self.digest_of,
            self.stored_bytes,
            self.deep,
            self.read_in,
            self.salt,
            labels=labels,
            class_names=tuple(class_names),
        )

    def in_range(self, pixel_range: PixelRange | None) -> Self:
        """Return the same images, with stored values taken for those of a range; None leaves them as they are."""
        if pixel_range is None or self.read_in is None:
            return self
        return replace(self, read=self.read_in(pixel_range), read_in=None, salt=pixel_range.digest())

    def digest(self, index: int) -> bytes:
        """Return the digest of an image's content, which depends neither on its name nor on its label.

        Raises:
            DataError: The image cannot be read; the error names it.
        """
        if index not in self._digests:
            self._digests[index] = self._digest(index) if self.digest_of is None else self.digest_of(index)
        return self._digests[index]

    def _digest(self, index: int) -> bytes:
        try:
            return hashlib.blake2b(self.salt + self._stored(index), digest_size=16).digest()
        except OSError as error:
            raise DataError(f"{self.names[index]}: this image cannot be read: {error.strerror}.") from None

    def digests(self) -> list[bytes]:
        """Return the digest of each image.

        Raises:
            DataError: Images that cannot be read, all of them by name.
        """

        def attempt(block: range) -> tuple[list[bytes], list[str]]:
            digests: list[bytes] = []
            problems: list[str] = []
            for index in block:
                try:
                    digests.append(self.digest(index))
                except DataError as error:
                    problems += error.problems
            return digests, problems

        starts = range(0, len(self), _BLOCK)
        with ThreadPoolExecutor() as pool:
            blocks = list(pool.map(attempt, (range(start, min(start + _BLOCK, len(self))) for start in starts)))
        problems = [problem for _, of_block in blocks for problem in of_block]
        if problems:
            raise DataError(*problems)
        return [digest for of_block, _ in blocks for digest in of_block]

    def select(self, indices: np.ndarray) -> Self:
        """Return the images at some positions, in that order.

        Args:
            indices: int (m,), positions of the images; repeats are allowed.

        Example:
            >>> from kerastune_recipes.data.sources.open import open_dataset
            >>> len(open_dataset("demo:digits").train.select(np.arange(10)))
            10
        """
        indices = np.asarray(indices, dtype=np.int64)

        def read(index: int, at_least: int | None = None) -> np.ndarray:
            return self.read(int(indices[index]), at_least)

        return replace(
            self,
            read=read,
            names=[self.names[index] for index in indices],
            sizes=self.sizes[indices],
            deep=None if self.deep is None else self.deep[indices],
            read_in=None,
            content=_at(self.content, indices),
            digest_of=lambda index: self.digest(int(indices[index])),
            stored_bytes=_at(self.stored_bytes, indices),
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
        labels: int64 (n,), the label of each image, a position in `class_names`.
        class_names: Name of each class, in label order.
        groups: int64 (n,), the group of each image; a group is never split. None for no groups.
        originals: int64 (n,), a number that copies of an image share; None where there are no copies.
    """

    labels: np.ndarray = field(kw_only=True)
    class_names: tuple[str, ...] = field(kw_only=True)
    groups: np.ndarray | None = field(default=None, kw_only=True)
    originals: np.ndarray | None = field(default=None, kw_only=True)

    @property
    def together(self) -> np.ndarray | None:
        """int64 (n,), the same for images that stay together where images are held out: of a group, or copies.

        None where no image has such a companion here: a copy in another split changes no folds.
        """
        has_copies = self.originals is not None and len(np.unique(self.originals)) < len(self.originals)
        return joined_groups(self.groups, self.originals if has_copies else None)

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of images of each class, in label order."""
        return tuple(np.bincount(self.labels, minlength=len(self.class_names)).tolist())

    @property
    def group_counts(self) -> tuple[int, ...] | None:
        """Number of groups that have images of each class, in label order; None where images are not grouped."""
        if self.groups is None:
            return None
        pairs = np.unique(np.stack([self.labels, self.groups]), axis=1)
        return tuple(np.bincount(pairs[0], minlength=len(self.class_names)).tolist())

    def select(self, indices: np.ndarray) -> Self:
        """Return the images at some positions with their labels and groups; see `Pictures.select`."""
        indices = np.asarray(indices, dtype=np.int64)
        groups, originals = (None if each is None else each[indices] for each in (self.groups, self.originals))
        return replace(super().select(indices), labels=self.labels[indices], groups=groups, originals=originals)


@dataclass(frozen=True)
class Dataset:
    """The splits of a data set.

    Args:
        source: Where the images come from, as the user named it.
        train: Training images.
        validation: Validation images.
        test: Test images, or None if the user gave none.
        held_out: True if the validation images were held out from the training images.
        one_hot_labels: True if the user's labels were one-hot; the final model is compiled to match.
        grouped_by: How the images are grouped, in words; None for no groups.
        unlabeled: Images without labels, none of them in a labelled split; None if the user gave none.
        notes: What is doubtful about the data, was left out, or was read otherwise than it is written; one sentence
            each.
        pixel_range: The stored values of black and white that the user stated; None where none were.
        seen_test: Positions of the test images that have a copy among the others, int64 (m,).
    """

    source: str
    train: Samples
    validation: Samples
    test: Samples | None
    held_out: bool
    one_hot_labels: bool
    grouped_by: str | None = None
    unlabeled: Pictures | None = None
    notes: tuple[str, ...] = ()
    pixel_range: tuple[float, float] | None = None
    seen_test: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.train.class_names

    def pooled(self) -> "Dataset":
        """Return the dataset with the validation images moved to the training images, for cross-validation."""
        everything = concatenate([self.train, self.validation])
        # Sorted by name, so the result does not depend on which images had been held out.
        ordered = everything.select(np.argsort(np.array(everything.names, str), kind="stable"))
        return replace(self, train=ordered, validation=self.validation.select(np.arange(0)), held_out=False)

    def facts(self) -> DatasetFacts:
        """Return counts and sizes; sizes leave out the test images, which must not influence decisions."""
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
            train_groups=self.train.group_counts,
            notes=self.notes,
            pixel_range=self.pixel_range,
        )

    def _groups(self) -> int | None:
        groups = [split.groups for split in (self.train, self.validation) if split.groups is not None]
        return len(np.unique(np.concatenate(groups))) if groups else None


def concatenate(parts: Sequence[Samples]) -> Samples:
    """Concatenate the images of several splits.

    Args:
        parts: Splits with the same classes, at least one.
    """
    if len(parts) == 1:
        return parts[0]
    starts = np.cumsum([0, *map(len, parts)])

    def locate(index: int) -> tuple[Samples, int]:
        number = int(np.searchsorted(starts, index, side="right")) - 1
        return parts[number], index - int(starts[number])

    def read(index: int, at_least: int | None = None) -> np.ndarray:
        part, within = locate(index)
        return part.read(within, at_least)

    def digest_of(index: int) -> bytes:
        part, within = locate(index)
        return part.digest(within)

    def content(index: int) -> bytes:
        part, within = locate(index)
        assert part.content is not None  # all have one
        return part.content(within)

    def stored_bytes(index: int) -> int:
        part, within = locate(index)
        assert part.stored_bytes is not None  # all have one
        return part.stored_bytes(within)

    deep = [part.deep for part in parts if part.deep is not None]
    groups = [part.groups for part in parts if part.groups is not None]
    originals = [part.originals for part in parts if part.originals is not None]
    return Samples(
        read=read,
        names=[name for part in parts for name in part.names],
        sizes=np.concatenate([part.sizes for part in parts]),
        deep=np.concatenate(deep) if len(deep) == len(parts) else None,
        content=content if all(part.content for part in parts) else None,
        digest_of=digest_of,
        stored_bytes=stored_bytes if all(part.stored_bytes for part in parts) else None,
        labels=np.concatenate([part.labels for part in parts]),
        class_names=parts[0].class_names,
        groups=np.concatenate(groups) if len(groups) == len(parts) else None,
        originals=np.concatenate(originals) if len(originals) == len(parts) else None,
    )


def _at(function: Callable[[int], Any] | None, indices: np.ndarray) -> Callable[[int], Any] | None:
    """Return a function of an index in a selection, from one of an index in what was selected from."""
    return None if function is None else lambda index: function(int(indices[index]))


def _pair(size: np.ndarray) -> tuple[int, int]:
    height, width = size
    return int(height), int(width)


def dataset_digest(dataset: Dataset) -> str:
    """Return a digest of the names, labels, sizes and groups of all images; it identifies the dataset."""
    digest = hashlib.sha256(b"" if dataset.pixel_range is None else repr(dataset.pixel_range).encode())
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
