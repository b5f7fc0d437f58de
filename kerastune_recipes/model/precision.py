"""Setting the precision that a network computes in, after it is built."""

from collections.abc import Iterator

import keras

from kerastune_recipes.devices.facts import Precision

# Preprocessing stays in float32: 16 bits would round raw pixels, and it costs next to nothing.
_PREPROCESSING = (keras.layers.Rescaling, keras.layers.Normalization)


def compute_in(network: keras.Model, precision: Precision) -> None:
    """Set the precision of a network's computations; weights and their updates stay in float32.

    Layers with weights of another dtype, such as quantized ones, stay unchanged.

    Args:
        network: Any model; changed in place.
        precision: "float32", or "bfloat16" or "float16" for the mixed policies of Keras.

    Example:
        >>> compute_in(network, "bfloat16")
        >>> network(images).dtype
        'bfloat16'
    """
    name = "float32" if precision == "float32" else f"mixed_{precision}"
    for layer in _layers(network):
        layer.dtype_policy = keras.DTypePolicy("float32" if isinstance(layer, _PREPROCESSING) else name)


def _layers(network: keras.Model) -> Iterator[keras.layers.Layer]:
    """Yield all layers that compute with float32 weights, those inside other layers included."""
    # Keras has no public way to list the layers inside a layer. A model casts its inputs, and computes nothing itself.
    for layer in network._flatten_layers():
        policy = layer.dtype_policy
        if (
            not isinstance(layer, keras.Model | keras.layers.InputLayer)
            and policy.quantization_mode is None
            and policy.variable_dtype == "float32"
        ):
            yield layer
