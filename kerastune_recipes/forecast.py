"""What a plan will do and cost, before anything trains: pure arithmetic on the plan and the facts."""

import math
from dataclasses import dataclass

from kerastune_recipes import costs, trainable
from kerastune_recipes.facts import BackboneFacts, DatasetFacts
from kerastune_recipes.plan import FitPlan, PhasePlan, Plan, boundary, steps_per_epoch


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
    head = ((2 * features if plan.squares else features) + 1) * data.classes
    total = sum(layer.parameters for layer in used.layers)
    phases = tuple(
        _fit(phase, phase.fit, plan, data, used, head, total)
        if phase.fit
        else _solve(phase, plan, data, used, head, total)
        for phase in plan.phases
    )
    return Forecast(total, features, head, phases)


def feature_count(plan: Plan, backbone: BackboneFacts) -> int:
    """Return how many numbers the head sees for each image."""
    return sum(feature_counts(plan, backbone))


def feature_counts(plan: Plan, backbone: BackboneFacts) -> tuple[int, ...]:
    """Return how many numbers each tap gives for an image."""
    shapes = [tap.shape for tap in map(backbone.tap, plan.features.taps) if tap]
    return tuple(math.prod(shape) if plan.head.pooling == "flatten" else shape[-1] for shape in shapes)


def _solve(
    phase: PhasePlan, plan: Plan, data: DatasetFacts, backbone: BackboneFacts, head: int, total: int
) -> PhaseForecast:
    views = plan.features.views
    images = data.train_images + data.validation_images
    return PhaseForecast(
        name=phase.name,
        kind="solve",
        groups=(
            GroupForecast("head", 1, head, None),
            GroupForecast("backbone", len(backbone.layers), total, None),
        ),
        trainable_parameters=head,
        frozen_parameters=total,
        batch_norm=_batch_norm("frozen", backbone, trained_layers=()),
        steps=0,
        epochs=float(views),
        forward_passes=(views * data.train_images + data.validation_images) / images,
    )


def _fit(
    phase: PhasePlan, fit: FitPlan, plan: Plan, data: DatasetFacts, backbone: BackboneFacts, head: int, total: int
) -> PhaseForecast:
    groups = trainable.groups(fit.trainable, backbone, phase.name)
    moving = trainable.moving(groups, fit.batch_norm)
    trained_parameters = sum(
        layer.parameters - layer.statistics for layer in backbone.layers if layer.name in moving
    ) + (head if any(group.head and group.multiplier is not None for group in groups) else 0)
    epochs = fit.steps / steps_per_epoch(data.train_images, fit.batch_size)
    end = boundary(plan, fit, backbone)
    fresh = costs.fresh(epochs, end.share, data)
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
        batch_norm=_batch_norm(fit.batch_norm, backbone, tuple(moving)),
        steps=fit.steps,
        epochs=epochs,
        forward_passes=costs.behind(epochs, end.share, fit.views, data) if fit.views else fresh,
        fresh_passes=fresh,
        fixed_until=end.layers if fit.views else (),
        stored=end.bytes(fit.views, data) if fit.views else 0,
    )


def _batch_norm(mode: str, backbone: BackboneFacts, trained_layers: tuple[str, ...]) -> str:
    names = [layer.name for layer in backbone.layers if layer.batch_norm]
    if not names:
        return "none in this backbone"
    trained = 0 if mode == "frozen" else len(set(names) & set(trained_layers))
    return f"{len(names) - trained} frozen, {trained} trained"
