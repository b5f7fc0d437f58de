"""A phase that solves a head on frozen features."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kerastune_recipes.data.split_images import TEST, TRAIN, VALIDATION
from kerastune_recipes.errors import DataError
from kerastune_recipes.features.bank import Frozen, Wanted
from kerastune_recipes.heads import pretrained_prior
from kerastune_recipes.heads.pretrained_prior import Start
from kerastune_recipes.heads.solve import Solved
from kerastune_recipes.planning.plan import SolvePlan
from kerastune_recipes.reporting.outcome import Outcome
from kerastune_recipes.run.context import Bench, scores


def solve(bench: Bench, name: str, plan: SolvePlan, nearby: Start | None = None) -> tuple[Outcome, np.ndarray]:
    """Solve a head; return what was done, and what it makes of the images that the phase is judged by.

    Args:
        bench: What to work with.
        name: Of the phase.
        plan: What to do.
        nearby: A head that is not far from the one wanted, see `solvers.solve`.

    Raises:
        DataError: Images that cannot be decoded, all of them.
    """
    began = time.perf_counter()
    network, frozen = bench.network, bench.frozen()
    start = nearby if plan.source_classes is None else _source_start(bench, plan.source_classes)
    wanted = Wanted(plan, bench.seed, bench.every_image, start)
    solved = frozen.recall(wanted)
    needed = [split for split in bench.images if split != TRAIN or solved is None]
    # Without a phase that fits, nobody has decoded the test images yet, and one that is damaged must be told of now.
    elsewhere = _look(frozen, [split for split in needed if split != TEST or not bench.plan.fits])
    if solved is None:
        with bench.display.bar(f"{name}: solving", 1):
            solved = frozen.solve(wanted)
    network.put_head(solved.kernel, solved.bias)
    if VALIDATION in bench.images:
        probabilities = solved.probabilities(frozen.features(VALIDATION).plain)
    else:
        probabilities = solved.held_out
    seconds = time.perf_counter() - began - elsewhere
    head = solved.kernel.size + solved.bias.size
    return Outcome(
        name=name,
        kind="solve",
        seconds=seconds,
        steps=0,
        trainable_parameters=head,
        frozen_parameters=network.model.count_params() - head,
        validation=scores(bench, probabilities),
        choices={
            "head": plan.head,
            "class_balance": plan.class_balance,
            "strength": solved.strength,
            "temperature": solved.temperature,
            "judged_by": solved.judged_by,
            "log_loss_by_strength": {f"{tried:g}": loss for tried, loss in solved.log_loss_by_strength.items()},
            **_tap(solved, bench.taps),
            **_source_classes(bench, plan),
            "features_computed": frozen.computed,
        },
        rows=(),
    ), probabilities


def _source_start(bench: Bench, classes: Mapping[str, Sequence[int]]) -> Start:
    """Return the columns of the source classifier that a head starts from."""
    assert bench.source is not None  # it is loaded where a plan uses it
    wanted = [classes.get(name, ()) for name in bench.plan.class_names]
    return pretrained_prior.start(bench.source.kernel, bench.source.bias, wanted)


def _source_classes(bench: Bench, plan: SolvePlan) -> dict[str, Any]:
    """Say which source classes each class of the data was taken from, where they were."""
    if plan.source_classes is None:
        return {}
    called = bench.facts.source.called
    return {"source_classes": {name: list(map(called, found)) for name, found in plan.source_classes.items()}}


def _tap(solved: Solved, taps: Sequence[str]) -> dict[str, Any]:
    """Say which tap was chosen, and what each gave, where one was to be."""
    if solved.tap is None:
        return {}
    return {"tap": taps[solved.tap], "log_loss_by_tap": dict(zip(taps, solved.log_loss_by_tap, strict=True))}


def _look(frozen: Frozen, splits: Sequence[str]) -> float:
    """Take the features of splits; return the seconds of it that are no work of a phase.

    Raises:
        DataError: Images of any split that cannot be decoded, all of them.
    """
    problems: list[str] = []
    elsewhere = 0.0
    for split in splits:
        if frozen.has(split):
            continue
        began = time.perf_counter()
        try:
            found = frozen.features(split)
        except DataError as error:
            problems += error.problems
            continue
        elsewhere += time.perf_counter() - began if split == TEST else found.seconds_aside
    if problems:
        raise DataError(*problems)
    return elsewhere
