"""Heads solved on the features of a run: taken from the cache where the same was solved before."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerastune_recipes.arrays import memory
from kerastune_recipes.arrays.feature_matrix import fits, solved_bytes
from kerastune_recipes.arrays.files import FileArray
from kerastune_recipes.data.split_images import TRAIN, UNLABELED
from kerastune_recipes.features.bank import FeatureBank
from kerastune_recipes.heads import solve
from kerastune_recipes.heads.out_of_core import solve_out_of_core
from kerastune_recipes.heads.pretrained_prior import Start
from kerastune_recipes.heads.pseudo_labels import with_pseudo_labels
from kerastune_recipes.heads.solve import Solved
from kerastune_recipes.planning.plan import SolvePlan


@dataclass(frozen=True)
class HeadRequest:
    """A head to be solved.

    Args:
        plan: How.
        seed: Of the folds.
        every_image: Hold out each training image once, see `solve.solve`.
        start: As for `solve.solve`.
    """

    plan: SolvePlan
    seed: int
    every_image: bool = False
    start: Start | None = None


def load_head(bank: FeatureBank, request: HeadRequest) -> Solved | None:
    """Return the head that was solved before on exactly these features and labels, or None.

    Args:
        bank: The features of the run; none are computed.
        request: The head.
    """
    name = _name(bank, request)
    found = bank.workers.broadcast(lambda: bank.extractors[0].cache.load_head(name) or ({}, None))
    return None if found[1] is None else _from_parts(*found)


def solve_head(bank: FeatureBank, request: HeadRequest) -> Solved:
    """Solve a head on the training images, and on the unlabelled ones if it asks for them, and cache it.

    With several workers the main worker solves it and broadcasts it, so that all have the same.

    Args:
        bank: The features of the run; what is missing is computed.
        request: The head.

    Raises:
        DataError: Images that cannot be decoded, all of them.
    """
    for split in (TRAIN, *([UNLABELED] if request.plan.pseudo_labels else [])):
        bank.features(split)
    name = _name(bank, request)

    def solve_and_save() -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        parts = _parts(_solve(bank, request))
        bank.extractors[0].cache.save_head(name, *parts)
        return parts

    return _from_parts(*bank.workers.broadcast(solve_and_save))


def _solve(bank: FeatureBank, request: HeadRequest) -> Solved:
    train, rows, plan = bank.images[TRAIN], bank.features(TRAIN).rows, request.plan
    if isinstance(rows, FileArray):
        assert not request.every_image  # refused when the run was prepared
        assert not plan.pseudo_labels
        return solve_out_of_core(
            plan,
            rows,
            train.labels,
            request.seed,
            most=_images_in_memory(bank),
            groups=train.groups,
            widths=bank.widths,
            start=request.start,
        )
    solved = solve.solve(
        plan,
        rows,
        train.labels,
        request.seed,
        groups=train.groups,
        widths=bank.widths,
        every_image=request.every_image or plan.pseudo_labels is not None,
        start=request.start,
    )
    if plan.pseudo_labels:
        unlabelled = np.asarray(bank.features(UNLABELED).plain)
        solved = with_pseudo_labels(
            solved,
            plan,
            rows[0],
            train.labels,
            unlabelled,
            request.seed,
            groups=train.groups,
            widths=bank.backbone_widths,
        )
    return solved


def _images_in_memory(bank: FeatureBank) -> int:
    """Return for how many training images memory holds all features."""
    images = len(bank.images[TRAIN].samples)
    shape = (len(bank.views), images, sum(bank.backbone_widths))
    return images if fits(shape) else max(1, memory.matrix_limit_bytes() * images // solved_bytes(shape))


def _name(bank: FeatureBank, request: HeadRequest) -> str:
    """Return the digest of everything that decides what is solved."""
    found, plan = hashlib.blake2b(digest_size=16), request.plan
    stated = [
        solve.PROTOCOL,
        plan.to_data(),
        request.seed,
        len(bank.views),
        bank.widths,
        request.every_image,
        _images_in_memory(bank),
    ]
    found.update(json.dumps(stated).encode())
    found.update("".join(extractor.cache.folder.name for extractor in bank.extractors[1:]).encode())
    found.update(b"".join(bank.keys(TRAIN)))
    train = bank.images[TRAIN]
    found.update(train.labels.tobytes() + (b"" if train.groups is None else train.groups.tobytes()))
    if plan.pseudo_labels:
        found.update(b"".join(bank.keys(UNLABELED)))
    if request.start is not None:
        found.update(request.start.kernel.tobytes() + request.start.bias.tobytes())
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
