"""Check a plan against the images and the network before anything trains."""

import math
from collections.abc import Sequence

from kerastune_recipes.backbones.facts import BackboneFacts
from kerastune_recipes.data.facts import DatasetFacts
from kerastune_recipes.errors import DataError, RecipeError, did_you_mean, listed
from kerastune_recipes.planning import class_matching, layer_patterns
from kerastune_recipes.planning.costs import boundary, steps_per_epoch
from kerastune_recipes.planning.plan import FitPlan, Plan, SolvePlan
from kerastune_recipes.spec.recipe_spec import (
    SHRINKAGE,
)


def check(plan: Plan, data: DatasetFacts, backbone: BackboneFacts) -> None:
    """Check a plan, resolved or edited by hand, against the images and the network.

    Raises:
        DataError: The classes differ.
        RecipeError: A tap or pattern matches nothing, a layer is not covered, a phase cannot run as written.
    """
    if plan.class_names != data.class_names:
        raise DataError(
            f"The plan was made for the classes {', '.join(plan.class_names)}; "
            f"the data has {', '.join(data.class_names)}. Make a new plan for this data."
        )
    problems = plan_problems(plan, data, backbone)
    for phase in plan.phases:
        if phase.solve and phase.solve.head == "pretrained_classifier" and not backbone.pretrained_classifier.lacking:
            asked = dict.fromkeys(plan.class_names, ()) | (phase.solve.pretrained_classes or {})
            where = f"phases.{phase.name}.solve.pretrained_classes"
            problems += class_matching.match(asked, plan.class_names, backbone.pretrained_classifier, where)[1]
    if problems:
        raise RecipeError(*problems)


def plan_problems(plan: Plan, data: DatasetFacts, backbone: BackboneFacts) -> list[str]:
    """Say what keeps a plan from being run, but for its pretrained classes."""
    problems = _taps_problems(plan.features.taps, backbone)
    for companion, facts in zip(plan.ensemble or (), backbone.companions, strict=True):
        problems += _taps_problems(companion.taps, facts)
    if problems:
        return problems
    needed = backbone.up_to(plan.features.taps)
    if plan.folds and plan.folds > min(data.train):
        problems.append(
            f"folds: {plan.folds} folds are more than the smallest class has images ({min(data.train)}); give fewer."
        )
    for phase in plan.phases:
        where = f"phases.{phase.name}"
        if phase.fit:
            problems += _fit_problems(plan, phase.fit, data, needed, where)
        elif phase.solve:
            problems += _solve_problems(plan, phase.solve, data, f"{where}.solve")
            problems += _source_problems(plan, phase.solve, backbone, f"{where}.solve")
    return problems


def _source_problems(plan: Plan, solve: SolvePlan, backbone: BackboneFacts, where: str) -> list[str]:
    """Say what keeps a head from being made of the classifier that the backbone was pretrained with."""
    if solve.head != "pretrained_classifier":
        needless = f"{where}.pretrained_classes: they go with head: pretrained_classifier; this one is {solve.head}."
        return [needless] if solve.pretrained_classes else []
    problems = (
        [f"{where}.head: {backbone.pretrained_classifier.lacking}"] if backbone.pretrained_classifier.lacking else []
    )
    if [tap.layer for tap in map(backbone.tap, plan.features.taps) if tap] != [backbone.taps[-1].layer]:
        problems.append(
            f"features.taps: the pretrained classifier sees the last stage and nothing else; received "
            f"{listed(plan.features.taps)}; write taps: last, or another head than pretrained_classifier."
        )
    if plan.head.pooling != "avg":
        problems.append(
            f"head.pooling: the pretrained classifier sees averages over all positions; received {plan.head.pooling}; "
            "write pooling: avg, or another head than pretrained_classifier."
        )
    return problems


def _taps_problems(taps: Sequence[str], backbone: BackboneFacts) -> list[str]:
    return [
        f'features.taps: there is no stage or layer "{tap}" in {backbone.name}.'
        f"{did_you_mean(tap, [*backbone.stages, *(output.name for output in backbone.outputs)])} "
        f"Stages: {', '.join(backbone.stages)}."
        for tap in taps
        if backbone.tap(tap) is None
    ]


