"""The facts of a built network: its layers, stages and taps."""

import math
from collections.abc import Container, Sequence
from itertools import accumulate

import keras

from kerastune_recipes.backbones.facts import (
    BackboneFacts,
    LayerFacts,
    Preprocessing,
    TapFacts,
)
from kerastune_recipes.backbones.table import Stage
from kerastune_recipes.errors import BackboneError

# Weights that follow the data rather than a gradient: those of BatchNormalization and of Normalization.
_STATISTICS = {"moving_mean", "moving_variance", "mean", "variance", "count"}


# A stage of a user's own model ends where height and width fall below this share of what they were. Half is the rule;
# a convolution without padding takes a few pixels off an edge and ends nothing.
_DROP = 0.75


# What pads a map: a layer, and the operation keras.ops.pad.
_PADDING = {"ZeroPadding2D", "Pad"}


def inspect(
    network: keras.Model,
    name: str,
    weights: str,
    preprocessing: Preprocessing,
    image_size: int,
    stages: Sequence[Stage] | None = None,
) -> BackboneFacts:
    """Read the facts off a built backbone, without passing anything through it.

    Args:
        network: What `build` returned; its weights are not looked at.
        name: How to call it.
        weights: Where its weights come from, or will come from.
        preprocessing: How raw pixels become its input.
        image_size: Height and width of its input, pixels.
        stages: `backbones.find(name).stages`. None for a user's own model: a stage then ends where the resolution
            next drops, and they are called stage1, stage2 ...

    Returns:
        Its stages, layers, taps and outputs, input side first. A tap may be an operation such as a sum written `a + b`,
        which `get_layer` does not find; `output_of` does.

    Raises:
        BackboneError: The network lacks a layer that the stages name.
    """
    outputs = _outputs(network, image_size)
    stages = _derived_stages(network, outputs) if stages is None else stages
    order = [operation.name for operation in network.operations]
    missing = [stage for stage in stages if stage.last_layer not in order]
    if missing:
        raise BackboneError(
            *(
                f'{name} as Keras {keras.__version__} builds it has no layer "{stage.last_layer}", in which its '
                f"{stage.name} should end; use a Keras version this package was tested with."
                for stage in missing
            )
        )
    stage_of = _stage_of(order, stages)
    shapes = {output.layer: output.shape for output in outputs}
    return BackboneFacts(
        name=name,
        weights=weights,
        preprocessing=preprocessing,
        image_size=image_size,
        stages=tuple(stage.name for stage in stages),
        layers=tuple(_layer_facts(layer, stage_of[layer.name]) for layer in network.layers if layer.weights),
        taps=tuple(TapFacts(stage.name, stage.last_layer, shapes[stage.last_layer]) for stage in stages),
        outputs=tuple(outputs),
    )


def output_of(network: keras.Model, layer: str) -> keras.KerasTensor:
    """Return what a layer or operation of the network puts out, as a symbolic tensor.

    `keras.Model.get_layer` knows no operations, and in some networks (ConvNeXt) a stage ends in one.

    Args:
        network: A functional model.
        layer: The `layer` of one of its `TapFacts`.

    Raises:
        KeyError: There is none of that name.
    """
    return {operation.name: operation for operation in network.operations}[layer].output


def _outputs(network: keras.Model, image_size: int) -> list[TapFacts]:
    """Return every layer or operation that puts out one map of activations, input side first."""
    maps = {
        operation.name: operation.output
        for operation in network.operations
        if not isinstance(operation, keras.layers.InputLayer)
        and isinstance(operation.output, keras.KerasTensor)
        and len(operation.output.shape) == 4
    }
    shapes = [tensor.shape for tensor in maps.values()]
    if any(None in shape[1:] for shape in shapes):
        # A model for images of any size: let it say what comes out at this one.
        everything = keras.Model(network.inputs, list(maps.values()))
        shapes = everything.compute_output_shape((None, image_size, image_size, 3))
    inputs = _inputs(network, maps)
    return [TapFacts(name, name, tuple(shape[1:]), inputs[name]) for name, shape in zip(maps, shapes, strict=True)]


def _inputs(network: keras.Model, maps: Container[str]) -> dict[str, tuple[str, ...]]:
    """Map every operation to the nearest ones before it that put out a map."""
    makers = {id(tensor): each.name for each in network.operations for tensor in keras.tree.flatten(each.output)}
    found: dict[str, tuple[str, ...]] = {}
    for operation in network.operations:
        if isinstance(operation, keras.layers.InputLayer):
            found[operation.name] = ()
            continue
        # A tensor of unknown maker comes from a second call of a layer; the first one stands for both.
        parents = [makers[id(tensor)] for tensor in keras.tree.flatten(operation.input) if id(tensor) in makers]
        nearest = [near for parent in parents for near in ((parent,) if parent in maps else found[parent])]
        found[operation.name] = tuple(dict.fromkeys(nearest))
    return found


def _derived_stages(network: keras.Model, outputs: Sequence[TapFacts]) -> list[Stage]:
    """Find the stages of a user's own model: each ends in the last activation before the resolution drops.

    What counts is the largest map still to come: one that is small for a while, as inside squeeze-and-excitation, ends
    nothing. Padding only prepares a drop and belongs to what follows. Every stage holds weights.
    """
    padding = {each.name for each in network.operations if type(each).__name__ in _PADDING}
    weighted = {layer.name for layer in network.layers if layer.weights}
    maps = [output for output in outputs if output.layer not in padding]
    heights = [output.shape[0] for output in maps]
    largest = list(accumulate(reversed(heights), max))[::-1]
    ends: list[str] = []
    holds_weights = False
    for output, here, ahead in zip(maps, largest, [*largest[1:], largest[-1]], strict=True):
        holds_weights |= output.layer in weighted
        if ahead < _DROP * here and holds_weights:
            ends.append(output.layer)
            holds_weights = False
    if ends and not holds_weights:
        ends.pop()
    last = next(operation.name for operation in network.operations if operation.output is network.outputs[0])
    return [Stage(f"stage{number}", end) for number, end in enumerate([*ends, last], start=1)]


def _stage_of(order: Sequence[str], stages: Sequence[Stage]) -> dict[str, str]:
    """Map every layer to the first stage whose last layer comes at or after it."""
    position = {layer: index for index, layer in enumerate(order)}
    ends = [position[stage.last_layer] for stage in stages]
    # A branch beside the output may come behind it; it belongs to the last stage.
    return {
        layer: next((stage.name for stage, end in zip(stages, ends, strict=True) if end >= index), stages[-1].name)
        for layer, index in position.items()
    }


def _layer_facts(layer: keras.layers.Layer, stage: str) -> LayerFacts:
    return LayerFacts(
        name=layer.name,
        stage=stage,
        parameters=layer.count_params(),
        statistics=sum(math.prod(weight.shape) for weight in layer.weights if weight.name in _STATISTICS),
        batch_norm=isinstance(layer, keras.layers.BatchNormalization),
    )
