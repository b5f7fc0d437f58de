"""Training behind a frozen part: what it makes of each view of an image is computed once, only the rest is trained."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import numpy as np

from kerastune_recipes.arrays import lazy
from kerastune_recipes.devices.workers import ALONE, Team
from kerastune_recipes.model.forward import forward
from kerastune_recipes.model.network import BACKBONE, Network
from kerastune_recipes.training.batches import LabelledBatches, LabelledViews

# Several workers tell each other so many bytes at a time, or a batch: telling takes a moment each time.
_TOLD_AT_ONCE = 64 * 2**20


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


def compute(
    fixed: keras.Model,
    batches: LabelledBatches,
    views: int,
    progress: Callable[[], None] = lambda: None,
    budget_bytes: int | None = None,
    team: Team = ALONE,
) -> LabelledViews:
    """Pass views of all images through the fixed part, once; several workers each pass a part of every batch.

    Args:
        fixed: As `split` gives it.
        batches: The images. View v of each is what they give in epoch v.
        views: How many.
        progress: Called after each batch.
        budget_bytes: As for `arrays.allocate`.
        team: Who shares the work.

    Returns:
        Batches for the rest, in the order of the images' own epochs, the same on every worker.

    Raises:
        WorkError: The disk has no room for the temporary file.
    """
    shapes = [tuple(tensor.shape[1:]) for tensor in fixed.outputs]
    images, width = len(batches.labels), _width(fixed)
    values = lazy.allocate(
        (views, images, width),
        np.float32,
        budget_bytes,
        what=f"{views} views of {images} images at the end of the frozen part",
        otherwise='give fewer views or write "fresh"',
    )
    labels = np.empty((views, *batches.labels.shape), np.float32)
    at_once = max(1, _TOLD_AT_ONCE // (4 * width * batches.batch_size)) if team.size > 1 else 1
    for view in range(views):
        batches.start(view)
        for first in range(0, len(batches), at_once):
            some = range(first, min(first + at_once, len(batches)))
            for piece, (found, _) in enumerate(team.gathered(partial(_shares, fixed, batches, some, team))):
                chosen = np.concatenate([batches.chosen(index)[piece :: team.size] for index in some])
                values[view, chosen], labels[view, chosen] = found["values"], found["labels"]
            for _ in some:
                progress()
    return LabelledViews(values, shapes, labels, batches.batch_size, batches.seed)


def _shares(
    fixed: keras.Model, batches: LabelledBatches, some: Iterable[int], team: Team
) -> tuple[dict[str, np.ndarray], None]:
    """Return what the fixed part makes of a worker's parts of some batches, and their labels."""
    parts = [batches.part(index, team.index, team.size) for index in some]
    values = [_passed(fixed, pixels) for pixels, _ in parts]
    return {"values": np.concatenate(values), "labels": np.concatenate([labels for _, labels in parts])}, None


def _passed(fixed: keras.Model, pixels: np.ndarray) -> np.ndarray:
    """Return the tensors of a batch side by side (b, d)."""
    pass_on, at_once = forward(fixed, pixels.dtype.name)
    rows = [np.empty((0, _width(fixed)), np.float32)]
    for start in range(0, len(pixels), at_once):
        some = pixels[start : start + at_once]
        tensors = keras.tree.flatten(pass_on(some))
        rows.append(np.concatenate([one.reshape(len(some), -1).astype(np.float32) for one in tensors], axis=1))
    return np.concatenate(rows)


def _width(fixed: keras.Model) -> int:
    return sum(math.prod(tensor.shape[1:]) for tensor in fixed.outputs)
