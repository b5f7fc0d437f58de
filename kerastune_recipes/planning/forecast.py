"""Forecast of a plan: what each phase trains and costs, by pure arithmetic on the plan and the facts."""

import math
from collections.abc import Collection
from dataclasses import dataclass

from kerastune_recipes.backbones.facts import BackboneFacts
from kerastune_recipes.data.facts import DatasetFacts
from kerastune_recipes.planning import costs, layer_patterns, rules
from kerastune_recipes.planning.plan import FitPlan, PhasePlan, Plan


@dataclass(frozen=True)
class GroupForecast:
    """Layers that share a learning rate.

    Args:
        pattern: Pattern of the rule that matches them.
        layers: Number of layers; the head counts as one.
        parameters: Number of their weights.
        learning_rate: Peak rate; None when they are frozen.
    """

    pattern: str
    layers: int
    parameters: int
    learning_rate: float | None


@dataclass(frozen=True)
class PhaseForecast:
    """What one phase trains and costs.

    Args:
        name: Name of the phase.
        kind: "solve" or "fit".
        groups: The layers by learning rate.
        trainable_parameters: Number of weights that the phase changes by solving or by gradient.
        frozen_parameters: Number of all others, moving statistics included.
        batch_norm: How many BatchNormalization layers are frozen and trained, in words.
        steps: Optimizer updates; 0 for a solved head.
        epochs: Passes over the training images; for a solved head, views of each training image.
        forward_passes: Expected cost, in forward passes of all images (training and validation) through the backbone.
        fresh_passes: The same for a fit phase with fresh views every epoch; 0 for a solved head.
        frozen_until: With cached views, the last layers of the frozen part; none when the whole backbone is frozen.
        cached_bytes: With cached views, their size, bytes.
    """

    name: str
    kind: str
    groups: tuple[GroupForecast, ...]
    trainable_parameters: int
    frozen_parameters: int
    batch_norm: str
    steps: int
    epochs: float
    forward_passes: float
    fresh_passes: float = 0.0
    frozen_until: tuple[str, ...] = ()
    cached_bytes: int = 0


@dataclass(frozen=True)
class Forecast:
    """What a plan will do and cost.

    Args:
        backbone_parameters: Number of weights in the part of the backbones in use.
        features: Features per image that the head sees, not counting their squares.
        head_parameters: Number of weights of the head.
        phases: The phases, in order.
    """

    backbone_parameters: int
    features: int
    head_parameters: int
    phases: tuple[PhaseForecast, ...]


def forecast(plan: Plan, data: DatasetFacts, backbone: BackboneFacts) -> Forecast:
    """Forecast what a plan will train and cost.

    Args:
        plan: The plan.
        data: The images.
        backbone: The network.
    """
    used = backbone.up_to(plan.features.taps)
    features = feature_count(plan, backbone)
    head = head_parameters(plan, features)
    total = sum(layer.parameters for each in parts(plan, backbone) for layer in each.layers)
    phases = tuple(
        _fit(phase, phase.fit, plan, data, used, head, total)
        if phase.fit
        else _solve(phase, plan, data, used, head, total)
        for phase in plan.phases
    )
    return Forecast(total, features, head, phases)


def feature_count(plan: Plan, backbone: BackboneFacts, pooling: str | None = None) -> int:
    """Return the number of features per image that the head sees.

    Args:
        plan: The plan.
        backbone: The network.
        pooling: Pooling in place of the plan's, "avg", "max" or "flatten".
    """
    return sum(feature_counts(plan, backbone, pooling))


def feature_counts(plan: Plan, backbone: BackboneFacts, pooling: str | None = None) -> tuple[int, ...]:
    """Return the number of features per image of each tap; the arguments are those of `feature_count`."""
    shapes = [tap.shape for taps, each in _tapped(plan, backbone) for tap in map(each.tap, taps) if tap]
    return tuple(math.prod(shape) if (pooling or plan.head.pooling) == "flatten" else shape[-1] for shape in shapes)


def parts(plan: Plan, backbone: BackboneFacts) -> list[BackboneFacts]:
    """Return the part in use of each backbone, in order."""
    return [each.up_to(taps) for taps, each in _tapped(plan, backbone)]


