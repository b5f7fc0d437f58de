"""Freezing layers for a fit phase: trainable flags, BatchNormalization and dropout."""

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
        network: The network.
        groups: Layers and their learning-rate multipliers, from `layer_patterns.group_layers`.
        batch_norm: "frozen" or "trained", see `FitSpec`.
        momentum: Momentum of trained BatchNormalization, 0..1; None keeps the momentum of each layer.
        fresh: Names of reinitialized layers. Their BatchNormalization has no pretrained statistics, so it is trained
            with the layer.

    Returns:
        The learning-rate multiplier of each trained variable, by the variable's path.
    """
    multipliers = {layer.name: group.multiplier for group in groups for layer in group.layers}
    head = next(group.multiplier for group in groups if group.head)
    # Models before their layers: setting the flag of a model sets the flags of all layers inside it.
    network.model.trainable = True
    if network.centre is not None:
        network.centre.trainable = False  # it would subtract the means of each batch
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
def frozen_dropout_off(backbone: keras.Model, groups: Sequence[LayerGroup]) -> Iterator[None]:
    """Switch off dropout and stochastic depth inside frozen layers while the context lasts.

    A frozen layer must always compute the same features, but `fit` runs Dropout in training mode regardless
    of its `trainable` flag. A dropout layer is frozen with the last layer with weights before it.

    Args:
        backbone: The backbone.
        groups: As for `freeze`.
    """
    frozen = {layer.name: group.multiplier is None for group in groups for layer in group.layers}
    rates = _frozen_rates(backbone, frozen)
    for layer in rates:
        layer.rate = 0.0
    try:
        yield
    finally:
        for layer, rate in rates.items():
            layer.rate = rate


def _frozen_rates(backbone: keras.Model, frozen: Mapping[str, bool]) -> dict[keras.layers.Layer, float]:
    rates, is_frozen = {}, True
    for layer in backbone.layers:
        is_frozen = frozen.get(layer.name, is_frozen)
        for inner in layer._flatten_layers():
            if isinstance(inner, keras.layers.Dropout) and is_frozen:
                rates[inner] = inner.rate
    return rates
