"""In which precision a network computes: its layers' policies set after it was built, whoever built it."""

from collections.abc import Iterator

import keras

from kerastune_recipes.devices.facts import Precision

# What prepares pixels: in 16 bits they would lose their last bits before they are scaled, and it costs next to nothing.
_PREPARES = (keras.layers.Rescaling, keras.layers.Normalization)


def compute_in(network: keras.Model, precision: Precision) -> None:
    """Let a network compute in a precision; its weights stay float32, and so does what they are updated by.

    Layers whose weights are of another type, such as quantized ones, are left as they are.

    Args:
        network: Any model; it is changed.
        precision: "float32"; "bfloat16" or "float16" for Keras's mixed policies.

    Example:
        >>> compute_in(network, "bfloat16")
        >>> network(images).dtype
        'bfloat16'
    """
    name = "float32" if precision == "float32" else f"mixed_{precision}"
    for layer in _layers(network):
        layer.dtype_policy = keras.DTypePolicy("float32" if isinstance(layer, _PREPARES) else name)


def _layers(network: keras.Model) -> Iterator[keras.layers.Layer]:
    """Yield the layers that compute, those inside of others included, whose weights are float32."""
    # Keras has no public way to the layers inside a layer. A model casts its inputs, and computes nothing itself.
    for layer in network._flatten_layers():
        policy = layer.dtype_policy
        if (
            not isinstance(layer, keras.Model | keras.layers.InputLayer)
            and policy.quantization_mode is None
            and policy.variable_dtype == "float32"
        ):
            yield layer
