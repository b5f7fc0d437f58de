"""What a plan will do and cost, before anything trains: pure arithmetic on the plan and the facts."""

import math
from collections.abc import Collection
from dataclasses import dataclass

from kerastune_recipes.backbones.facts import BackboneFacts
from kerastune_recipes.data.facts import DatasetFacts
from kerastune_recipes.planning import costs, layer_patterns, rules
from kerastune_recipes.planning.costs import boundary, moving, steps_per_epoch
from kerastune_recipes.planning.plan import FitPlan, PhasePlan, Plan


@dataclass(frozen=True)
class GroupForecast:
    """Layers that share one learning rate.

    Args:
        pattern: The rule that takes them.
        layers: How many they are, the head counting as one.
        parameters: Their weights.
        learning_rate: Peak rate, or None where they are frozen.
    """

    pattern: str
    layers: int
    parameters: int
    learning_rate: float | None


@dataclass(frozen=True)
class PhaseForecast:
    """What one phase trains and costs.

    Args:
        name: The phase.
        kind: "solve" or "fit".
        groups: The layers by learning rate.
        trainable_parameters: Weights that the phase changes by solving or by gradient.
        frozen_parameters: All others, moving statistics of frozen layers included.
        batch_norm: What its BatchNormalization layers do, in words.
        steps: Optimizer updates; 0 for a solved head.
        epochs: Passes over the training images, augmented or as views.
        forward_passes: Expected cost in forward passes of all images (training and validation) through the backbone.
        fresh_passes: The same for a fit phase that augments anew each epoch.
        fixed_until: With views, the layers whose outputs are computed once; none where that is the whole backbone.
        stored: With views, the room that they take, bytes.
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
    fixed_until: tuple[str, ...] = ()
    stored: int = 0


@dataclass(frozen=True)
class Forecast:
    """What a plan will do and cost.

    Args:
        backbone_parameters: Weights of the part of the backbone that is used.
        features: Numbers that the head sees for each image, not counting their squares.
        head_parameters: Weights of the head.
        phases: In order.
    """

    backbone_parameters: int
    features: int
    head_parameters: int
    phases: tuple[PhaseForecast, ...]


def forecast(plan: Plan, data: DatasetFacts, backbone: BackboneFacts) -> Forecast:
    """Work out what a plan will do.

    Args:
        plan: The plan.
        data: The images it is for.
        backbone: The network it is for.
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
    """Return how many numbers the head sees for each image.

    Args:
        plan: The plan.
        backbone: The network it is for.
        pooling: To count with instead of the plan's.
    """
    return sum(feature_counts(plan, backbone, pooling))


def feature_counts(plan: Plan, backbone: BackboneFacts, pooling: str | None = None) -> tuple[int, ...]:
    """Return how many numbers each tap gives for an image; for the arguments see `feature_count`."""
    shapes = [tap.shape for taps, each in _tapped(plan, backbone) for tap in map(each.tap, taps) if tap]
    return tuple(math.prod(shape) if (pooling or plan.head.pooling) == "flatten" else shape[-1] for shape in shapes)


def parts(plan: Plan, backbone: BackboneFacts) -> list[BackboneFacts]:
    """Return the part in use of each backbone, the first one's first."""
    return [each.up_to(taps) for taps, each in _tapped(plan, backbone)]


def _tapped(plan: Plan, backbone: BackboneFacts) -> list[tuple[tuple[str, ...], BackboneFacts]]:
    taps = [plan.features.taps, *(companion.taps for companion in plan.ensemble or ())]
    return list(zip(taps, (backbone, *backbone.companions), strict=True))


def head_by_size(plan: Plan, backbone: BackboneFacts) -> dict[int, int]:
    """Return how many parameters the head has at each image size that is known, by size in pixels."""
    known = sorted((backbone, *backbone.elsewhere), key=lambda facts: facts.image_size)
    return {facts.image_size: head_parameters(plan, feature_count(plan, facts)) for facts in known}


def head_parameters(plan: Plan, features: int) -> int:
    """Return the weights and biases of the dense layer on so many features, and their squares where it sees them."""
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
        batch_norm=_batch_norm(backbone, moved=()),
        steps=0,
        epochs=float(plan.features.views),
        forward_passes=_one_pass(plan, data),
    )


def _one_pass(plan: Plan, data: DatasetFacts) -> float:
    """Return what the features of all images cost, forward passes."""
    images = data.train_images + data.validation_images
    return (plan.features.views * data.train_images + data.validation_images) / images


def _names(plan: Plan) -> list[str]:
    if not plan.ensemble:
        return ["backbone"]
    return [f"backbone {each.name}" for each in (plan.backbone, *plan.ensemble)]


def _fit(
    phase: PhasePlan, fit: FitPlan, plan: Plan, data: DatasetFacts, backbone: BackboneFacts, head: int, total: int
) -> PhaseForecast:
    groups = layer_patterns.groups(fit.trainable, backbone, phase.name)
    moved = moving(fit, backbone)
    trained_parameters = sum(
        layer.parameters - layer.statistics for layer in backbone.layers if layer.name in moved
    ) + (head if any(group.head and group.multiplier is not None for group in groups) else 0)
    per_epoch = steps_per_epoch(data.train_images, fit.batch_size)
    epochs = fit.steps / per_epoch
    passes = epochs + (rules.RANGE_TEST_STEPS / per_epoch if fit.find_rate else 0)
    end = boundary(plan, fit, backbone)
    # Each fold trains for as many steps, and so does the refit.
    runs = 1 + (plan.folds or int(plan.refit == "all"))
    fresh = costs.fresh(passes, end.share, data)
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
        batch_norm=_batch_norm(backbone, moved),
        steps=fit.steps,
        epochs=epochs,
        forward_passes=runs * (costs.behind(passes, end.share, fit.views, data) if fit.views else fresh) + again,
        fresh_passes=runs * fresh + again,
        fixed_until=end.layers if fit.views else (),
        stored=end.bytes(fit.views, data) if fit.views else 0,
    )


def _batch_norm(backbone: BackboneFacts, moved: Collection[str]) -> str:
    names = [layer.name for layer in backbone.layers if layer.batch_norm]
    if not names:
        return "none in this backbone"
    trained = len(set(names) & set(moved))
    return f"{len(names) - trained} frozen, {trained} trained"
