"""The features of one run, split by split: taken from the cache, or computed once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import keras

from kerastune_recipes.arrays.feature_matrix import side_by_side
from kerastune_recipes.data.split_images import TRAIN, UNLABELED, VALIDATION, Images
from kerastune_recipes.data.views import WHOLE, View
from kerastune_recipes.devices.workers import SINGLE, Workers
from kerastune_recipes.features import extraction
from kerastune_recipes.features.cache import NetworkCache
from kerastune_recipes.features.extraction import Extracted
from kerastune_recipes.progress import Display


@dataclass(frozen=True)
class Extractor:
    """A backbone, its weights as they are.

    Args:
        network: Resized images (b, s, s, 3) to features (b, d).
        cache: Where its features are kept.
    """

    network: keras.Model
    cache: NetworkCache


@dataclass(frozen=True)
class FeatureBank:
    """What backbones make of the images of a run: their features, side by side.

    Args:
        extractors: The backbones.
        size: Height and width of their input, pixels.
        views: Of each training image; of the others the image itself is enough.
        images: By split.
        display: Where progress is shown.
        ahead: See `decoding.stream`.
        widths: Features of each tap.
        workers: Who shares the work.
    """

    extractors: Sequence[Extractor]
    size: int
    views: Sequence[View]
    images: Mapping[str, Images]
    display: Display
    ahead: int = 0
    widths: tuple[int, ...] = ()
    workers: Workers = SINGLE
    _keys: dict[str, list[bytes]] = field(default_factory=dict)
    _extracted: dict[str, Extracted] = field(default_factory=dict)

    def features(self, split: str) -> Extracted:
        """Return the features of a split; asked again, what was found the first time.

        Raises:
            DataError: Images that cannot be decoded, all of them.
        """
        if split not in self._extracted:
            keys = self.keys(split)
            self._extracted[split] = _side_by_side(
                [self._extract(extractor, split, keys) for extractor in self.extractors]
            )
        return self._extracted[split]

    def _extract(self, extractor: Extractor, split: str, keys: list[bytes]) -> Extracted:
        with self.display.bar(f"features of {split} images", len(keys)) as tick:
            found = extraction.extract(
                extractor.network,
                self.images[split].samples,
                self.size,
                extractor.cache,
                self._views(split),
                keys,
                self.images[split].pixels,
                self.ahead,
                tick,
                self.workers,
            )
        if found.seconds_a_row:
            extractor.cache.measured(found.seconds_a_row)
        return found

    @property
    def backbone_widths(self) -> tuple[int, ...]:
        """How many features each backbone gives."""
        return tuple(extractor.network.output_shape[-1] for extractor in self.extractors)

    def has(self, split: str) -> bool:
        """Say whether the features of a split are there already."""
        return split in self._extracted

    @property
    def computed(self) -> int:
        """Rows that were passed through the network for all but test images."""
        return sum(self._extracted[split].computed for split in (TRAIN, VALIDATION, UNLABELED) if self.has(split))

    def seconds_an_image(self) -> float | None:
        """Return what an image takes on its way through the network: as measured in this run, or when it was computed.

        None where nothing is known yet.
        """
        measured = [found for found in self._extracted.values() if found.seconds_a_row]
        if not measured:
            known = [extractor.cache.seconds_an_image for extractor in self.extractors]
            return sum(filter(None, known)) if all(known) else None
        seconds = max(measured, key=lambda found: found.computed).seconds_a_row
        assert seconds is not None  # chosen above
        return seconds

    def measured(self, seconds: float) -> None:
        """Keep what an image takes on its way through the network, where there is only one."""
        if len(self.extractors) == 1:
            self.extractors[0].cache.measured(seconds)

    def _views(self, split: str) -> Sequence[View]:
        return self.views if split == TRAIN else (WHOLE,)

    def keys(self, split: str) -> list[bytes]:
        if split not in self._keys:
            digests = partial(extraction.digests, self.images[split].samples, self._views(split))
            self._keys[split] = self.workers.barrier(digests)
        return self._keys[split]


def _side_by_side(found: Sequence[Extracted]) -> Extracted:
    if len(found) == 1:
        return found[0]
    each = [one.seconds_a_row for one in found]
    return Extracted(
        rows=side_by_side([one.rows for one in found]),
        computed=sum(one.computed for one in found),
        seconds_a_row=sum(filter(None, each)) if all(each) else None,
        seconds_aside=sum(one.seconds_aside for one in found),
    )
