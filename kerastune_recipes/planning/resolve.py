"""From intent and facts to a plan: every `auto` decided."""

import math

from kerastune_recipes import units
from kerastune_recipes.backbones.facts import BackboneFacts, PretrainedClassifierFacts
from kerastune_recipes.data.facts import DatasetFacts
from kerastune_recipes.devices.facts import ONE_CPU, HardwareFacts
from kerastune_recipes.errors import RecipeError
from kerastune_recipes.planning import augmentation_presets, class_matching, costs, layer_patterns, rules
from kerastune_recipes.planning.check import plan_problems
from kerastune_recipes.planning.costs import boundary, steps_per_epoch
from kerastune_recipes.planning.plan import (
    BackbonePlan,
    CompanionPlan,
    FeaturesPlan,
    FitPlan,
    PhasePlan,
    Plan,
    SolvePlan,
)
from kerastune_recipes.spec.recipe_spec import (
    AugmentationLayer,
    FitSpec,
    LossSpec,
    PhaseSpec,
    RecipeSpec,
    SolveSpec,
)


def resolve(
    recipe: str, spec: RecipeSpec, data: DatasetFacts, backbone: BackboneFacts, hardware: HardwareFacts = ONE_CPU
) -> Plan:
    """Turn intent and facts into a plan.

    Args:
        recipe: Name of the recipe, for the record and for errors.
        spec: The intent.
        data: The images at hand.
        backbone: The network as built at the image size in force.
        hardware: What it is to run on.

    Raises:
        RecipeError: A tap, a pattern or a pretrained class matches nothing, a layer is not covered.

    Example:
        >>> resolve("small_similar", spec, dataset.facts(), backbone_facts).phases[0].solve.folds
        5
    """
    taps = rules.taps(spec.features.taps, backbone)
    if not taps:
        raise RecipeError(
            f"features.taps: early is all stages but the last, and {backbone.name} has one stage only; write last."
        )
    plan = Plan(
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
        phases=tuple(_phase(phase, data, backbone.weights != "none", spec.folds) for phase in spec.phases),
        keep=spec.keep,
        ensemble=tuple(
            CompanionPlan(
                name=each.name,
                weights=each.weights,
                image_size=each.image_size,
                preprocessing=each.preprocessing,
                taps=rules.taps(spec.features.taps, each),
            )
            for each in backbone.companions
        )
        or None,
        folds=spec.folds,
        refit=spec.refit if data.held_out and not spec.folds else "none",
        precision=rules.precision(hardware) if spec.precision == "auto" else spec.precision,
        jit_compile=rules.jit_compile(hardware) if spec.jit_compile == "auto" else spec.jit_compile,
    )
    plan, problems = _with_source_classes(plan, spec, backbone.pretrained_classifier)
    plan, wrong = _with_heads_again(plan, spec)
    problems += wrong + plan_problems(plan, data, backbone)
    if problems:
        raise RecipeError(*problems)
    used = backbone.up_to(taps)
    return _with_views(_with_decay(plan, spec, used), spec, data, used)


def _with_decay(plan: Plan, spec: RecipeSpec, backbone: BackboneFacts) -> Plan:
    """Spell out the rates of the phases whose rates decay from stage to stage, in a plan that holds together."""
    phases: list[PhasePlan] = []
    problems: list[str] = []
    for phase, asked in zip(plan.phases, spec.phases, strict=True):
        if phase.fit and asked.fit and asked.fit.stage_decay is not None:
            where = f"phases.{phase.name}.fit.stage_decay"
            try:
                rules = layer_patterns.decayed(phase.fit.trainable, asked.fit.stage_decay, backbone, where)
            except RecipeError as error:
                problems += error.problems
            else:
                phase = phase.model_copy(update={"fit": phase.fit.model_copy(update={"trainable": rules})})
        phases.append(phase)
    if problems:
        raise RecipeError(*problems)
    return plan.model_copy(update={"phases": tuple(phases)})


def _with_source_classes(plan: Plan, spec: RecipeSpec, source: PretrainedClassifierFacts) -> tuple[Plan, list[str]]:
    """Settle which pretrained classes stand for which classes of the data; also return what is wrong with them."""
    phases, problems = [], []
    for phase, asked in zip(plan.phases, spec.phases, strict=True):
        if phase.solve and asked.solve and asked.solve.head == "pretrained_classifier" and not source.lacking:
            where = f"phases.{phase.name}.solve.pretrained_classes"
            found, wrong = class_matching.match(asked.solve.pretrained_classes or {}, plan.class_names, source, where)
            problems += wrong
            phase = phase.model_copy(update={"solve": phase.solve.model_copy(update={"pretrained_classes": found})})
        phases.append(phase)
    return plan.model_copy(update={"phases": tuple(phases)}), problems


