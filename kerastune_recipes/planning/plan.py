"""A plan: the recipe with nothing left open, for one set of images and one backbone."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from kerastune_recipes import units
from kerastune_recipes.backbones.facts import (
    ONE_CPU,
    BackboneFacts,
    Convention,
    DatasetFacts,
    HardwareFacts,
    Precision,
    SourceFacts,
)
from kerastune_recipes.errors import DataError, RecipeError, did_you_mean, listed
from kerastune_recipes.planning import augmentation_presets, class_matching, costs, layer_patterns, rules
from kerastune_recipes.records import Record
from kerastune_recipes.spec.recipe_spec import (
    SHRINKAGE,
    AugmentationLayer,
    FitSpec,
    HeadSpec,
    Loss,
    LossSpec,
    Multiplier,
    OptimizerSpec,
    PhaseSpec,
    Positive,
    PseudoLabelsSpec,
    RecipeSpec,
    Share,
    SolvedHead,
    SolveSpec,
    check_smoothing,
)


class BackbonePlan(Record):
    """The network: its name, weights, input size in pixels and input convention."""

    name: str
    weights: str
    image_size: Annotated[int, Field(ge=1)]
    convention: Convention


class CompanionPlan(BackbonePlan):
    """A further backbone of an ensemble, and its taps by name."""

    taps: Annotated[tuple[str, ...], Field(min_length=1)]


class FeaturesPlan(Record):
    """The taps by name, and which views of each training image a head is solved on; see `FeaturesSpec`."""

    taps: Annotated[tuple[str, ...], Field(min_length=1)]
    views: Annotated[int, Field(ge=1, le=64)]
    flip: Literal["none", "horizontal"] = "horizontal"


class SolvePlan(Record):
    """A head solved on frozen features; the fields are those of `SolveSpec`, closed.

    Args:
        strengths: Candidates for the strength of the regularization, strong to weak; one means it is fixed.
        folds: Cross-validation folds that choose among them, and the tap, and calibrate; 0 means none of it.
        pseudo_labels: How it learns from unlabelled images too; none where it does not.
        source_classes: With "source_classifier", the indices of the source classes that stand for a class of the data;
            the others start from the means of their features.
    """

    head: SolvedHead
    strengths: Annotated[tuple[Positive, ...], Field(min_length=1)]
    folds: Annotated[int, Field(ge=0)]
    pseudo_labels: PseudoLabelsSpec | None = None
    class_balance: Literal["none", "weights"] = "none"
    taps: Literal["all", "best"] = "all"
    class_matching: dict[str, Annotated[tuple[int, ...], Field(min_length=1)]] | None = None


class FitPlan(Record):
    """Training by gradient; the fields are those of `FitSpec`, closed.

    Args:
        batch_norm_momentum: Of BatchNormalization that is trained or begins afresh; none where all of it is frozen.
        find_rate: Whether a range test just before the phase replaces the learning rate, around which it searches.
        steps: Optimizer updates in all.
        warmup_steps: Of these, updates of linear warmup.
        views: Augmented views of each image that the fixed part at the front is computed for, once; none where
            every epoch augments anew.
        class_balance: Weights of the images, equal draws of the classes, or neither.
        solve_again: How the head is solved anew on the features behind the phase, to be judged beside what the phase
            made of it; none where it is not.
    """

    layer_patterns: Annotated[tuple[tuple[str, Multiplier], ...], Field(min_length=1)]
    batch_norm: Literal["frozen", "trained"]
    batch_norm_momentum: Share | None = None
    optimizer: OptimizerSpec
    learning_rate: Positive
    find_rate: bool = False
    schedule: Literal["cosine", "constant"]
    steps: Annotated[int, Field(ge=1)]
    warmup_steps: Annotated[int, Field(ge=0)]
    batch_size: Annotated[int, Field(ge=1)]
    augmentation: tuple[AugmentationLayer, ...]
    views: Annotated[int, Field(ge=1)] | None = None
    label_smoothing: Share
    clip_norm: Positive | None = None
    loss: Loss = LossSpec()
    class_balance: Literal["none", "weights", "sampling"] = "none"
    reinitialize: tuple[str, ...] = ()
    l2_sp: Positive | None = None
    solve_again: SolvePlan | None = None

    @model_validator(mode="after")
    def _smooths_what_can_be(self) -> "FitPlan":
        check_smoothing(self.loss, self.label_smoothing)
        return self


class PhasePlan(Record):
    """One phase: exactly one of `solve` and `fit`."""

    name: str
    solve: SolvePlan | None = None
    fit: FitPlan | None = None

    @property
    def kind(self) -> Literal["solve", "fit"]:
        return "solve" if self.solve else "fit"


class Plan(Record):
    """All that a run needs to know besides the images.

    Args:
        plan: Version of this format.
        recipe: Name of the recipe it was resolved from.
        summary: That recipe's summary.
        class_names: In label order.
        backbone: The network.
        features: The activations that the head sees.
        head: What stands on them.
        phases: What is done, in order.
        keep: Which phase's model is returned.
        ensemble: Further backbones, whose features stand beside those of the first; none where there is one.
        folds: Of the cross-validation that judges the phases on all images, in place of a hold-out; none without.
        refit: What is trained once more, on the held-out images too, see `RecipeSpec`; "none" where the validation
            images are the user's own, and with folds, which refit in any case.
        precision: What the network computes in; its weights and its head are float32 in any case.
        jit_compile: Whether training steps are compiled; none leaves it to Keras.
    """

    plan: Literal[1]
    recipe: str
    summary: str
    class_names: Annotated[tuple[str, ...], Field(min_length=2)]
    backbone: BackbonePlan
    features: FeaturesPlan
    head: HeadSpec
    phases: Annotated[tuple[PhasePlan, ...], Field(min_length=1)]
    keep: Literal["best_on_validation", "last"]
    ensemble: tuple[CompanionPlan, ...] | None = None
    folds: Annotated[int, Field(ge=2)] | None = None
    refit: Literal["none", "heads", "all"] = "none"
    precision: Precision = "float32"
    jit_compile: bool | None = None

    @property
    def fits(self) -> bool:
        """Whether any phase trains by gradient."""
        return any(phase.fit for phase in self.phases)

    @property
    def takes_unlabeled(self) -> bool:
        """Whether any head learns from unlabelled images."""
        return any(phase.solve and phase.solve.pseudo_labels for phase in self.phases)

    @property
    def squares(self) -> bool:
        """Whether the head is given the squares of the features too, which naive Bayes takes."""
        return any(phase.solve and phase.solve.head == "naive_bayes" for phase in self.phases)


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
        RecipeError: A tap, a pattern or a source class matches nothing, a layer is not covered.

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
            convention=backbone.convention,
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
                convention=each.convention,
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
    plan, problems = _with_source_classes(plan, spec, backbone.source)
    plan, wrong = _with_heads_again(plan, spec)
    problems += wrong + _problems(plan, data, backbone)
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


def _with_source_classes(plan: Plan, spec: RecipeSpec, source: SourceFacts) -> tuple[Plan, list[str]]:
    """Settle which source classes stand for which classes of the data; also return what is wrong with them."""
    phases, problems = [], []
    for phase, asked in zip(plan.phases, spec.phases, strict=True):
        if phase.solve and asked.solve and asked.solve.head == "source_classifier" and not source.lacking:
            where = f"phases.{phase.name}.solve.source_classes"
            found, wrong = class_matching.match(asked.solve.source_classes or {}, plan.class_names, source, where)
            problems += wrong
            phase = phase.model_copy(update={"solve": phase.solve.model_copy(update={"source_classes": found})})
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
            moves = phase.solve.head != "source_classifier"
            before = phase.solve.model_copy(update={"pseudo_labels": None}) if moves else None
        elif phase.fit and asked.fit and asked.fit.solve_again is not False:
            if asked.fit.solve_again is True and (before is None or plan.keep == "last"):
                problems.append(
                    f"phases.{phase.name}.fit.solve_again: true takes a head solved by an earlier phase, other than a "
                    "source_classifier, and keep: best_on_validation; write auto."
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


def boundary(plan: Plan, fit: FitPlan, backbone: BackboneFacts) -> costs.Boundary:
    """Return where the part of the network ends that a phase leaves as it is.

    Args:
        plan: The plan.
        fit: The phase.
        backbone: The part of the network in use.

    Raises:
        RecipeError: A pattern matches nothing, or a layer is not covered.
    """
    return costs.boundary(backbone, moving(fit, backbone), plan.features.taps, flat=plan.head.pooling == "flatten")


def moving(fit: FitPlan, backbone: BackboneFacts) -> frozenset[str]:
    """Return the names of the backbone's layers that change while a phase trains.

    Args:
        fit: The phase.
        backbone: The part of the network in use.

    Raises:
        RecipeError: As for `boundary`.
    """
    groups = layer_patterns.groups(fit.trainable, backbone, "trainable")
    return layer_patterns.moving(
        groups, fit.batch_norm, layer_patterns.named(fit.reinitialize, backbone, "reinitialize")
    )


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
        steps = units.parse(spec.duration).steps(per_epoch, whole=rules.epochs(per_epoch) * per_epoch)
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
        warmup_steps=units.parse(spec.schedule.warmup).steps(per_epoch, whole=max(1, steps)),
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


def steps_per_epoch(images: int, batch_size: int) -> int:
    """Return the optimizer updates in one pass, the last batch being allowed to be smaller."""
    return -(-images // batch_size)


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
    problems = _problems(plan, data, backbone)
    for phase in plan.phases:
        if phase.solve and phase.solve.head == "source_classifier" and not backbone.source.lacking:
            asked = dict.fromkeys(plan.class_names, ()) | (phase.solve.source_classes or {})
            where = f"phases.{phase.name}.solve.source_classes"
            problems += class_matching.match(asked, plan.class_names, backbone.source, where)[1]
    if problems:
        raise RecipeError(*problems)


def _problems(plan: Plan, data: DatasetFacts, backbone: BackboneFacts) -> list[str]:
    """Say what keeps a plan from being run, but for its source classes."""
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
    if solve.head != "source_classifier":
        needless = f"{where}.source_classes: they go with head: source_classifier; this one is {solve.head}."
        return [needless] if solve.source_classes else []
    problems = [f"{where}.head: {backbone.source.lacking}"] if backbone.source.lacking else []
    if [tap.layer for tap in map(backbone.tap, plan.features.taps) if tap] != [backbone.taps[-1].layer]:
        problems.append(
            f"features.taps: the source classifier sees the last stage and nothing else; received "
            f"{listed(plan.features.taps)}; write taps: last, or another head than source_classifier."
        )
    if plan.head.pooling != "avg":
        problems.append(
            f"head.pooling: the source classifier sees averages over all positions; received {plan.head.pooling}; "
            "write pooling: avg, or another head than source_classifier."
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


def is_plan(data: Any) -> bool:
    """Return whether plain data read from YAML is a plan rather than a recipe."""
    return isinstance(data, Mapping) and "plan" in data
