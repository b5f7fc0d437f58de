"""Heads solved on the features of a run, and cached: a head that was solved before is loaded."""

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
from kerastune_recipes.heads import dense, solve
from kerastune_recipes.heads.out_of_core import solve_out_of_core
from kerastune_recipes.heads.pretrained_prior import Start
from kerastune_recipes.heads.pseudo_labels import with_pseudo_labels
from kerastune_recipes.heads.rows import LabelledFeatures
from kerastune_recipes.heads.solve import Solved
from kerastune_recipes.planning.plan import SolvePlan


@dataclass(frozen=True)
class HeadRequest:
    """A head to solve or load.

    Args:
        plan: The plan of the head.
        seed: Random seed of the folds.
        every_image: Hold out each training image once, see `solve.solve`.
        start: Head to start from, or prior, see `solve.solve`.
        unseen: bool (n,), the training images that the network was not trained on; None for all.
    """

    plan: SolvePlan
    seed: int
    every_image: bool = False
    start: Start | None = None
    unseen: np.ndarray | None = None


def load_head(bank: FeatureBank, request: HeadRequest) -> Solved | None:
    """Return the cached head that was solved on exactly these features and labels, or None.

    Args:
        bank: Features of the run; computes none.
        request: The head.
    """
    name = _digest(bank, request)
    found = bank.workers.broadcast(lambda: bank.extractors[0].cache.load_head(name) or ({}, None))
    if found[1] is None:
        return None
    solved = _from_parts(*found)
    dense.warn(solved.layer_differs)  # as when it was solved
    return solved


def solve_head(bank: FeatureBank, request: HeadRequest) -> Solved:
    """Solve a head on the training images, and on the unlabelled ones if the plan uses them, and cache it.

    With several workers, the main worker solves and broadcasts it, so that all have the same.

    Args:
        bank: Features of the run; computes those that are missing.
        request: The head.

    Raises:
        DataError: Images that cannot be decoded, all of them; or folds that `solve.solve` refuses.
    """
    for split in (TRAIN, *([UNLABELED] if request.plan.pseudo_labels else [])):
        bank.features(split)
    name = _digest(bank, request)

    def solve_and_save() -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        parts = _parts(_solve(bank, request))
        bank.extractors[0].cache.save_head(name, *parts)
        return parts

    return _from_parts(*bank.workers.broadcast(solve_and_save))


def _solve(bank: FeatureBank, request: HeadRequest) -> Solved:
    train, rows, plan = bank.images[TRAIN], bank.features(TRAIN).rows, request.plan
    data = LabelledFeatures(rows, train.labels, train.together, bank.widths, request.unseen)
    if isinstance(rows, FileArray):
        assert not request.every_image  # refused when the run was prepared
        assert not plan.pseudo_labels
        return solve_out_of_core(plan, data, request.seed, _images_in_memory(bank), start=request.start)
    every_image = request.every_image or plan.pseudo_labels is not None
    solved = solve.solve(plan, data, request.seed, every_image=every_image, start=request.start)
    if not plan.pseudo_labels:
        return solved
    by_backbone = dataclasses.replace(data, widths=bank.backbone_widths)
    return with_pseudo_labels(solved, plan, by_backbone, np.asarray(bank.features(UNLABELED).plain), request.seed)


def _images_in_memory(bank: FeatureBank) -> int:
    """Return the number of training images whose features fit into memory."""
    images = len(bank.images[TRAIN].samples)
    shape = (len(bank.views), images, sum(bank.backbone_widths))
    return images if fits(shape) else max(1, memory.matrix_limit_bytes() * images // solved_bytes(shape))


def _digest(bank: FeatureBank, request: HeadRequest) -> str:
    """Return a digest of everything that determines the head; the cache finds the head by it."""
    digest, plan = hashlib.blake2b(digest_size=16), request.plan
    stated = [
        solve.PROTOCOL,
        plan.to_data(),
        request.seed,
        len(bank.views),
        bank.widths,
        request.every_image,
        _images_in_memory(bank),
    ]
    digest.update(json.dumps(stated).encode())
    digest.update("".join(extractor.cache.folder.name for extractor in bank.extractors[1:]).encode())
    digest.update(b"".join(bank.keys(TRAIN)))
    train = bank.images[TRAIN]
    together = train.together
    digest.update(train.labels.tobytes() + (b"" if together is None else together.tobytes()))
    if plan.pseudo_labels:
        digest.update(b"".join(bank.keys(UNLABELED)))
    if request.unseen is not None:
        digest.update(request.unseen.tobytes())
    if request.start is not None:
        digest.update(request.start.kernel.tobytes() + request.start.bias.tobytes())
    return digest.hexdigest()


def _parts(solved: Solved) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Divide a head into arrays and values for JSON."""
    parts = {entry.name: getattr(solved, entry.name) for entry in dataclasses.fields(solved)}
    arrays = {name: part for name, part in parts.items() if isinstance(part, np.ndarray)}
    return arrays, {name: part for name, part in parts.items() if name not in arrays}


def _from_parts(arrays: Mapping[str, np.ndarray], values: Mapping[str, Any]) -> Solved:
    by_strength = {float(strength): loss for strength, loss in values["log_loss_by_strength"].items()}
    by_tap = tuple(values["log_loss_by_tap"])
    return Solved(**{**arrays, **values, "log_loss_by_strength": by_strength, "log_loss_by_tap": by_tap})
