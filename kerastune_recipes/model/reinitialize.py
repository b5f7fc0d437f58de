"""Fresh weights for layers of a network, before a phase trains them."""

import random
from collections.abc import Collection, Iterator
from contextlib import contextmanager

import keras
import numpy as np


def reinitialize(backbone: keras.Model, names: Collection[str], seed: int) -> None:
    """Give layers the weights that they would have if they were made anew, statistics of BatchNormalization included.

    Each layer's own initialisers draw them; those that have a seed of their own draw what they drew before.
    `Normalization` stays as it is: its statistics are part of the preprocessing, and nothing would learn them again.

    Args:
        backbone: The network; its weights are changed in place.
        names: Of its layers. All layers inside one that is a model itself are meant by its name.
        seed: The same seed gives the same weights, whatever was drawn before.

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
    """Seed Python's generator, from which Keras's initialisers take the seed that they are not given."""
    state = random.getstate()
    random.seed(int(np.random.SeedSequence(seeds).generate_state(1)[0]))
    try:
        yield
    finally:
        random.setstate(state)
