"""A phase that solves a head on the features of the frozen backbone."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kerastune_recipes.data.split_images import TEST, TRAIN, VALIDATION
from kerastune_recipes.data.splits import stratified_folds
from kerastune_recipes.errors import DataError
from kerastune_recipes.features.bank import FeatureBank
from kerastune_recipes.heads import pretrained_prior
from kerastune_recipes.heads.cached import HeadRequest, load_head, solve_head
from kerastune_recipes.heads.pretrained_prior import Start
from kerastune_recipes.heads.solve import Solved
from kerastune_recipes.planning.plan import SolvePlan
from kerastune_recipes.reporting.outcome import Outcome
from kerastune_recipes.run.context import RunContext, scores


def solve(context: RunContext, name: str, plan: SolvePlan, nearby: Start | None = None) -> tuple[Outcome, np.ndarray]:
    """Solve a head and put it into the network.

    Args:
        context: The run.
        name: Name of the phase.
        plan: The plan of the phase.
        nearby: A head near the solution, where L-BFGS starts, see `heads.solve.solve`.

    Returns:
        The outcome, and the probabilities of the images that judge the phase, float32 (n, k).

    Raises:
        DataError: Images that cannot be decoded, all of them by name; or every image is to be held out once, and a
            class cannot be divided into the folds.
    """
    began = time.perf_counter()
    if context.every_image:
        # Where every image is to be held out once, no class may be always in training.
        train = context.images[TRAIN]
        stratified_folds(train.labels, plan.folds, context.seed, train.together, context.plan.class_names)
    network, bank = context.network, context.bank()
    start = nearby if plan.pretrained_classes is None else _pretrained_start(context, plan.pretrained_classes)
    request = HeadRequest(plan, context.seed, context.every_image, start)
    solved = load_head(bank, request)
    needed = [split for split in context.images if split != TRAIN or solved is None]
    # Without a fit phase the test images have not been decoded yet, and a damaged one must be named now.
    seconds_aside = _extract(bank, [split for split in needed if split != TEST or not context.plan.fits])
    if solved is None:
        with context.display.bar(f"{name}: solving", 1):
            solved = solve_head(bank, request)
    network.put_head(solved.kernel, solved.bias, solved.centre)
    if VALIDATION in context.images:
        probabilities = solved.probabilities(bank.features(VALIDATION).plain)
    else:
        probabilities = solved.held_out
    seconds = time.perf_counter() - began - seconds_aside
    head = solved.kernel.size + solved.bias.size
    return Outcome(
        name=name,
        kind="solve",
        seconds=seconds,
        steps=0,
        trainable_parameters=head,
        frozen_parameters=network.model.count_params() - head,
        validation=scores(probabilities, context.judges, context.plan.balanced),
        choices={
            "head": plan.head,
            "class_balance": plan.class_balance,
            "strength": solved.strength,
            "temperature": solved.temperature,
            "judged_by": solved.judged_by,
            "log_loss_by_strength": {f"{tried:g}": loss for tried, loss in solved.log_loss_by_strength.items()},
            **_chosen_tap(solved, context.taps),
            **_pretrained_classes(context, plan),
            **({"layer_differs": solved.layer_differs} if solved.layer_differs else {}),
            "features_computed": bank.computed,
        },
        rows=(),
    ), probabilities


def _pretrained_start(context: RunContext, classes: Mapping[str, Sequence[int]]) -> Start:
    """Return the columns of the pretrained classifier that the head starts from."""
    assert context.classifier is not None  # it is loaded where a plan uses it
    wanted = [classes.get(name, ()) for name in context.plan.class_names]
    return pretrained_prior.start(context.classifier.kernel, context.classifier.bias, wanted)


def _pretrained_classes(context: RunContext, plan: SolvePlan) -> dict[str, Any]:
    """Return the names of the pretrained classes that each class starts from, where any does."""
    if plan.pretrained_classes is None:
        return {}
    label = context.facts.pretrained_classifier.label
    return {"pretrained_classes": {name: list(map(label, found)) for name, found in plan.pretrained_classes.items()}}


def _chosen_tap(solved: Solved, taps: Sequence[str]) -> dict[str, Any]:
    """Return the tap that was chosen and the log loss of each, where one was to be chosen."""
    if solved.tap is None:
        return {}
    return {"tap": taps[solved.tap], "log_loss_by_tap": dict(zip(taps, solved.log_loss_by_tap, strict=True))}


def _extract(bank: FeatureBank, splits: Sequence[str]) -> float:
    """Extract the features of splits; return the seconds that do not count as work of the phase.

    Raises:
        DataError: Images of any split that cannot be decoded; all of them are named.
    """
    problems: list[str] = []
    seconds_aside = 0.0
    for split in splits:
        if bank.has(split):
            continue
        began = time.perf_counter()
        try:
            found = bank.features(split)
        except DataError as error:
            problems += error.problems
            continue
        seconds_aside += time.perf_counter() - began if split == TEST else found.overhead_seconds
    if problems:
        raise DataError(*problems)
    return seconds_aside
