"""Training behind a frozen part: what it makes of each view of an image is computed once, only the rest is trained."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from kerastune_recipes.model.network import BACKBONE, Network


@dataclass(frozen=True)
class Halves:
    """A network in two; both share its layers and weights.

    Args:
        fixed: Resized images (b, s, s, 3), values 0..255, to the list of tensors that the rest needs.
        rest: These tensors to probabilities (b, classes); all that is trained is in it.
    """

    fixed: keras.Model
    rest: keras.Model


def split(network: Network) -> Halves:
    """Divide a network where its fixed part ends.

    An operation is fixed when it makes the same of the same image all through a phase, and so does all that it depends
    on: no weight of it is trained, no BatchNormalization in it follows the images, and nothing in it is random.

    Args:
        network: The layers, as `freeze` set them; call this within `still_dropout`.

    Example:
        >>> halves = split(network)
        >>> halves.rest(halves.fixed(images))  # equals network.core(images)
    """
    trace = _Trace()
    backbone = _called_anew(network.backbone, trace)
    moving = [trace.moves(tap) for tap in backbone.outputs]
    crossing, count = list(trace.crossing), len(trace.crossing)
    still_taps = [tap for tap, moves in zip(backbone.outputs, moving, strict=True) if not moves]
    moving_taps = [tap for tap, moves in zip(backbone.outputs, moving, strict=True) if moves]
    front = keras.Model(backbone.inputs[0], crossing + still_taps, name=f"{BACKBONE}_front")
    back = keras.Model(crossing, moving_taps, name=f"{BACKBONE}_back") if moving_taps else None
    trace = _Trace()

    def call(operation: keras.Operation, *args: Any, **kwargs: Any) -> Any:
        if operation is not network.backbone:
            return trace(operation, *args, **kwargs)
        ends = trace(front, *args, **kwargs)
        still = iter(ends[count:])
        moved = iter(trace(back, ends[:count]) if back else ())
        return [next(moved if moves else still) for moves in moving]

    core = _called_anew(network.core, call)
    return Halves(
        fixed=keras.Model(core.inputs[0], trace.crossing, name="fixed"),
        rest=keras.Model(trace.crossing, core.outputs[0], name="rest"),
    )


def _called_anew(model: keras.Model, call: Callable[..., Any]) -> keras.Model:
    """Return a graph of the same layers, each of them called by `call`."""
    return keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call)


class _Trace:
    """Calls operations one after the other, and keeps which fixed tensors go into operations that are not fixed."""

    def __init__(self) -> None:
        self.crossing: list[keras.KerasTensor] = []
        self._moving: list[keras.KerasTensor] = []

    def moves(self, tensor: keras.KerasTensor) -> bool:
        """Return whether a tensor may change for the same image."""
        return _among(tensor, self._moving)

    def __call__(self, operation: keras.Operation, *args: Any, **kwargs: Any) -> Any:
        outputs = operation(*args, **kwargs)
        inputs = [one for one in keras.tree.flatten((args, kwargs)) if isinstance(one, keras.KerasTensor)]
        if not _is_still(operation) or any(map(self.moves, inputs)):
            self._moving += keras.tree.flatten(outputs)
            for tensor in inputs:
                if not self.moves(tensor) and not _among(tensor, self.crossing):
                    self.crossing.append(tensor)
        return outputs


def _among(tensor: keras.KerasTensor, tensors: list[keras.KerasTensor]) -> bool:
    # By identity: symbolic tensors cannot be compared.
    return any(one is tensor for one in tensors)


def _is_still(operation: keras.Operation) -> bool:
    """Return whether an operation always makes the same of the same input while a phase trains."""
    if hasattr(operation, "layers"):
        return all(map(_is_still, operation.layers))
    if not isinstance(operation, keras.layers.Layer):
        return True
    if isinstance(operation, keras.layers.Dropout):
        return operation.rate == 0
    if isinstance(operation, keras.layers.BatchNormalization) and operation.trainable:
        return False
    # What is a variable but no weight is the state of a random generator.
    return not operation.trainable_variables and len(operation.variables) == len(operation.weights)
