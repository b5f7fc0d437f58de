"""The frozen work of one run: features of each split, heads solved on them; taken from the store, or done once."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from kerastune_recipes import features, solvers
from kerastune_recipes.data.samples import Samples
from kerastune_recipes.features import Extracted
from kerastune_recipes.plan import SolvePlan
from kerastune_recipes.progress import Display
from kerastune_recipes.solvers import Solved, Start
from kerastune_recipes.store import Space
from kerastune_recipes.views import WHOLE, View

# The splits, as progress names them too.
TRAIN, VALIDATION, TEST = "training", "validation", "test"


@dataclass(frozen=True)
class Images:
    """The images of one split.

    Args:
        samples: As their source gives them.
        pixels: uint8 (n, s, s, 3), decoded, or None where nothing but features is needed of them.
    """

    samples: Samples
    pixels: Any = None

    @property
    def labels(self) -> np.ndarray:
        return self.samples.labels


@dataclass(frozen=True)
class Frozen:
    """What a network, its weights as they are, makes of the images of a run.

    Args:
        extractor: Resized images (b, s, s, 3) to features (b, d).
        size: Height and width of its input, pixels.
        space: Where its features are kept.
        views: Of each training image; of the others the image itself is enough.
        images: By split.
        display: Where progress is shown.
        ahead: See `decoding.stream`.
        widths: Features of each tap.
    """

    extractor: keras.Model
    size: int
    space: Space
    views: Sequence[View]
    images: Mapping[str, Images]
    display: Display
    ahead: int = 0
    widths: tuple[int, ...] = ()
    _keys: dict[str, list[bytes]] = field(default_factory=dict)
    _extracted: dict[str, Extracted] = field(default_factory=dict)

    def features(self, split: str) -> Extracted:
        """Return the features of a split; asked again, what was found the first time.

        Raises:
            DataError: Images that cannot be decoded, all of them.
        """
        if split not in self._extracted:
            keys = self._keys_of(split)
            with self.display.bar(f"features of {split} images", len(keys)) as tick:
                self._extracted[split] = features.extract(
                    self.extractor,
                    self.images[split].samples,
                    self.size,
                    self.space,
                    self._views(split),
                    keys,
                    self.images[split].pixels,
                    self.ahead,
                    tick,
                )
        return self._extracted[split]

    def has(self, split: str) -> bool:
        """Say whether the features of a split are there already."""
        return split in self._extracted

    @property
    def computed(self) -> int:
        """Rows that were passed through the network for training and validation images."""
        return sum(self._extracted[split].computed for split in (TRAIN, VALIDATION) if self.has(split))

    def seconds_an_image(self) -> float | None:
        """Return what an image takes on its way through the network: as measured in this run, or when it was computed.

        None where nothing is known yet.
        """
        measured = [found for found in self._extracted.values() if found.seconds_a_row]
        if not measured:
            return self.space.seconds_an_image
        seconds = max(measured, key=lambda found: found.computed).seconds_a_row
        assert seconds is not None  # chosen above
        self.space.measured(seconds)
        return seconds

    def recall(self, plan: SolvePlan, seed: int, start: Start | None = None) -> Solved | None:
        """Return the head that was solved on just these features and labels before, or None."""
        found = self.space.recall(self._name(plan, seed, start))
        return None if found is None else _from_parts(*found)

    def solve(self, plan: SolvePlan, seed: int, start: Start | None = None) -> Solved:
        """Solve a head on the features of the training images, and keep it."""
        rows, labels = self.features(TRAIN).rows, self.images[TRAIN].labels
        solved = solvers.solve(plan, rows, labels, seed, widths=self.widths, start=start)
        self.space.remember(self._name(plan, seed, start), *_parts(solved))
        return solved

    def _views(self, split: str) -> Sequence[View]:
        return self.views if split == TRAIN else (WHOLE,)

    def _keys_of(self, split: str) -> list[bytes]:
        if split not in self._keys:
            self._keys[split] = features.digests(self.images[split].samples, self._views(split))
        return self._keys[split]

    def _name(self, plan: SolvePlan, seed: int, start: Start | None) -> str:
        """Return the digest of all that decides what is solved."""
        found = hashlib.blake2b(digest_size=16)
        found.update(json.dumps([solvers.PROTOCOL, plan.to_data(), seed, len(self.views), self.widths]).encode())
        found.update(b"".join(self._keys_of(TRAIN)))
        found.update(self.images[TRAIN].labels.tobytes())
        if start is not None:
            found.update(start.kernel.tobytes() + start.bias.tobytes())
        return found.hexdigest()


def _parts(solved: Solved) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Divide a head into arrays and what JSON can hold."""
    parts = {entry.name: getattr(solved, entry.name) for entry in dataclasses.fields(solved)}
    arrays = {name: part for name, part in parts.items() if isinstance(part, np.ndarray)}
    return arrays, {name: part for name, part in parts.items() if name not in arrays}


def _from_parts(arrays: Mapping[str, np.ndarray], rest: Mapping[str, Any]) -> Solved:
    by_strength = {float(strength): loss for strength, loss in rest["log_loss_by_strength"].items()}
    by_tap = tuple(rest["log_loss_by_tap"])
    return Solved(**{**arrays, **rest, "log_loss_by_strength": by_strength, "log_loss_by_tap": by_tap})
