"""Reinitializing layers of a network before a phase trains them."""

import random
from collections.abc import Collection, Iterator
from contextlib import contextmanager

import keras
import numpy as np


def reinitialize(backbone: keras.Model, names: Collection[str], seed: int) -> None:
    """Give layers fresh weights from their own initializers, statistics of BatchNormalization included.

    Initializers with their own seed draw the same weights as before. `Normalization` stays unchanged: its statistics
    are part of the preprocessing, and training would not learn them again.

    Args:
        backbone: The network; its weights are changed in place.
        names: Names of its layers. The name of a nested model means all layers inside it.
        seed: Random seed; the result does not depend on other random draws.

    Example:
        >>> reinitialize(network.backbone, {"conv5_block3_3_conv", "conv5_block3_3_bn"}, seed=0)
    """
    inner = (layer for layer in backbone.layers if layer.name in names for layer in _leaves(layer))
    for position, layer in enumerate(inner):
        if layer.weights and not isinstance(layer, keras.layers.Normalization):
            with _seeded(seed, position):
                fresh = type(layer).from_config(layer.get_config())
                fresh.build_from_config(layer.get_build_config())
            layer.set_weights(fresh.get_weights())


def _leaves(layer: keras.layers.Layer) -> Iterator[keras.layers.Layer]:
    """Yield the layer, or the layers inside it where it is a model."""
    if not hasattr(layer, "layers"):
        yield layer
    for inner in getattr(layer, "layers", ()):
        yield from _leaves(inner)


@contextmanager
def _seeded(*seeds: int) -> Iterator[None]:
    """Seed Python's generator while the context lasts: initializers without a seed draw theirs from it."""
    state = random.getstate()
    random.seed(int(np.random.SeedSequence(seeds).generate_state(1)[0]))
    try:
        yield
    finally:
        random.setstate(state)
