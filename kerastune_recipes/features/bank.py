"""The features of one run, split by split: loaded from the cache, or computed once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from kerastune_recipes.arrays.feature_matrix import side_by_side
from kerastune_recipes.data.split_images import TEST, TRAIN, UNLABELED, VALIDATION, Images, split_in_words
from kerastune_recipes.data.views import WHOLE, View
from kerastune_recipes.devices.workers import SINGLE, Workers
from kerastune_recipes.features import extraction
from kerastune_recipes.features.extraction import Extracted, ExtractionRequest, Extractor
from kerastune_recipes.progress import Display


@dataclass(frozen=True)
class FeatureBank:
    """Features of the images of a run, those of several backbones side by side.

    Args:
        extractors: The backbones.
        size: Height and width of their input, pixels.
        views: Views of each training image; other images are not augmented.
        images: Images by split.
        display: Where progress is shown.
        ahead: Chunks decoded ahead, see `decoding.stream`.
        widths: Number of features of each tap (a layer whose output becomes features).
        workers: The workers that share the work.
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
        """Return the features of a split, extracted at the first call.

        Raises:
            DataError: Images that cannot be decoded, all of them.
        """
        if split not in self._extracted:
            by_backbone = [self._extract(extractor, split) for extractor in self.extractors]
            self._extracted[split] = _side_by_side(by_backbone)
        return self._extracted[split]

    def _extract(self, extractor: Extractor, split: str) -> Extracted:
        images, keys = self.images[split], self.keys(split)
        # The figures of test images are those that the saved model gives.
        exact = split == TEST
        request = ExtractionRequest(
            images.samples, self.size, self._views(split), keys, images.pixels, self.ahead, exact
        )
        with self.display.bar(f"features of {split_in_words(split)}", len(keys)) as tick:
            found = extraction.extract(extractor, request, tick, self.workers)
        if found.seconds_per_row:
            extractor.cache.save_seconds_per_image(found.seconds_per_row)
        return found

    @property
    def backbone_widths(self) -> tuple[int, ...]:
        """Number of features of each backbone."""
        return tuple(extractor.network.output_shape[-1] for extractor in self.extractors)

    def has(self, split: str) -> bool:
        """Return whether the features of a split have been extracted."""
        return split in self._extracted

    @property
    def computed(self) -> int:
        """Number of rows that passed through the network, test images not counted."""
        return sum(self._extracted[split].computed for split in (TRAIN, VALIDATION, UNLABELED) if self.has(split))

    def seconds_per_image(self) -> float | None:
        """Return the seconds that the forward pass of an image takes, from this run or from the run that cached them.

        None where it has never been measured.
        """
        measured = [found for found in self._extracted.values() if found.seconds_per_row]
        if not measured:
            cached = [extractor.cache.seconds_per_image for extractor in self.extractors]
            return sum(filter(None, cached)) if all(cached) else None
        seconds = max(measured, key=lambda found: found.computed).seconds_per_row
        assert seconds is not None  # filtered above
        return seconds

    def save_seconds_per_image(self, seconds: float) -> None:
        """Cache the seconds that the forward pass of an image takes; ignored with several backbones, which share it."""
        if len(self.extractors) == 1:
            self.extractors[0].cache.save_seconds_per_image(seconds)

    def _views(self, split: str) -> Sequence[View]:
        return self.views if split == TRAIN else (WHOLE,)

    def keys(self, split: str) -> list[bytes]:
        """Return the cache key of each row of a split.

        Raises:
            DataError: Images that cannot be read, all of them.
        """
        if split not in self._keys:
            digests = partial(extraction.digests, self.images[split].samples, self._views(split))
            self._keys[split] = self.workers.barrier(digests)
        return self._keys[split]


def _side_by_side(by_backbone: Sequence[Extracted]) -> Extracted:
    if len(by_backbone) == 1:
        return by_backbone[0]
    seconds = [one.seconds_per_row for one in by_backbone]
    return Extracted(
        rows=side_by_side([one.rows for one in by_backbone]),
        computed=sum(one.computed for one in by_backbone),
        seconds_per_row=sum(filter(None, seconds)) if all(seconds) else None,
        overhead_seconds=sum(one.overhead_seconds for one in by_backbone),
    )
