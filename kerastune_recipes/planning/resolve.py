"""From a recipe and facts to a plan: every `auto` is decided."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from kerastune_recipes import units
from kerastune_recipes.backbones.facts import BackboneFacts, PretrainedClassifierFacts
from kerastune_recipes.data.facts import DatasetFacts
from kerastune_recipes.devices.facts import ONE_CPU, HardwareFacts
from kerastune_recipes.errors import RecipeError
from kerastune_recipes.planning import augmentation_presets, class_matching, costs, layer_patterns, rules
from kerastune_recipes.planning.check import plan_problems
from kerastune_recipes.planning.plan import (
    BackbonePlan,
    CompanionPlan,
    FeaturesPlan,
    FitPlan,
    PhasePlan,
    Plan,
    SolvePlan,
)
from kerastune_recipes.spec.heads import HEADS
from kerastune_recipes.spec.recipe_spec import (
    AugmentationLayer,
    FitSpec,
    LossSpec,
    PhaseSpec,
    RecipeSpec,
    SolveSpec,
)

# By phase, the fields of its `solve` or `fit` to change.
_Changes = dict[str, Mapping[str, Any]]


def resolve(
    recipe: str, spec: RecipeSpec, data: DatasetFacts, backbone: BackboneFacts, hardware: HardwareFacts = ONE_CPU
) -> Plan:
    """Turn a recipe and facts into a plan.

    Args:
        recipe: Name of the recipe, for the plan and for errors.
        spec: The recipe.
        data: The images.
        backbone: The network, built at the image size of the plan.
        hardware: The hardware of the run.

    Raises:
        RecipeError: A tap, a pattern or a pretrained class matches nothing, a layer is not covered, or a phase cannot
            run as written.

    Example:
        >>> resolve("small_similar", spec, dataset.facts(), backbone_facts).phases[0].solve.folds
        5
    """
    plan = _phase_by_phase(recipe, spec, data, backbone, hardware)
    classes, problems = _pretrained_classes(plan, spec, backbone.pretrained_classifier)
    plan = _changed(plan, classes)
    heads, head_problems = _heads_to_solve_again(plan, spec)
    plan = _changed(plan, heads)
    problems += head_problems + plan_problems(plan, data, backbone)
    if problems:
        raise RecipeError(*problems)
    # From here on every pattern matches layers.
    used = backbone.up_to(plan.features.taps)
    plan = _changed(plan, _decayed_rates(plan, spec, used))
    return _changed(plan, _cached_views(plan, spec, data, used))


def _phase_by_phase(
    recipe: str, spec: RecipeSpec, data: DatasetFacts, backbone: BackboneFacts, hardware: HardwareFacts
) -> Plan:
    """Decide everything that each phase decides without looking at the others."""
    taps = rules.taps(spec.features.taps, backbone)
    if not taps:
        raise RecipeError(
            f"features.taps: early means all stages but the last, and {backbone.name} has only one; write last."
        )
    companions = tuple(
        CompanionPlan(
            name=each.name,
            weights=each.weights,
            image_size=each.image_size,
            preprocessing=each.preprocessing,
            taps=rules.taps(spec.features.taps, each),
        )
        for each in backbone.companions
    )
    return Plan(
        plan=1,
        recipe=recipe,
        summary=spec.summary,
        class_names=data.class_names,
        backbone=BackbonePlan(
            name=backbone.name,
            weights=backbone.weights,
            image_size=backbone.image_size,
            preprocessing=backbone.preprocessing,
        ),
        features=FeaturesPlan(taps=taps, views=spec.features.views, flip=spec.features.flip),
        head=spec.head,
        phases=tuple(
            _phase(phase, data, backbone.weights != "none", spec.folds, _balances(spec, data)) for phase in spec.phases
        ),
        keep=spec.keep,
        ensemble=companions or None,
        folds=spec.folds,
        refit=spec.refit if data.held_out and not spec.folds else "none",
        precision=rules.precision(hardware) if spec.precision == "auto" else spec.precision,
        jit_compile=rules.jit_compile(hardware) if spec.jit_compile == "auto" else spec.jit_compile,
    )


def _balances(spec: RecipeSpec, data: DatasetFacts) -> bool:
    """Return whether any phase balances the classes; those that do not say then do so too, for one class prior."""
    stated = {each.class_balance for phase in spec.phases if (each := phase.solve or phase.fit)}
    return bool(stated & {"weights", "sampling"}) or ("auto" in stated and rules.unbalanced(data))


def _phase(phase: PhaseSpec, data: DatasetFacts, pretrained: bool, folds: int | None, balances: bool) -> PhasePlan:
    if phase.solve:
        return PhasePlan(name=phase.name, solve=_solve(phase.solve, data, folds, balances))
    assert phase.fit is not None  # the spec allows exactly one kind
    return PhasePlan(name=phase.name, fit=_fit(phase.fit, data, pretrained, balances))


def _solve(spec: SolveSpec, data: DatasetFacts, folds: int | None, balances: bool) -> SolvePlan:
    folds = folds or rules.folds(data)
    return SolvePlan(
        head=spec.head,
        strengths=rules.strengths(spec.head, folds) if spec.regularization == "auto" else (spec.regularization,),
        folds=folds,
        class_balance=_balance(spec.class_balance, balances, "weights"),
        taps=spec.taps,
        pseudo_labels=spec.pseudo_labels,
    )


def _balance(stated: str | None, balances: bool, way: str) -> Any:
    """Return how a phase balances classes: as it states, else in its way where the run balances them."""
    if stated is None or stated == "auto":
        return way if balances else "none"
    return stated


def _fit(spec: FitSpec, data: DatasetFacts, pretrained: bool, balances: bool) -> FitPlan:
    batch = rules.batch_size(data) if spec.batch_size == "auto" else spec.batch_size
    per_epoch = costs.steps_per_epoch(data.train_images, batch)
    steps = _steps(spec, per_epoch)
    return FitPlan(
        trainable=spec.trainable,
        batch_norm=spec.batch_norm,
        batch_norm_momentum=_batch_norm_momentum(spec, per_epoch),
        optimizer=spec.optimizer,
        learning_rate=(
            rules.learning_rate(spec.optimizer.name, batch, pretrained)
            if isinstance(spec.learning_rate, str)
            else spec.learning_rate
        ),
        find_rate=spec.learning_rate == "find",
        schedule=spec.schedule.name,
        steps=steps,
        warmup_steps=units.parse_duration(spec.schedule.warmup).steps(per_epoch, total=steps),
        batch_size=batch,
        augmentation=_augmentation(spec),
        views=spec.views if isinstance(spec.views, int) else None,
        label_smoothing=spec.label_smoothing,
        clip_norm=spec.clip_norm,
        loss=_loss(spec.loss),
        class_balance=_balance(spec.class_balance, balances, rules.fit_balance(data)),
        reinitialize=spec.reinitialize,
        l2_sp=spec.l2_sp,
    )


def _steps(spec: FitSpec, per_epoch: int) -> int:
    usual = rules.epochs(per_epoch) * per_epoch
    steps = usual if spec.duration == "auto" else units.parse_duration(spec.duration).steps(per_epoch, total=usual)
    return max(1, steps)


def _batch_norm_momentum(spec: FitSpec, per_epoch: int) -> float | None:
    if spec.batch_norm == "frozen" and not spec.reinitialize:
        return None
    return rules.batch_norm_momentum(per_epoch) if spec.batch_norm_momentum == "auto" else spec.batch_norm_momentum


def _augmentation(spec: FitSpec) -> tuple[AugmentationLayer, ...]:
    if not isinstance(spec.augmentation, str):
        return spec.augmentation
    return tuple(AugmentationLayer(**layer) for layer in augmentation_presets.preset(spec.augmentation, spec.flip))


def _loss(spec: LossSpec) -> LossSpec:
    defaults = {"focal": {"gamma": rules.FOCAL_GAMMA}, "huber": {"delta": rules.HUBER_DELTA}}.get(spec.name, {})
    return spec.model_copy(update={key: value for key, value in defaults.items() if getattr(spec, key) is None})


def _changed(plan: Plan, changes: _Changes) -> Plan:
    """Return the plan with fields of its phases changed."""
    phases = []
    for phase in plan.phases:
        options = phase.solve or phase.fit
        if phase.name in changes and options:
            phase = phase.model_copy(update={phase.kind: options.model_copy(update=changes[phase.name])})
        phases.append(phase)
    return plan.model_copy(update={"phases": tuple(phases)})


def _fits(plan: Plan, spec: RecipeSpec) -> Iterator[tuple[str, FitPlan, FitSpec]]:
    """Iterate over the fit phases: name, what is planned, what the recipe states."""
    for phase, stated in zip(plan.phases, spec.phases, strict=True):
        if phase.fit and stated.fit:
            yield phase.name, phase.fit, stated.fit


def _pretrained_classes(
    plan: Plan, spec: RecipeSpec, classifier: PretrainedClassifierFacts
) -> tuple[_Changes, list[str]]:
    """Match the classes of the data with pretrained classes, for heads that start from those."""
    changes: _Changes = {}
    problems: list[str] = []
    for phase in spec.phases:
        if phase.solve and HEADS[phase.solve.head].pretrained and not classifier.problem:
            where = f"phases.{phase.name}.solve.pretrained_classes"
            mapping = phase.solve.pretrained_classes or {}
            matches, wrong = class_matching.match(mapping, plan.class_names, classifier, where)
            changes[phase.name] = {"pretrained_classes": matches}
            problems += wrong
    return changes, problems


def _heads_to_solve_again(plan: Plan, spec: RecipeSpec) -> tuple[_Changes, list[str]]:
    """Choose the head that is solved again after each fit phase: the one of the last solve phase before it."""
    changes: _Changes = {}
    problems: list[str] = []
    head: SolvePlan | None = None
    for phase, stated in zip(plan.phases, spec.phases, strict=True):
        if phase.solve:
            # A fit phase changes the features, and the pretrained classifier no longer fits them.
            reusable = not HEADS[phase.solve.head].pretrained
            head = phase.solve.model_copy(update={"pseudo_labels": None}) if reusable else None
        elif stated.fit and stated.fit.solve_again is not False:
            if stated.fit.solve_again is True and (head is None or plan.keep == "last"):
                problems.append(
                    f"phases.{phase.name}.fit.solve_again: true needs a head solved by an earlier phase, other than "
                    "pretrained_classifier, and keep: best_on_validation; write auto."
                )
            elif head and plan.keep != "last":
                assert phase.fit is not None  # as stated
                balance = "none" if phase.fit.class_balance == "none" else "weights"
                changes[phase.name] = {"solve_again": head.model_copy(update={"class_balance": balance})}
    return changes, problems


def _decayed_rates(plan: Plan, spec: RecipeSpec, backbone: BackboneFacts) -> _Changes:
    """Write out the rules of the phases with `stage_decay`, stage by stage."""
    changes: _Changes = {}
    problems: list[str] = []
    for name, fit, stated in _fits(plan, spec):
        if stated.stage_decay is not None:
            where = f"phases.{name}.fit.stage_decay"
            try:
                decayed = layer_patterns.with_stage_decay(fit.trainable, stated.stage_decay, backbone, where)
            except RecipeError as error:
                problems += error.problems
            else:
                changes[name] = {"trainable": decayed}
    if problems:
        raise RecipeError(*problems)
    return changes


def _cached_views(plan: Plan, spec: RecipeSpec, data: DatasetFacts, backbone: BackboneFacts) -> _Changes:
    """Choose between fresh and cached views, for the phases that leave it open."""
    return {
        name: {"views": _views(plan, fit, data, backbone)}
        for name, fit, stated in _fits(plan, spec)
        if stated.views == "auto"
    }


def _views(plan: Plan, fit: FitPlan, data: DatasetFacts, backbone: BackboneFacts) -> int | None:
    end = costs.frozen_end(plan, fit, backbone)
    epochs = fit.steps / costs.steps_per_epoch(data.train_images, fit.batch_size)
    views = rules.views(bool(fit.augmentation), math.ceil(epochs))
    pays = rules.views_pay(
        fresh_passes=costs.fresh_passes(epochs, end.trained_share, data),
        cached_passes=costs.cached_passes(epochs, end.trained_share, views, data),
        cached_bytes=end.cached_bytes(views, data),
    )
    return views if pays else None
