"""Splitting a network into its frozen part, whose outputs can be cached, and the rest, which is trained."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from kerastune_recipes.model.network import BACKBONE, Network


@dataclass(frozen=True)
class SplitNetwork:
    """Two models that together compute a network, with its layers and weights.

    Args:
        frozen: Resized images (b, s, s, 3), values 0..255, to the list of tensors that the rest needs.
        rest: These tensors to probabilities (b, classes); it holds all trained weights.
    """

    frozen: keras.Model
    rest: keras.Model


def split(network: Network) -> SplitNetwork:
    """Split a network where its frozen part ends.

    An operation belongs to the frozen part if its output for an image cannot change during a phase: none of its weights
    is trained, it updates no BatchNormalization statistics, nothing in it is random, and the same holds for all
    operations that it depends on.

    Args:
        network: The network, after `freeze`; call this within `frozen_dropout_off`.

    Example:
        >>> parts = split(network)
        >>> parts.rest(parts.frozen(images))  # equals network.core(images)
    """
    trace = _Trace()
    backbone = _rebuild(network.backbone, trace)
    changing = [trace.changes(tap) for tap in backbone.outputs]
    boundary, count = list(trace.boundary), len(trace.boundary)
    frozen_taps = [tap for tap, changes in zip(backbone.outputs, changing, strict=True) if not changes]
    changing_taps = [tap for tap, changes in zip(backbone.outputs, changing, strict=True) if changes]
    front = keras.Model(backbone.inputs[0], boundary + frozen_taps, name=f"{BACKBONE}_front")
    back = keras.Model(boundary, changing_taps, name=f"{BACKBONE}_back") if changing_taps else None
    trace = _Trace()

    def call(operation: keras.Operation, *args: Any, **kwargs: Any) -> Any:
        if operation is not network.backbone:
            return trace(operation, *args, **kwargs)
        tensors = trace(front, *args, **kwargs)
        frozen = iter(tensors[count:])
        changed = iter(trace(back, tensors[:count]) if back else ())
        return [next(changed if changes else frozen) for changes in changing]

    core = _rebuild(network.core, call)
    return SplitNetwork(
        frozen=keras.Model(core.inputs[0], trace.boundary, name="fixed"),
        rest=keras.Model(trace.boundary, core.outputs[0], name="rest"),
    )


def _rebuild(model: keras.Model, call: Callable[..., Any]) -> keras.Model:
    """Return a functional model of the same layers, each called through `call`."""
    return keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call)


class _Trace:
    """Calls operations in order, and collects the boundary: frozen tensors used by operations that are not frozen."""

    def __init__(self) -> None:
        self.boundary: list[keras.KerasTensor] = []
        self._changing: list[keras.KerasTensor] = []

    def changes(self, tensor: keras.KerasTensor) -> bool:
        """Return whether a tensor may change for the same image during a phase."""
        return _contains(self._changing, tensor)

    def __call__(self, operation: keras.Operation, *args: Any, **kwargs: Any) -> Any:
        outputs = operation(*args, **kwargs)
        inputs = [one for one in keras.tree.flatten((args, kwargs)) if isinstance(one, keras.KerasTensor)]
        if not _is_frozen(operation) or any(map(self.changes, inputs)):
            self._changing += keras.tree.flatten(outputs)
            for tensor in inputs:
                if not self.changes(tensor) and not _contains(self.boundary, tensor):
                    self.boundary.append(tensor)
        return outputs


def _contains(tensors: list[keras.KerasTensor], tensor: keras.KerasTensor) -> bool:
    # By identity: symbolic tensors cannot be compared.
    return any(one is tensor for one in tensors)


def _is_frozen(operation: keras.Operation) -> bool:
    """Return whether the output of an operation for the same input cannot change during a phase."""
    if hasattr(operation, "layers"):
        return all(map(_is_frozen, operation.layers))
    if not isinstance(operation, keras.layers.Layer):
        return True
    if isinstance(operation, keras.layers.Dropout):
        return operation.rate == 0
    if isinstance(operation, keras.layers.BatchNormalization) and operation.trainable:
        return False
    # Variables that are not weights are states of random generators.
    return not operation.trainable_variables and len(operation.variables) == len(operation.weights)
