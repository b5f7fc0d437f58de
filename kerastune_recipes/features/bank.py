"""The frozen work of one run: features of each split, heads solved on them; taken from the store, or done once."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import keras
import numpy as np

from kerastune_recipes.arrays import memory
from kerastune_recipes.arrays.feature_matrix import fits, side_by_side, solved_bytes
from kerastune_recipes.arrays.files import FileArray
from kerastune_recipes.data.split_images import TRAIN, UNLABELED, VALIDATION, Images
from kerastune_recipes.data.views import WHOLE, View
from kerastune_recipes.devices.workers import ALONE, Team
from kerastune_recipes.features import extraction
from kerastune_recipes.features.cache import Space
from kerastune_recipes.features.extraction import Extracted
from kerastune_recipes.heads import out_of_core, pseudo_labels
from kerastune_recipes.heads import solve as solve_module
from kerastune_recipes.heads.pretrained_prior import Start
from kerastune_recipes.heads.solve import Solved
from kerastune_recipes.planning.plan import SolvePlan
from kerastune_recipes.progress import Display


@dataclass(frozen=True)
class Extractor:
    """A backbone, its weights as they are.

    Args:
        network: Resized images (b, s, s, 3) to features (b, d).
        space: Where its features are kept.
    """

    network: keras.Model
    space: Space


@dataclass(frozen=True)
class Wanted:
    """A head to be solved.

    Args:
        plan: How.
        seed: Of the folds.
        every_image: Hold out each of the training images once, see `solvers.solve`.
        start: As for `solvers.solve`.
    """

    plan: SolvePlan
    seed: int
    every_image: bool = False
    start: Start | None = None


@dataclass(frozen=True)
class Frozen:
    """What backbones make of the images of a run: their features, side by side.

    Args:
        extractors: The backbones.
        size: Height and width of their input, pixels.
        views: Of each training image; of the others the image itself is enough.
        images: By split.
        display: Where progress is shown.
        ahead: See `decoding.stream`.
        widths: Features of each tap.
        team: Who shares the work.
    """

    extractors: Sequence[Extractor]
    size: int
    views: Sequence[View]
    images: Mapping[str, Images]
    display: Display
    ahead: int = 0
    widths: tuple[int, ...] = ()
    team: Team = ALONE
    _keys: dict[str, list[bytes]] = field(default_factory=dict)
    _extracted: dict[str, Extracted] = field(default_factory=dict)

    def features(self, split: str) -> Extracted:
        """Return the features of a split; asked again, what was found the first time.

        Raises:
            DataError: Images that cannot be decoded, all of them.
        """
        if split not in self._extracted:
            keys = self._keys_of(split)
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
                extractor.space,
                self._views(split),
                keys,
                self.images[split].pixels,
                self.ahead,
                tick,
                self.team,
            )
        if found.seconds_a_row:
            extractor.space.measured(found.seconds_a_row)
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
            known = [extractor.space.seconds_an_image for extractor in self.extractors]
            return sum(filter(None, known)) if all(known) else None
        seconds = max(measured, key=lambda found: found.computed).seconds_a_row
        assert seconds is not None  # chosen above
        return seconds

    def measured(self, seconds: float) -> None:
        """Keep what an image takes on its way through the network, where there is only one."""
        if len(self.extractors) == 1:
            self.extractors[0].space.measured(seconds)

    def recall(self, wanted: Wanted) -> Solved | None:
        """Return the head that was solved on just these features and labels before, or None."""
        name = self._name(wanted)
        found = self.team.told(lambda: self.extractors[0].space.recall(name) or ({}, None))
        return None if found[1] is None else _from_parts(*found)

    def solve(self, wanted: Wanted) -> Solved:
        """Solve a head on the features of the training images, and of the unlabelled ones if it asks for them.

        It is kept. With several workers the chief solves it and tells the others, so that all of them have just the
        same.

        Raises:
            DataError: Images that cannot be decoded, all of them.
        """
        for split in (TRAIN, *([UNLABELED] if wanted.plan.pseudo_labels else [])):
            self.features(split)
        name = self._name(wanted)

        def solve() -> tuple[dict[str, np.ndarray], dict[str, Any]]:
            parts = _parts(self._solve(wanted))
            self.extractors[0].space.remember(name, *parts)
            return parts

        return _from_parts(*self.team.told(solve))

    def _solve(self, wanted: Wanted) -> Solved:
        train, rows, plan = self.images[TRAIN], self.features(TRAIN).rows, wanted.plan
        if isinstance(rows, FileArray):
            return self._solve_from_file(wanted, rows)
        solved = solve_module.solve(
            plan,
            rows,
            train.labels,
            wanted.seed,
            groups=train.groups,
            widths=self.widths,
            every_image=wanted.every_image or plan.pseudo_labels is not None,
            start=wanted.start,
        )
        if plan.pseudo_labels:
            unlabelled = np.asarray(self.features(UNLABELED).plain)
            solved = pseudo_labels.with_pseudo_labels(
                solved,
                plan,
                rows[0],
                train.labels,
                unlabelled,
                wanted.seed,
                groups=train.groups,
                widths=self.backbone_widths,
            )
        return solved

    def _solve_from_file(self, wanted: Wanted, rows: FileArray) -> Solved:
        assert not wanted.every_image  # preparation has refused it
        assert not wanted.plan.pseudo_labels
        train = self.images[TRAIN]
        return out_of_core.solve_from_file(
            wanted.plan,
            rows,
            train.labels,
            wanted.seed,
            most=self._images_in_memory(),
            groups=train.groups,
            widths=self.widths,
            start=wanted.start,
        )

    def _images_in_memory(self) -> int:
        """Return of how many training images memory holds the features at once."""
        images = len(self.images[TRAIN].samples)
        shape = (len(self.views), images, sum(self.backbone_widths))
        return images if fits(shape) else max(1, memory.matrix_limit_bytes() * images // solved_bytes(shape))

    def _views(self, split: str) -> Sequence[View]:
        return self.views if split == TRAIN else (WHOLE,)

    def _keys_of(self, split: str) -> list[bytes]:
        if split not in self._keys:
            digests = partial(extraction.digests, self.images[split].samples, self._views(split))
            self._keys[split] = self.team.together(digests)
        return self._keys[split]

    def _name(self, wanted: Wanted) -> str:
        """Return the digest of all that decides what is solved."""
        found, plan = hashlib.blake2b(digest_size=16), wanted.plan
        stated = [
            solve_module.PROTOCOL,
            plan.to_data(),
            wanted.seed,
            len(self.views),
            self.widths,
            wanted.every_image,
            self._images_in_memory(),
        ]
        found.update(json.dumps(stated).encode())
        found.update("".join(extractor.space.folder.name for extractor in self.extractors[1:]).encode())
        found.update(b"".join(self._keys_of(TRAIN)))
        train = self.images[TRAIN]
        found.update(train.labels.tobytes() + (b"" if train.groups is None else train.groups.tobytes()))
        if plan.pseudo_labels:
            found.update(b"".join(self._keys_of(UNLABELED)))
        if wanted.start is not None:
            found.update(wanted.start.kernel.tobytes() + wanted.start.bias.tobytes())
        return found.hexdigest()


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


def _parts(solved: Solved) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Divide a head into arrays and what JSON can hold."""
    parts = {entry.name: getattr(solved, entry.name) for entry in dataclasses.fields(solved)}
    arrays = {name: part for name, part in parts.items() if isinstance(part, np.ndarray)}
    return arrays, {name: part for name, part in parts.items() if name not in arrays}


def _from_parts(arrays: Mapping[str, np.ndarray], rest: Mapping[str, Any]) -> Solved:
    by_strength = {float(strength): loss for strength, loss in rest["log_loss_by_strength"].items()}
    by_tap = tuple(rest["log_loss_by_tap"])
    return Solved(**{**arrays, **rest, "log_loss_by_strength": by_strength, "log_loss_by_tap": by_tap})