def _with_heads_again(plan: Plan, spec: RecipeSpec) -> tuple[Plan, list[str]]:
    """Settle how heads are solved anew behind phases that fit; also return what is wrong with that."""
    phases: list[PhasePlan] = []
    problems = []
    before: SolvePlan | None = None
    for phase, asked in zip(plan.phases, spec.phases, strict=True):
        if phase.solve:
            # Where the features have moved, there is no classifier of the source any more.
            moves = phase.solve.head != "pretrained_classifier"
            before = phase.solve.model_copy(update={"pseudo_labels": None}) if moves else None
        elif phase.fit and asked.fit and asked.fit.solve_again is not False:
            if asked.fit.solve_again is True and (before is None or plan.keep == "last"):
                problems.append(
                    f"phases.{phase.name}.fit.solve_again: true takes a head solved by an earlier phase, other than a "
                    "pretrained_classifier, and keep: best_on_validation; write auto."
                )
            elif before and plan.keep != "last":
                phase = phase.model_copy(update={"fit": phase.fit.model_copy(update={"solve_again": before})})
        phases.append(phase)
    return plan.model_copy(update={"phases": tuple(phases)}), problems


def _with_views(plan: Plan, spec: RecipeSpec, data: DatasetFacts, backbone: BackboneFacts) -> Plan:
    """Decide on the views of the phases that leave them open, which takes a plan that holds together."""
    phases = []
    for phase, asked in zip(plan.phases, spec.phases, strict=True):
        if phase.fit and asked.fit and asked.fit.views == "auto":
            fit = phase.fit.model_copy(update={"views": _views(plan, phase.fit, data, backbone)})
            phase = phase.model_copy(update={"fit": fit})
        phases.append(phase)
    return plan.model_copy(update={"phases": tuple(phases)})


def _views(plan: Plan, fit: FitPlan, data: DatasetFacts, backbone: BackboneFacts) -> int | None:
    end = boundary(plan, fit, backbone)
    epochs = fit.steps / steps_per_epoch(data.train_images, fit.batch_size)
    views = rules.views(bool(fit.augmentation), math.ceil(epochs))
    pays = rules.views_pay(
        fresh=costs.fresh(epochs, end.share, data),
        behind=costs.behind(epochs, end.share, views, data),
        room=end.bytes(views, data),
    )
    return views if pays else None


def _phase(phase: PhaseSpec, data: DatasetFacts, pretrained: bool, folds: int | None) -> PhasePlan:
    if phase.solve:
        return PhasePlan(name=phase.name, solve=_solve(phase.solve, data, folds))
    assert phase.fit is not None  # the spec allows exactly one kind
    return PhasePlan(name=phase.name, fit=_fit(phase.fit, data, pretrained))


def _solve(spec: SolveSpec, data: DatasetFacts, folds: int | None) -> SolvePlan:
    folds = folds or rules.folds(data)
    if spec.regularization == "auto":
        strengths = rules.STRENGTHS[spec.head] if folds else (rules.DEFAULT_STRENGTHS[spec.head],)
    else:
        strengths = (spec.regularization,)
    balance = rules.class_weights(data) if spec.class_balance == "auto" else spec.class_balance
    return SolvePlan(
        head=spec.head,
        strengths=strengths,
        folds=folds,
        class_balance=balance,
        taps=spec.taps,
        pseudo_labels=spec.pseudo_labels,
    )


def _fit(spec: FitSpec, data: DatasetFacts, pretrained: bool) -> FitPlan:
    batch = rules.batch_size(data) if spec.batch_size == "auto" else spec.batch_size
    per_epoch = steps_per_epoch(data.train_images, batch)
    if spec.duration == "auto":
        steps = rules.epochs(per_epoch) * per_epoch
    else:
        steps = units.parse_duration(spec.duration).steps(per_epoch, whole=rules.epochs(per_epoch) * per_epoch)
    if isinstance(spec.learning_rate, str):
        rate = rules.learning_rate(spec.optimizer.name, batch, pretrained)
    else:
        rate = spec.learning_rate
    if isinstance(spec.augmentation, str):
        layers = tuple(
            AugmentationLayer(**layer) for layer in augmentation_presets.preset(spec.augmentation, spec.flip)
        )
    else:
        layers = spec.augmentation
    if spec.batch_norm == "frozen" and not spec.reinitialize:
        momentum = None
    elif spec.batch_norm_momentum == "auto":
        momentum = rules.batch_norm_momentum(per_epoch)
    else:
        momentum = spec.batch_norm_momentum
    return FitPlan(
        trainable=spec.trainable,
        batch_norm=spec.batch_norm,
        batch_norm_momentum=momentum,
        optimizer=spec.optimizer,
        learning_rate=rate,
        find_rate=spec.learning_rate == "find",
        schedule=spec.schedule.name,
        steps=max(1, steps),
        warmup_steps=units.parse_duration(spec.schedule.warmup).steps(per_epoch, whole=max(1, steps)),
        batch_size=batch,
        augmentation=layers,
        views=spec.views if isinstance(spec.views, int) else None,
        label_smoothing=spec.label_smoothing,
        clip_norm=spec.clip_norm,
        loss=_loss(spec.loss),
        class_balance=rules.class_balance(data) if spec.class_balance == "auto" else spec.class_balance,
        reinitialize=spec.reinitialize,
        l2_sp=spec.l2_sp,
    )


def _loss(spec: LossSpec) -> LossSpec:
    defaults = {"focal": {"gamma": rules.FOCAL_GAMMA}, "huber": {"delta": rules.HUBER_DELTA}}.get(spec.name, {})
    return spec.model_copy(update={key: value for key, value in defaults.items() if getattr(spec, key) is None})
