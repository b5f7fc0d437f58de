"""The cost of a fit phase, with fresh or cached views: pure arithmetic on the facts of the network.

The frozen part is the front of the backbone, as far as a phase leaves it unchanged. Costs are counted in forward passes
of all images, training and validation, through the part of the backbone in use.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass

from kerastune_recipes.backbones.facts import BackboneFacts
from kerastune_recipes.data.facts import DatasetFacts
from kerastune_recipes.planning import layer_patterns
from kerastune_recipes.planning.plan import FitPlan, Plan

# A backward pass through a layer costs about two forward passes: one product for its input, one for its weights.
BACKWARD = 2.0
_BYTES_OF_FLOAT32 = 4


@dataclass(frozen=True)
class FrozenEnd:
    """Where the frozen part of a backbone ends.

    Args:
        layers: Last frozen layers, whose outputs feed the trained part; none when the whole backbone is frozen.
        values: Numbers per image that the trained part needs, pooled features of frozen taps included.
        trained_share: Share of the multiply-adds of a forward pass in the trained part, 0 to 1.
    """

    layers: tuple[str, ...]
    values: int
    trained_share: float

    def cached_bytes(self, views: int, data: DatasetFacts) -> int:
        """Return the size of the cached values of all images, bytes.

        Args:
            views: Views of each training image; a validation image has one.
            data: The images.
        """
        return _BYTES_OF_FLOAT32 * self.values * (views * data.train_images + data.validation_images)


def find_frozen_end(backbone: BackboneFacts, trained: Collection[str], taps: Collection[str], flat: bool) -> FrozenEnd:
    """Find where the frozen part ends.

    Args:
        backbone: The part in use.
        trained: Names of the layers that are trained, or whose statistics are updated.
        taps: Names of the taps.
        flat: True when the head sees every position of a tap, False when it sees one number per channel.
    """
    frozen: set[str] = set()
    for output in backbone.outputs:
        if output.name not in trained and frozen.issuperset(output.inputs):
            frozen.add(output.name)
    needed = {name for output in backbone.outputs if output.name not in frozen for name in output.inputs}
    last = [output for output in backbone.outputs if output.name in frozen & needed]
    pooled = [tap for tap in map(backbone.tap, taps) if tap and tap.layer in frozen]
    values = sum(math.prod(output.shape) for output in last)
    values += sum(math.prod(tap.shape) if flat else tap.shape[-1] for tap in pooled)
    work = _multiply_adds(backbone)
    trained_work = sum(amount for name, amount in work.items() if name not in frozen)
    return FrozenEnd(tuple(output.name for output in last), values, trained_work / max(1, sum(work.values())))


def _multiply_adds(backbone: BackboneFacts) -> dict[str, int]:
    """Return the multiply-adds of each layer: in a convolution every weight acts once at every position."""
    positions = {output.layer: output.shape[0] * output.shape[1] for output in backbone.outputs}
    return {layer.name: layer.parameters * positions.get(layer.name, 1) for layer in backbone.layers}


def frozen_end(plan: Plan, fit: FitPlan, backbone: BackboneFacts) -> FrozenEnd:
    """Return where the frozen part of the backbone ends in a phase.

    Args:
        plan: The plan.
        fit: The phase.
        backbone: The part of the network in use.

    Raises:
        RecipeError: A pattern matches nothing, or a layer is not covered.
    """
    trained = trained_by(fit, backbone)
    return find_frozen_end(backbone, trained, plan.features.taps, flat=plan.head.pooling == "flatten")


def trained_by(fit: FitPlan, backbone: BackboneFacts) -> frozenset[str]:
    """Return the names of the backbone layers that a phase changes.

    Args:
        fit: The phase.
        backbone: The part of the network in use.

    Raises:
        RecipeError: A pattern matches nothing, or a layer is not covered.
    """
    groups = layer_patterns.group_layers(fit.trainable, backbone, "trainable")
    reinitialized = layer_patterns.match_layers(fit.reinitialize, backbone, "reinitialize")
    return layer_patterns.trained_layers(groups, fit.batch_norm, reinitialized)


def fresh_passes(epochs: float, trained_share: float, data: DatasetFacts) -> float:
    """Return the cost with fresh views: every epoch passes every image through the whole backbone.

    Args:
        epochs: Number of epochs.
        trained_share: Share of the multiply-adds in the trained part, 0 to 1; the backward pass covers no more.
        data: The images.

    Returns:
        Forward passes of all images.
    """
    each = data.train_images * (1 + BACKWARD * trained_share) + data.validation_images
    return epochs * each / _images(data)


def cached_passes(epochs: float, trained_share: float, views: int, data: DatasetFacts) -> float:
    """Return the cost with cached views: the frozen part runs once for each view.

    Args:
        epochs: Number of epochs.
        trained_share: Share of the multiply-adds in the trained part, 0 to 1.
        views: Views of each training image.
        data: The images.

    Returns:
        Forward passes of all images.
    """
    once = (views * data.train_images + data.validation_images) * (1 - trained_share)
    each = (data.train_images * (1 + BACKWARD) + data.validation_images) * trained_share
    return (once + epochs * each) / _images(data)


def _images(data: DatasetFacts) -> int:
    return data.train_images + data.validation_images


def steps_per_epoch(images: int, batch_size: int) -> int:
    """Return the optimizer updates in one pass over the images, in batches whose sizes differ by at most one."""
    return -(-images // batch_size)
