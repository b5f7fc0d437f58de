"""A plan in words: what will be trained, how, and at what cost."""

from collections.abc import Iterable, Mapping, Sequence

from rich.table import Table

from kerastune_recipes import units
from kerastune_recipes.arrays import memory
from kerastune_recipes.backbones.facts import BackboneFacts, Preprocessing, PretrainedClassifierFacts, Scaling
from kerastune_recipes.data.facts import DatasetFacts
from kerastune_recipes.data.views import SMALLEST_CROP, View, views
from kerastune_recipes.errors import listed
from kerastune_recipes.planning import rules
from kerastune_recipes.planning.forecast import (
    Forecast,
    GroupForecast,
    PhaseForecast,
    feature_count,
    forecast,
    head_by_size,
    head_parameters,
)
from kerastune_recipes.planning.plan import FitPlan, PhasePlan, Plan, SolvePlan
from kerastune_recipes.progress import as_text
from kerastune_recipes.reporting import wording
from kerastune_recipes.spec.heads import HEADS

# How the pixels become the input of the network, by the name of a preprocessing.
_PREPROCESSING = {
    "identity": "pixels 0..255 unchanged; the network rescales them itself",
    "caffe": "BGR, minus the ImageNet mean (caffe)",
    "torch": "scaled to 0..1, minus the ImageNet mean, divided by its deviation (torch)",
    "symmetric": "pixels scaled to -1..1",
}


def describe(plan: Plan, data: DatasetFacts, backbone: BackboneFacts) -> str:
    """Describe a plan in words.

    Args:
        plan: The plan.
        data: Facts of the images it is for.
        backbone: Facts of the network it is for.

    Returns:
        The text, as `kerastune plan` prints it.

    Example:
        >>> print(describe(plan, data, backbone))
    """
    expected = forecast(plan, data, backbone)
    parts: list[str | Table] = [
        f"Plan: {plan.recipe}",
        f"{plan.summary}\n",
        _table(_data_rows(plan, data)),
        _table(_model_rows(plan, backbone, expected)),
    ]
    for phase, cost in zip(plan.phases, expected.phases, strict=True):
        parts += [
            f"\nPhase {phase.name} ({phase.kind})",
            _table(_phase_rows(phase, plan, cost, data, backbone)),
            _groups(cost.groups, phase.kind),
        ]
    total = sum(phase.forward_passes for phase in expected.phases)
    parts.append(f"\nExpected cost: {total:.1f} forward passes of all images through the backbone.")
    return as_text(*parts, width=110)


def _table(pairs: Iterable[tuple[str, str]]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True, min_width=16)
    table.add_column(overflow="fold")
    for name, value in pairs:
        table.add_row(name, value)
    return table


def _data_rows(plan: Plan, data: DatasetFacts) -> list[tuple[str, str]]:
    images = [f"{data.train_images} training"]
    if plan.folds:
        images[0] += f" ({wording.cross_validation(plan.folds)}; the final model trains on all of them)"
    else:
        images.append(f"{data.validation_images} validation{_hold_out(plan, data) if data.held_out else ''}")
    images.append("no test" if data.test is None else f"{sum(data.test)} test")
    if data.unlabeled:
        images.append(f"{data.unlabeled} unlabelled")
    counts = listed(f"{name} {count}" for name, count in zip(data.class_names, data.train, strict=True))
    return [
        ("data", data.source),
        ("images", ", ".join(images)),
        ("classes", f"{data.classes}: {counts}"),
        *([("grouped by", f"{data.grouped_by}, {data.groups} groups")] if data.groups else []),
        (
            "sizes",
            f"{_size(data.median_size)} median, {_size(data.smallest_size)} to {_size(data.largest_size)} "
            "(height x width)",
        ),
        *(("note", note) for note in data.notes),
    ]


