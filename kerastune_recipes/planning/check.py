"""Check a plan against the images and the network before anything trains."""

import math
from collections.abc import Sequence

from kerastune_recipes.backbones.facts import BackboneFacts
from kerastune_recipes.data.facts import DatasetFacts
from kerastune_recipes.errors import DataError, RecipeError, did_you_mean, listed
from kerastune_recipes.planning import class_matching, costs, layer_patterns
from kerastune_recipes.planning.plan import FitPlan, Plan, SolvePlan
from kerastune_recipes.spec.heads import HEADS

# Steps of a phase; ImageNet is usually trained for half a million.
MOST_STEPS = 1_000_000_000


def check(plan: Plan, data: DatasetFacts, backbone: BackboneFacts) -> None:
    """Check a plan against the images and the network; it may have been edited by hand.

    Args:
        plan: The plan.
        data: The images.
        backbone: The network.

    Raises:
        DataError: The classes differ.
        RecipeError: A tap or pattern matches nothing, a layer is not covered, a phase cannot run as written.
    """
    if plan.class_names != data.class_names:
        raise DataError(
            f"The plan was made for the classes {listed(plan.class_names)}; "
            f"the data has {listed(data.class_names)}. Make a new plan for this data."
        )
    problems = plan_problems(plan, data, backbone)
    classifier = backbone.pretrained_classifier
    for phase in plan.phases:
        if phase.solve and HEADS[phase.solve.head].pretrained and not classifier.problem:
            mapping = dict.fromkeys(plan.class_names, ()) | (phase.solve.pretrained_classes or {})
            where = f"phases.{phase.name}.solve.pretrained_classes"
            problems += class_matching.match(mapping, plan.class_names, classifier, where)[1]
    if problems:
        raise RecipeError(*problems)


def plan_problems(plan: Plan, data: DatasetFacts, backbone: BackboneFacts) -> list[str]:
    """Return every problem of a plan as a sentence, apart from those of its pretrained classes."""
    problems = _taps_problems(plan.features.taps, backbone)
    for companion, facts in zip(plan.ensemble or (), backbone.companions, strict=True):
        problems += _taps_problems(companion.taps, facts)
    if problems:
        return problems
    used = backbone.up_to(plan.features.taps)
    if plan.folds and plan.folds > min(data.train):
        problems.append(
            f"folds: {plan.folds} folds are more than the images of the smallest class ({min(data.train)}); give fewer."
        )
    for phase in plan.phases:
        where = f"phases.{phase.name}"
        if phase.fit:
            problems += _fit_problems(plan, phase.fit, data, used, f"{where}.fit")
        elif phase.solve:
            problems += _solve_problems(plan, phase.solve, data, f"{where}.solve")
            problems += _pretrained_problems(plan, phase.solve, backbone, f"{where}.solve")
    return problems


def _taps_problems(taps: Sequence[str], backbone: BackboneFacts) -> list[str]:
    return [
        f'features.taps: there is no stage or layer "{tap}" in {backbone.name}.'
        f"{did_you_mean(tap, [*backbone.stages, *(output.name for output in backbone.outputs)])} "
        f"Stages: {', '.join(backbone.stages)}."
        for tap in taps
        if backbone.tap(tap) is None
    ]


def _pretrained_problems(plan: Plan, solve: SolvePlan, backbone: BackboneFacts, where: str) -> list[str]:
    """Return why a head cannot start from the pretrained classifier, or has pretrained classes without starting so."""
    if not HEADS[solve.head].pretrained:
        needless = f"{where}.pretrained_classes: they need head: pretrained_classifier; received head: {solve.head}."
        return [needless] if solve.pretrained_classes else []
    classifier = backbone.pretrained_classifier
    problems = [f"{where}.head: {classifier.problem}"] if classifier.problem else []
    if [tap.layer for tap in map(backbone.tap, plan.features.taps) if tap] != [backbone.taps[-1].layer]:
        problems.append(
            "features.taps: the pretrained classifier sees only the last stage; received "
            f"{listed(plan.features.taps)}; write taps: last, or use another head than pretrained_classifier."
        )
    if plan.head.pooling != "avg":
        problems.append(
            f"head.pooling: the pretrained classifier sees averages over all positions; received {plan.head.pooling}; "
            "write pooling: avg, or use another head than pretrained_classifier."
        )
    return problems