def _solve_problems(plan: Plan, solve: SolvePlan, data: DatasetFacts, where: str) -> list[str]:
    problems: list[str] = []
    if solve.pseudo_labels and not data.unlabeled:
        problems.append(
            f"{where}.pseudo_labels: {solve.pseudo_labels.method} learns from unlabelled images, and there are none; "
            "give a folder of them by --unlabeled DIR (in Python unlabeled=)."
        )
    if solve.folds == 1:
        problems.append(f"{where}.folds: cross-validation takes 2 folds or more, or 0 for none; received 1.")
    elif len(solve.strengths) > 1 and not solve.folds:
        problems.append(
            f"{where}.strengths: choosing among {len(solve.strengths)} takes cross-validation; "
            "give one strength, or 2 folds or more."
        )
    elif solve.folds > min(data.train) and not plan.folds:  # of which it has been said
        problems.append(
            f"{where}.folds: {solve.folds} folds are more than the smallest class has training "
            f"images ({min(data.train)}); give fewer folds."
        )
    if list(solve.strengths) != sorted(set(solve.strengths), reverse=True):
        problems.append(f"{where}.strengths: give them strong to weak, the greatest first, each once.")
    if solve.head == "lda" and not all(SHRINKAGE[0] <= strength <= SHRINKAGE[1] for strength in solve.strengths):
        problems.append(f"{where}.strengths: the shrinkage of lda is {SHRINKAGE[0]:g} to {SHRINKAGE[1]:g}.")
    if solve.taps == "best" and len(plan.features.taps) == 1:
        problems.append(
            f"{where}.taps: there is nothing to choose, {plan.features.taps[0]} being the only tap; name several in "
            "features.taps, or write all."
        )
    elif solve.taps == "best" and not solve.folds:
        problems.append(
            f"{where}.taps: choosing the best tap takes cross-validation, and so two training images of each class at "
            "least; write all, or name one in features.taps."
        )
    return problems


def _fit_problems(plan: Plan, fit: FitPlan, data: DatasetFacts, backbone: BackboneFacts, where: str) -> list[str]:
    problems = _layer_problems(plan, fit, backbone, f"{where}.fit")
    epochs = math.ceil(fit.steps / steps_per_epoch(data.train_images, fit.batch_size))
    if fit.views is not None and fit.views > epochs:
        problems.append(
            f"{where}.fit.views: each epoch sees one view, and {fit.views} views are more than there are epochs "
            f"({epochs}); give at most {epochs}."
        )
    if fit.views is not None and fit.views > 1 and not fit.augmentation:
        problems.append(
            f"{where}.fit.views: without augmentation the {fit.views} views of an image are all the same; give 1, or "
            "an augmentation."
        )
    if fit.batch_size > data.train_images:
        problems.append(
            f"{where}.fit.batch_size: a batch of {fit.batch_size} is more than the {data.train_images} training "
            "images; give fewer, or auto."
        )
    if fit.warmup_steps > fit.steps:
        problems.append(f"{where}.fit.warmup_steps: {fit.warmup_steps} is longer than the phase ({fit.steps} steps).")
    return problems


def _layer_problems(plan: Plan, fit: FitPlan, backbone: BackboneFacts, where: str) -> list[str]:
    """Say what is wrong with which layers are trained, begin afresh or are fixed."""
    problems: list[str] = []
    groups: tuple[layer_patterns.Group, ...] = ()
    fresh: frozenset[str] = frozenset()
    try:
        groups = layer_patterns.groups(fit.trainable, backbone, f"{where}.trainable")
    except RecipeError as error:
        problems += error.problems
    try:
        fresh = layer_patterns.named(fit.reinitialize, backbone, f"{where}.reinitialize")
    except RecipeError as error:
        problems += error.problems
    frozen = [layer for group in groups if group.multiplier is None for layer in group.layers]
    random = [layer.name for layer in frozen if layer.name in fresh and layer.parameters]
    if random:
        problems.append(
            f"{where}.reinitialize: {len(random)} of the layers that get fresh weights are frozen in this phase, the "
            f"first being {random[0]}, and would stay random; give them a multiplier in trainable."
        )
    if not problems and fit.views is not None and boundary(plan, fit, backbone).share == 1:
        problems.append(
            f"{where}.views: nothing at the front of the network is frozen, so there is no part that could be "
            f"computed once for {fit.views} views; freeze its first stages, or leave views out."
        )
    return problems