def _hold_out(plan: Plan, data: DatasetFacts) -> str:
    refits = {
        "none": "",
        "heads": "; solved heads are refitted on all images",
        "all": "; the selected model is refitted on all images",
    }
    whole = ", groups kept whole" if data.groups else ""
    return f" (held out of the training images, stratified{whole}{refits[plan.refit]})"


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _model_rows(plan: Plan, backbone: BackboneFacts, expected: Forecast) -> list[tuple[str, str]]:
    stated = [(plan.backbone, plan.features.taps), *((each, each.taps) for each in plan.ensemble or ())]
    rows = []
    for (each, taps), facts in zip(stated, (backbone, *backbone.companions), strict=True):
        used = sum(layer.parameters for layer in facts.up_to(taps).layers)
        shapes = (f"{tap.name} {'x'.join(map(str, tap.shape))}" for tap in map(facts.tap, taps) if tap)
        rows += [
            ("backbone", f"{each.name}, weights {each.weights}, {used:,} parameters in use"),
            ("input", f"resized to {each.image_size}x{each.image_size}; {_preprocessing(each.preprocessing)}"),
            ("taps", "; ".join(shapes)),
        ]
    return [
        *rows,
        (
            "head",
            f"{_pooling(plan)} -> {'features and their squares -> ' if plan.squares else ''}dense: "
            f"{expected.features:,} features, {expected.head_parameters:,} parameters",
        ),
        *([("head by size", _head_by_size(plan, backbone))] if plan.head.pooling == "flatten" else []),
        ("precision", _precision(plan)),
        ("keep", plan.keep.replace("_", " ")),
    ]


def _precision(plan: Plan) -> str:
    mixed = "" if plan.precision == "float32" else " in the backbone; weights, head and probabilities in float32"
    return f"{plan.precision}{mixed}{'; training steps compiled' if plan.jit_compile else ''}"


def _head_by_size(plan: Plan, backbone: BackboneFacts) -> str:
    pooled = head_parameters(plan, feature_count(plan, backbone, "avg"))
    by_size = "; ".join(f"at {size}: {parameters:,}" for size, parameters in head_by_size(plan, backbone).items())
    return f"{by_size}; avg or max pooling would need {pooled:,} at any size"


def _preprocessing(preprocessing: Preprocessing) -> str:
    if isinstance(preprocessing, Scaling):
        return f"pixels times {_channels(preprocessing.scale)}, plus {_channels(preprocessing.offset)}"
    return _PREPROCESSING[preprocessing]


def _channels(numbers: float | tuple[float, ...]) -> str:
    return "/".join(f"{number:.4g}" for number in numbers) if isinstance(numbers, tuple) else f"{numbers:.4g}"


def _pooling(plan: Plan) -> str:
    dropout = f", dropout {plan.head.dropout:g}" if plan.head.dropout else ""
    if plan.head.pooling == "flatten":
        return f"flatten{dropout}"
    return f"{plan.head.pooling} pooling{dropout}"


def _phase_rows(
    phase: PhasePlan, plan: Plan, cost: PhaseForecast, data: DatasetFacts, backbone: BackboneFacts
) -> list[tuple[str, str]]:
    rows = _solve_rows(phase.solve, plan, backbone.pretrained_classifier) if phase.solve else []
    rows += _fit_rows(phase.fit, cost, data, backbone) if phase.fit else []
    fresh = f" ({cost.fresh_passes:.1f} with fresh augmentation in every epoch)" if cost.cached_bytes else ""
    return [
        *rows,
        ("batch norm", cost.batch_norm),
        ("parameters", f"{cost.trainable_parameters:,} trained, {cost.frozen_parameters:,} frozen"),
        ("expected cost", f"{cost.forward_passes:.1f} forward passes{fresh}"),
    ]


def _solve_rows(solve: SolvePlan, plan: Plan, classifier: PretrainedClassifierFacts) -> list[tuple[str, str]]:
    head = HEADS[solve.head]
    strongest, weakest = solve.strengths[0], solve.strengths[-1]
    fixed = strongest == weakest
    strength = f"{strongest:g}" if fixed else f"from {strongest:g} down to {weakest:g}"
    if not solve.folds:
        method = "not calibrated (no cross-validation)"
    else:
        method = f"{'calibrated ' if fixed else ''}by {wording.cross_validation(solve.folds)}"
    return [
        ("head", f"{head.name}, {head.strength} {strength}, {method}"),
        *([("taps", "one of them, by held-out log loss")] if solve.taps == "best" else []),
        *([("class balance", "all classes weighted equally")] if solve.class_balance == "weights" else []),
        *(
            [("pretrained classes", _pretrained_classes(solve.pretrained_classes, plan, classifier))]
            if solve.pretrained_classes
            else []
        ),
        ("views", _views(plan)),
    ]


def _pretrained_classes(indices: Mapping[str, Sequence[int]], plan: Plan, classifier: PretrainedClassifierFacts) -> str:
    words = wording.taken_from({name: map(classifier.label, found) for name, found in indices.items()})
    others = [name for name in plan.class_names if name not in indices]
    return "; ".join([*words, *([f"from the means of their features: {listed(others)}"] if others else [])])


