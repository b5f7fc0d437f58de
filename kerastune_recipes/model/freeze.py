"""Setting what a phase trains on the real layers: flags, BatchNorm, and the randomness of frozen dropout."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

import keras

from kerastune_recipes.model.batch_norm import batch_norms
from kerastune_recipes.model.network import Network
from kerastune_recipes.planning.layer_patterns import LayerGroup


def freeze(
    network: Network,
    groups: Sequence[LayerGroup],
    batch_norm: str,
    momentum: float | None = None,
    fresh: Collection[str] = (),
) -> dict[str, float]:
    """Set the `trainable` flag of every layer; the model must be compiled afterwards.

    Args:
        network: The layers.
        groups: Which layers are trained, as `layer_patterns.group_layers` returns them.
        batch_norm: "frozen" or "trained", see `FitSpec`.
        momentum: Of trained BatchNormalization; None leaves what each layer has.
        fresh: Names of the layers that begin with fresh weights; their BatchNormalization has no statistics worth
            keeping, and is trained wherever the layer is.

    Returns:
        The learning-rate multiplier of each trained variable, by the variable's path.
    """
    multipliers = {layer.name: group.multiplier for group in groups for layer in group.layers}
    head = next(group.multiplier for group in groups if group.head)
    # Parents first: setting a model's flag sets its layers' flags too, BatchNormalization included.
    network.model.trainable = True
    by_variable: dict[str, float] = {}
    for layer in network.backbone.layers:
        multiplier = multipliers.get(layer.name)
        layer.trainable = multiplier is not None
        for norm in batch_norms(layer):
            if batch_norm == "frozen" and layer.name not in fresh:
                # Only this keeps it in inference mode during fit; calling the backbone with training=False does not
                # (keras-team/keras#20285).
                norm.trainable = False
            elif momentum is not None and norm.trainable:
                norm.momentum = momentum
        by_variable |= {variable.path: multiplier or 0.0 for variable in layer.trainable_variables}
    network.head.trainable = head is not None
    return by_variable | {variable.path: head or 0.0 for variable in network.head.trainable_variables}


@contextmanager
def still_dropout(backbone: keras.Model, groups: Sequence[LayerGroup]) -> Iterator[None]:
    """Keep dropout and stochastic depth inside frozen layers from acting while the context lasts.

    A frozen layer must give the same features every time, but `fit` runs Dropout in training mode whatever its
    `trainable` flag says. A dropout layer belongs to the last layer with weights before it.
    """
    frozen = {layer.name: group.multiplier is None for group in groups for layer in group.layers}
    rates = _rates_to_still(backbone, frozen)
    for layer in rates:
        layer.rate = 0.0
    try:
        yield
    finally:
        for layer, rate in rates.items():
            layer.rate = rate


def _rates_to_still(backbone: keras.Model, frozen: Mapping[str, bool]) -> dict[keras.layers.Layer, float]:
    rates, still = {}, True
    for layer in backbone.layers:
        still = frozen.get(layer.name, still)
        for each in layer._flatten_layers():
            if isinstance(each, keras.layers.Dropout) and still:
                rates[each] = each.rate
    return rates
