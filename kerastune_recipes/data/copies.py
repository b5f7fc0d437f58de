"""Copies: images with the same content, within a split and in several, whatever they are called."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerastune_recipes.data.dataset import Pictures, Samples
from kerastune_recipes.data.split_images import split_in_words
from kerastune_recipes.errors import DataError, listed

# Names in a sentence; the page of a check has all.
_MOST_NAMES = 5


@dataclass(frozen=True)
class Copies:
    """The sets of two images or more that have the same content.

    Args:
        splits: Images by split, those to train on first.
        sets: The copies of each set, as split and position in it.
    """

    splits: Mapping[str, Samples]
    sets: tuple[tuple[tuple[str, int], ...], ...]

    def name(self, copy: tuple[str, int]) -> str:
        """Return the name of a copy."""
        split, index = copy
        return str(self.splits[split].names[index])

    def originals(self) -> dict[str, np.ndarray]:
        """Return a number for each image by split, int64 (n,), that copies share; empty where there are no copies."""
        if not self.sets:
            return {}
        sizes = list(map(len, self.splits.values()))
        starts = dict(zip(self.splits, np.cumsum([0, *sizes[:-1]]).tolist(), strict=True))
        numbers = {split: starts[split] + np.arange(len(samples)) for split, samples in self.splits.items()}
        for copies in self.sets:
            first_split, first = copies[0]
            for split, index in copies:
                numbers[split][index] = starts[first_split] + first
        return numbers

    def seen(self, split: str) -> np.ndarray:
        """Return the positions of the images of a split that have a copy in an earlier split, int64 (m,), ascending."""
        before = list(self.splits)[: list(self.splits).index(split)]
        found = [
            index
            for copies in self.sets
            if any(of_split in before for of_split, _ in copies)
            for of_split, index in copies
            if of_split == split
        ]
        return np.array(sorted(found), np.int64)

    def notes(self) -> list[str]:
        """Return a sentence for each kind of copies: across splits, with other labels, and within a split."""
        return [*self._across(), *self._contradicting(), *self._within()]

    def _across(self) -> Iterator[str]:
        names = list(self.splits)
        for at, split in enumerate(names):
            for other in names[at + 1 :]:
                pairs = list(self._pairs(split, other))
                if pairs:
                    yield (
                        f"{len(pairs)} of {len(self.splits[other])} {split_in_words(other)} {_are(len(pairs))} "
                        f"of {split_in_words(split)} ({listed(pairs, most=_MOST_NAMES)})."
                    )

    def _pairs(self, split: str, other: str) -> Iterator[str]:
        """Yield each image of another split that is a copy, with the image that it is a copy of."""
        for copies in self.sets:
            first = next((copy for copy in copies if copy[0] == split), None)
            if first:
                yield from (f"{self.name(copy)} = {self.name(first)}" for copy in copies if copy[0] == other)

    def _contradicting(self) -> Iterator[str]:
        found = []
        for copies in self.sets:
            labels = {self.splits[split].class_names[self.splits[split].labels[index]] for split, index in copies}
            if len(labels) > 1:
                found.append(f"{' = '.join(map(self.name, copies[:2]))} ({' and '.join(sorted(labels))})")
        if found:
            yield (
                f"{len(found)} {'image is' if len(found) == 1 else 'images are'} there with different labels: "
                f"{listed(found, most=_MOST_NAMES)}; remove the wrong ones."
            )

    def _within(self) -> Iterator[str]:
        for split in self.splits:
            inside = [[copy for copy in copies if copy[0] == split] for copies in self.sets]
            several = [copies for copies in inside if len(copies) > 1]
            if several:
                extra = sum(len(copies) - 1 for copies in several)
                examples = listed([" = ".join(map(self.name, copies[:2])) for copies in several], most=_MOST_NAMES)
                yield (
                    f"{extra} of {len(self.splits[split])} {split_in_words(split)} {_are(extra)} of others "
                    f"({examples}); they stay together where images are held out."
                )


def _are(count: int) -> str:
    return "is a copy" if count == 1 else "are copies"


def find(splits: Mapping[str, Samples]) -> Copies:
    """Find images with the same content.

    Only images of one size, and of one number of bytes where they are stored as files, are read.

    Args:
        splits: Images by split, those to train on first.

    Example:
        >>> from kerastune_recipes.data.sources.open import open_dataset
        >>> find({"train": open_dataset("demo:digits").train}).sets
        ()
    """
    alike: dict[tuple, list[tuple[str, int]]] = defaultdict(list)
    for split, samples in splits.items():
        for index, key in enumerate(_keys(samples)):
            alike[key].append((split, index))
    candidates = [copy for copies in alike.values() if len(copies) > 1 for copy in copies]
    by_digest: dict[bytes, list[tuple[str, int]]] = defaultdict(list)
    for copy, digest in zip(candidates, _digests(splits, candidates), strict=True):
        if digest is not None:
            by_digest[digest].append(copy)
    return Copies(splits, tuple(tuple(copies) for copies in by_digest.values() if len(copies) > 1))


def _keys(samples: Pictures) -> list[tuple]:
    """Return what copies of an image have in common, known without reading it."""
    sizes = map(tuple, samples.sizes.tolist())
    if samples.stored_bytes is None:
        return list(sizes)
    lengths = _in_threads(samples.stored_bytes, range(len(samples)))
    return [(*size, length) for size, length in zip(sizes, lengths, strict=True)]


def _digests(splits: Mapping[str, Samples], copies: Sequence[tuple[str, int]]) -> list[bytes | None]:
    """Return the digest of each image, None for one that cannot be read: reading it names it later."""

    def digest(copy: tuple[str, int]) -> bytes | None:
        split, index = copy
        try:
            return splits[split].digest(index)
        except DataError:
            return None

    return _in_threads(digest, copies)


def _in_threads(work: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
    with ThreadPoolExecutor() as threads:
        return list(threads.map(work, items, chunksize=64))