def _solve_problems(plan: Plan, solve: SolvePlan, data: DatasetFacts, where: str) -> list[str]:
    problems: list[str] = []
    largest = max(data.train)
    if solve.pseudo_labels and not data.unlabeled:
        problems.append(
            f"{where}.pseudo_labels: {solve.pseudo_labels.method} learns from unlabelled images, and there are none; "
            "give a folder of them with --unlabeled DIR (in Python unlabeled=)."
        )
    if solve.folds == 1:
        problems.append(f"{where}.folds: cross-validation needs 2 folds or more, or 0 for none; received 1.")
    elif len(solve.strengths) > 1 and not solve.folds:
        problems.append(
            f"{where}.strengths: choosing among {len(solve.strengths)} needs cross-validation; "
            "give one strength, or 2 folds or more."
        )
    elif solve.folds > largest and not plan.folds:  # too many of those are reported above
        problems.append(
            f"{where}.folds: {solve.folds} folds are more than the training images of the largest class ({largest}); "
            "give fewer folds."
        )
    if list(solve.strengths) != sorted(set(solve.strengths), reverse=True):
        problems.append(f"{where}.strengths: list them strong to weak, the largest first, without repeats.")
    entry = HEADS[solve.head]
    if entry.allowed and not all(map(entry.allows, solve.strengths)):
        low, high = entry.allowed
        problems.append(f"{where}.strengths: the {entry.strength} of {solve.head} must be from {low:g} to {high:g}.")
    if solve.taps == "best" and len(plan.features.taps) == 1:
        problems.append(
            f"{where}.taps: best needs several taps, and {plan.features.taps[0]} is the only one; list several in "
            "features.taps, or write all."
        )
    elif solve.taps == "best" and not solve.folds:
        problems.append(
            f"{where}.taps: choosing the best tap needs cross-validation, and so classes with two training images "
            "or more (of two groups, where images are grouped); write all, or name one tap in features.taps."
        )
    return problems


def _fit_problems(plan: Plan, fit: FitPlan, data: DatasetFacts, backbone: BackboneFacts, where: str) -> list[str]:
    problems = _layer_problems(plan, fit, backbone, where)
    if fit.steps > MOST_STEPS:
        problems.append(f"{where}.steps: {fit.steps:,} steps are more than {MOST_STEPS:,}; give a shorter duration.")
    epochs = math.ceil(fit.steps / costs.steps_per_epoch(data.train_images, fit.batch_size))
    if fit.views is not None and fit.views > epochs:
        problems.append(
            f"{where}.views: each epoch uses one view, and {fit.views} views are more than the epochs ({epochs}); "
            f"give at most {epochs}."
        )
    if fit.views is not None and fit.views > 1 and not fit.augmentation:
        problems.append(
            f"{where}.views: without augmentation the {fit.views} views of an image are all the same; give 1, or "
            "an augmentation."
        )
    if fit.batch_size > data.train_images:
        problems.append(
            f"{where}.batch_size: a batch of {fit.batch_size} is larger than the training set ({data.train_images} "
            "images); give a smaller one, or auto."
        )
    if fit.warmup_steps > fit.steps:
        problems.append(f"{where}.warmup_steps: {fit.warmup_steps} is longer than the phase ({fit.steps} steps).")
    return problems


def _layer_problems(plan: Plan, fit: FitPlan, backbone: BackboneFacts, where: str) -> list[str]:
    """Return the problems of which layers are trained, reinitialised or cached."""
    problems: list[str] = []
    groups: tuple[layer_patterns.LayerGroup, ...] = ()
    reinitialized: frozenset[str] = frozenset()
    try:
        groups = layer_patterns.group_layers(fit.trainable, backbone, f"{where}.trainable")
    except RecipeError as error:
        problems += error.problems
    try:
        reinitialized = layer_patterns.match_layers(fit.reinitialize, backbone, f"{where}.reinitialize")
    except RecipeError as error:
        problems += error.problems
    frozen = [layer for group in groups if group.multiplier is None for layer in group.layers]
    random = [layer.name for layer in frozen if layer.name in reinitialized and layer.parameters]
    if random:
        problems.append(
            f"{where}.reinitialize: {len(random)} of the reinitialised layers are frozen in this phase and would stay "
            f"random, the first being {random[0]}; give them a multiplier in trainable."
        )
    if not problems and fit.views is not None and costs.frozen_end(plan, fit, backbone).trained_share == 1:
        problems.append(
            f"{where}.views: no layer at the front of the network is frozen, so nothing can be cached for "
            f"{fit.views} views; freeze the first stages, or remove views."
        )
    return problems
