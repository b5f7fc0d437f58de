"""Shared by the tests of backbones: a user's own model."""

import keras
import pytest


@pytest.fixture
def own_model():
    """Return a function that builds a model of three resolutions, with squeeze-and-excitation and a sum in between."""

    def build(size=None, top=()):
        layers = keras.layers
        inputs = keras.Input((size, size, 3))
        x = layers.Rescaling(1 / 255)(inputs)
        x = layers.Conv2D(4, 3, 2, padding="same", name="first")(x)
        x = layers.BatchNormalization(name="first_bn")(x)
        x = layers.ZeroPadding2D(((0, 1), (0, 1)), name="pad")(x)
        x = layers.Conv2D(8, 3, 2, name="second")(x)
        squeezed = layers.GlobalAveragePooling2D(keepdims=True)(x)
        x = x + layers.Conv2D(8, 1, name="excite")(squeezed)
        x = layers.Conv2D(16, 3, 2, padding="same", name="third")(x)
        for layer in top:
            x = layer(x)
        return keras.Model(inputs, x, name="own")

    return build