def _tapped(plan: Plan, backbone: BackboneFacts) -> list[tuple[tuple[str, ...], BackboneFacts]]:
    taps = [plan.features.taps, *(companion.taps for companion in plan.ensemble or ())]
    return list(zip(taps, (backbone, *backbone.companions), strict=True))


def head_by_size(plan: Plan, backbone: BackboneFacts) -> dict[int, int]:
    """Return the number of head weights at each known image size, by size in pixels."""
    known = sorted((backbone, *backbone.other_sizes), key=lambda facts: facts.image_size)
    return {facts.image_size: head_parameters(plan, feature_count(plan, facts)) for facts in known}


def head_parameters(plan: Plan, features: int) -> int:
    """Return the number of weights and biases of a head on this many features, and their squares if it uses them."""
    return ((2 * features if plan.squares else features) + 1) * len(plan.class_names)


def _solve(
    phase: PhasePlan, plan: Plan, data: DatasetFacts, backbone: BackboneFacts, head: int, total: int
) -> PhaseForecast:
    return PhaseForecast(
        name=phase.name,
        kind="solve",
        groups=(
            GroupForecast("head", 1, head, None),
            *(
                GroupForecast(
                    name, len(each.layers), sum(layer.parameters for layer in each.layers), learning_rate=None
                )
                for name, each in zip(_names(plan), parts(plan, backbone), strict=True)
            ),
        ),
        trainable_parameters=head,
        frozen_parameters=total,
        batch_norm=_batch_norm(backbone, trained=()),
        steps=0,
        epochs=float(plan.features.views),
        forward_passes=_one_pass(plan, data),
    )


def _one_pass(plan: Plan, data: DatasetFacts) -> float:
    """Return the cost of computing the features of all images, forward passes of all images."""
    images = data.train_images + data.validation_images
    return (plan.features.views * data.train_images + data.validation_images) / images


def _names(plan: Plan) -> list[str]:
    if not plan.ensemble:
        return ["backbone"]
    return [f"backbone {each.name}" for each in (plan.backbone, *plan.ensemble)]


def _fit(
    phase: PhasePlan, fit: FitPlan, plan: Plan, data: DatasetFacts, backbone: BackboneFacts, head: int, total: int
) -> PhaseForecast:
    groups = layer_patterns.group_layers(fit.trainable, backbone, phase.name)
    trained = costs.trained_by(fit, backbone)
    trained_parameters = sum(
        layer.parameters - layer.statistics for layer in backbone.layers if layer.name in trained
    ) + (head if any(group.head and group.multiplier is not None for group in groups) else 0)
    per_epoch = costs.steps_per_epoch(data.train_images, fit.batch_size)
    epochs = fit.steps / per_epoch
    passes = epochs + (rules.RANGE_TEST_STEPS / per_epoch if fit.find_rate else 0)
    end = costs.frozen_end(plan, fit, backbone)
    # Each fold trains for as many steps, and so does the refit.
    runs = 1 + (plan.folds or int(plan.refit == "all"))
    fresh = costs.fresh_passes(passes, end.trained_share, data)
    cost = costs.cached_passes(passes, end.trained_share, fit.views, data) if fit.views else fresh
    again = (1 + (plan.folds or 0)) * _one_pass(plan, data) if fit.solve_again else 0.0
    return PhaseForecast(
        name=phase.name,
        kind="fit",
        groups=tuple(
            GroupForecast(
                pattern=group.pattern,
                layers=len(group.layers) + group.head,
                parameters=sum(layer.parameters for layer in group.layers) + (head if group.head else 0),
                learning_rate=None if group.multiplier is None else fit.learning_rate * group.multiplier,
            )
            for group in groups
        ),
        trainable_parameters=trained_parameters,
        frozen_parameters=total + head - trained_parameters,
        batch_norm=_batch_norm(backbone, trained),
        steps=fit.steps,
        epochs=epochs,
        forward_passes=runs * cost + again,
        fresh_passes=runs * fresh + again,
        frozen_until=end.layers if fit.views else (),
        cached_bytes=end.cached_bytes(fit.views, data) if fit.views else 0,
    )


def _batch_norm(backbone: BackboneFacts, trained: Collection[str]) -> str:
    names = [layer.name for layer in backbone.layers if layer.batch_norm]
    if not names:
        return "none in this backbone"
    count = len(set(names) & set(trained))
    return f"{len(names) - count} frozen, {count} trained"
