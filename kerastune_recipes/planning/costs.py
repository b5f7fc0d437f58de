"""What a fit phase costs, fresh or behind its frozen part: pure arithmetic on the facts of the network.

The unit is one forward pass of all images, training and validation, through the part of the backbone in use.
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
_BYTES = 4  # of a float32


@dataclass(frozen=True)
class Boundary:
    """Where the part of a backbone ends that stays as it is all through a phase.

    Args:
        layers: Whose outputs go into the rest; none where all of the backbone stays as it is.
        values: Numbers that the rest needs for each image, the pooled features of taps in the fixed part included.
        share: Of the multiply-adds of a forward pass, what lies behind the boundary, 0 to 1.
    """

    layers: tuple[str, ...]
    values: int
    share: float

    def bytes(self, views: int, data: DatasetFacts) -> int:
        """Return the room that views of the training images and the validation images take."""
        return _BYTES * self.values * (views * data.train_images + data.validation_images)


def find_boundary(backbone: BackboneFacts, trained: Collection[str], taps: Collection[str], flat: bool) -> Boundary:
    """Find where the fixed part ends.

    Args:
        backbone: The part in use.
        trained: Names of the layers that are trained, or that follow the images.
        taps: Names of the taps.
        flat: True when the head sees every position of a tap, False when it sees one number for each channel.
    """
    fixed: set[str] = set()
    for output in backbone.outputs:
        if output.name not in trained and fixed.issuperset(output.inputs):
            fixed.add(output.name)
    needed = {name for output in backbone.outputs if output.name not in fixed for name in output.inputs}
    crossing = [output for output in backbone.outputs if output.name in fixed & needed]
    pooled = [tap for tap in map(backbone.tap, taps) if tap and tap.layer in fixed]
    values = sum(math.prod(output.shape) for output in crossing)
    values += sum(math.prod(tap.shape) if flat else tap.shape[-1] for tap in pooled)
    work = _work(backbone)
    behind = sum(amount for name, amount in work.items() if name not in fixed)
    return Boundary(tuple(output.name for output in crossing), values, behind / max(1, sum(work.values())))


def _work(backbone: BackboneFacts) -> dict[str, int]:
    """Return the multiply-adds of each layer: in a convolution every weight acts once at every position."""
    positions = {output.layer: output.shape[0] * output.shape[1] for output in backbone.outputs}
    return {layer.name: layer.parameters * positions.get(layer.name, 1) for layer in backbone.layers}


def fresh(epochs: float, share: float, data: DatasetFacts) -> float:
    """Return the forward passes of a phase that passes every image through the whole backbone every epoch.

    Args:
        epochs: How many.
        share: Of the multiply-adds, what lies behind the boundary: so far a gradient goes back.
        data: The images.
    """
    each = data.train_images * (1 + BACKWARD * share) + data.validation_images
    return epochs * each / _images(data)


def behind(epochs: float, share: float, views: int, data: DatasetFacts) -> float:
    """Return the forward passes of a phase that computes the fixed part once for each view.

    Args:
        epochs: How many.
        share: Of the multiply-adds, what lies behind the boundary.
        views: Of each training image.
        data: The images.
    """
    once = (views * data.train_images + data.validation_images) * (1 - share)
    each = (data.train_images * (1 + BACKWARD) + data.validation_images) * share
    return (once + epochs * each) / _images(data)


def _images(data: DatasetFacts) -> int:
    return data.train_images + data.validation_images


def boundary(plan: Plan, fit: FitPlan, backbone: BackboneFacts) -> Boundary:
    """Return where the part of the network ends that a phase leaves as it is.

    Args:
        plan: The plan.
        fit: The phase.
        backbone: The part of the network in use.

    Raises:
        RecipeError: A pattern matches nothing, or a layer is not covered.
    """
    return find_boundary(backbone, moving(fit, backbone), plan.features.taps, flat=plan.head.pooling == "flatten")


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


def steps_per_epoch(images: int, batch_size: int) -> int:
    """Return the optimizer updates in one pass, the last batch being allowed to be smaller."""
    return -(-images // batch_size)
