"""Finding BatchNormalization layers, and re-estimating their moving statistics."""

from collections.abc import Iterable, Iterator, Sequence

import keras
import numpy as np


def reestimate(
    network: keras.Model, norms: Sequence[keras.layers.BatchNormalization], batches: Iterable[np.ndarray]
) -> None:
    """Re-estimate the moving statistics of BatchNormalization layers for the present weights of a network.

    Interpolated statistics do not fit the activations of interpolated weights (Izmailov et al. 2018). Each statistic
    becomes its mean over the batches, all with equal weight.

    Args:
        network: Model of images (b, s, s, 3); its other layers stay unchanged.
        norms: The layers, which must be trainable.
        batches: Images (b, s, s, 3), at least one batch.

    Example:
        >>> reestimate(network.core, list(batch_norms(network.backbone)), [images])
    """
    momenta = [norm.momentum for norm in norms]
    variables = [variable for norm in norms for variable in (norm.moving_mean, norm.moving_variance)]
    statistics = []
    try:
        for norm in norms:
            norm.momentum = 0.0  # replaces the statistics with those of the batch
        for batch in batches:
            network(batch, training=True)
            statistics.append([keras.ops.convert_to_numpy(variable) for variable in variables])
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
    for variable, values in zip(variables, zip(*statistics, strict=True), strict=True):
        variable.assign(np.mean(values, axis=0))


def batch_norms(layer: keras.layers.Layer) -> Iterator[keras.layers.BatchNormalization]:
    """Yield all BatchNormalization layers among a layer and the layers inside it."""
    # Keras has no public way to list the layers inside a layer.
    yield from (each for each in layer._flatten_layers() if isinstance(each, keras.layers.BatchNormalization))
