"""Statistics of BatchNormalization taken anew."""

from collections.abc import Iterable, Iterator, Sequence

import keras
import numpy as np


def reestimate(
    network: keras.Model, norms: Sequence[keras.layers.BatchNormalization], batches: Iterable[np.ndarray]
) -> None:
    """Give layers the statistics of their inputs as the network is now.

    Weights between two models have activations of their own, which the statistics between those of the two do not fit
    (Izmailov et al. 2018). They become the mean over batches of what each batch has, every batch counting alike.

    Args:
        network: Images (b, s, s, 3) to anything; its other layers are left as they are.
        norms: The layers, which are trained, not frozen.
        batches: Images, at least one batch.
    """
    momenta = [norm.momentum for norm in norms]
    variables = [variable for norm in norms for variable in (norm.moving_mean, norm.moving_variance)]
    seen = []
    try:
        for norm in norms:
            norm.momentum = 0.0  # nothing stays of the batch before
        for batch in batches:
            network(batch, training=True)
            seen.append([keras.ops.convert_to_numpy(variable) for variable in variables])
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
    for variable, values in zip(variables, zip(*seen, strict=True), strict=True):
        variable.assign(np.mean(values, axis=0))


def batch_norms(layer: keras.layers.Layer) -> Iterator[keras.layers.BatchNormalization]:
    """Yield the layer, and those inside a layer or model that is made of others, where they are BatchNormalization."""
    # Keras has no public way to the layers inside a layer.
    yield from (each for each in layer._flatten_layers() if isinstance(each, keras.layers.BatchNormalization))