def _views(plan: Plan) -> str:
    shown = views(plan.features.views, plan.features.flip)
    crops = sum(view.crop > 0 for view in shown)
    words = ["the image"]
    if View(mirrored=True) in shown:
        words.append("its mirror image")
    if crops:
        words.append(f"{crops} random crop{'s' if crops > 1 else ''} of at least {SMALLEST_CROP:.0%} of it")
    return ", ".join(words)


def _fit_rows(fit: FitPlan, cost: PhaseForecast, data: DatasetFacts, backbone: BackboneFacts) -> list[tuple[str, str]]:
    arguments = fit.optimizer.model_dump(exclude_none=True)
    name = arguments.pop("name")
    clip = f", gradient clipped to norm {fit.clip_norm:g}" if fit.clip_norm else ""
    return [
        ("optimizer", ", ".join([name, *(f"{key} {value}" for key, value in arguments.items())]) + clip),
        (
            "schedule",
            f"{fit.schedule}, peak {_peak(fit)}, {fit.warmup_steps} steps of warmup, "
            f"{fit.steps} steps = {cost.epochs:.3g} epochs of global batch {fit.batch_size}",
        ),
        ("augmentation", "; ".join(_layer(layer.layer, layer.arguments) for layer in fit.augmentation) or "none"),
        *([("views", _cached_views(fit, cost, backbone))] if fit.views else []),
        *([("loss", _loss(fit))] if fit.loss.name != "crossentropy" else []),
        *([("label smoothing", f"{fit.label_smoothing:g}")] if fit.label_smoothing else []),
        *(
            [("classes", wording.class_balance(fit.class_balance, data.imbalance))]
            if fit.class_balance != "none"
            else []
        ),
        *([("reinitialized", listed(fit.reinitialize))] if fit.reinitialize else []),
        *(
            [("L2-SP", f"{fit.l2_sp:g}: pulls trained layers to their initial weights, the head to zero")]
            if fit.l2_sp
            else []
        ),
        *(
            [("head", "as trained, or solved again on the trained features, by held-out log loss")]
            if fit.solve_again
            else []
        ),
    ]


def _peak(fit: FitPlan) -> str:
    if fit.find_rate:
        low, high = fit.learning_rate / rules.RANGE_TEST_SPAN, fit.learning_rate * rules.RANGE_TEST_SPAN
        return f"by a range test from {low:.1g} to {high:.1g}"
    name, batch = fit.optimizer.name, fit.batch_size
    by_rule = [rules.learning_rate(name, batch, pretrained) for pretrained in (True, False)]
    scaled = batch != rules.REFERENCE_BATCH and rules.scales(name) and fit.learning_rate in by_rule
    return f"{fit.learning_rate:g}{' (scaled to the batch size)' if scaled else ''}"


def _loss(fit: FitPlan) -> str:
    arguments = fit.loss.model_dump(exclude={"name"}, exclude_none=True)
    return ", ".join([fit.loss.name.replace("_", " "), *(f"{key} {value:g}" for key, value in arguments.items())])


def _cached_views(fit: FitPlan, cost: PhaseForecast, backbone: BackboneFacts) -> str:
    what = "the image" if not fit.augmentation else f"{fit.views} augmented view{'s' if fit.views != 1 else ''}"
    stages = {tap.layer: tap.name for tap in backbone.taps}
    until = listed(stages.get(layer, layer) for layer in cost.frozen_until) or "the backbone"
    place = " on disk" if cost.cached_bytes > memory.limit_bytes() else ""
    return f"{what}, computed once up to the end of {until}: {units.format_bytes(cost.cached_bytes)}{place}"


def _layer(name: str, arguments: dict) -> str:
    return f"{name}({', '.join(f'{key}={value}' for key, value in arguments.items())})"


def _groups(groups: Iterable[GroupForecast], kind: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="none")
    for title in ("layers", "count", "parameters", "learning rate"):
        table.add_column(title, justify="left" if title == "layers" else "right")
    for group in groups:
        solved = kind == "solve" and group.pattern == "head"
        rate = "solved" if solved else "frozen" if group.learning_rate is None else f"{group.learning_rate:g}"
        table.add_row(group.pattern, str(group.layers), f"{group.parameters:,}", rate)
    return table
