"""Read the facts of a built network: its layers, stages and taps."""

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

# Weights that no gradient trains: the statistics of BatchNormalization and of Normalization.
_STATISTICS = {"moving_mean", "moving_variance", "mean", "variance", "count"}

# A stage of a user's own model ends where height and width fall below this share of their size. They usually halve; a
# convolution without padding removes a few pixels at the edges and ends no stage.
_DROP = 0.75

# Types of operations that pad a map: the layer, and keras.ops.pad.
_PADDING = {"ZeroPadding2D", "Pad"}


def inspect(
    network: keras.Model,
    name: str,
    weights: str,
    preprocessing: Preprocessing,
    image_size: int,
    stages: Sequence[Stage] | None = None,
) -> BackboneFacts:
    """Read the facts of a built backbone, without running it.

    Args:
        network: A network from `build.build`; its weights do not matter.
        name: Name of the backbone.
        weights: Origin of its weights, such as "imagenet".
        preprocessing: How raw pixels become its input.
        image_size: Height and width of its input, pixels.
        stages: `table.find(name).stages`. None for a user's own model: its stages end where the resolution drops, and
            are named stage1, stage2 ...

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
                f'{name} as built by Keras {keras.__version__} has no layer "{stage.last_layer}", the expected end of '
                f"{stage.name}; use a Keras version that this package was tested with."
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
    """Return the output of a layer or operation of the network, as a symbolic tensor.

    `keras.Model.get_layer` finds no operations, and in some networks (ConvNeXt) a stage ends in one.

    Args:
        network: A functional model.
        layer: Name of a layer or operation, as in `TapFacts.layer`.

    Raises:
        KeyError: There is no layer or operation of that name.
    """
    return {operation.name: operation for operation in network.operations}[layer].output


def _outputs(network: keras.Model, image_size: int) -> list[TapFacts]:
    """Return every layer or operation that outputs one map of activations, input side first."""
    maps = {
        operation.name: operation.output
        for operation in network.operations
        if not isinstance(operation, keras.layers.InputLayer)
        and isinstance(operation.output, keras.KerasTensor)
        and len(operation.output.shape) == 4
    }
    shapes = [tensor.shape for tensor in maps.values()]
    if any(None in shape[1:] for shape in shapes):
        # The model takes images of any size: compute its shapes at this one.
        everything = keras.Model(network.inputs, list(maps.values()))
        shapes = everything.compute_output_shape((None, image_size, image_size, 3))
    inputs = _inputs(network, maps)
    return [TapFacts(name, name, tuple(shape[1:]), inputs[name]) for name, shape in zip(maps, shapes, strict=True)]


def _inputs(network: keras.Model, maps: Container[str]) -> dict[str, tuple[str, ...]]:
    """Map every operation to the nearest operations before it that output a map."""
    producers = {id(tensor): each.name for each in network.operations for tensor in keras.tree.flatten(each.output)}
    inputs: dict[str, tuple[str, ...]] = {}
    for operation in network.operations:
        if isinstance(operation, keras.layers.InputLayer):
            inputs[operation.name] = ()
            continue
        # A tensor without a producer here comes from a second call of a layer; its first call represents both.
        parents = [producers[id(tensor)] for tensor in keras.tree.flatten(operation.input) if id(tensor) in producers]
        nearest = [near for parent in parents for near in ((parent,) if parent in maps else inputs[parent])]
        inputs[operation.name] = tuple(dict.fromkeys(nearest))
    return inputs


def _derived_stages(network: keras.Model, outputs: Sequence[TapFacts]) -> list[Stage]:
    """Find the stages of a user's own model: each ends with the last activation before the resolution drops.

    The resolution is that of the largest map from here on: maps that are small for a while, as in
    squeeze-and-excitation, end no stage. Padding before a drop belongs to the next stage. Every stage has weights.
    """
    padding = {each.name for each in network.operations if type(each).__name__ in _PADDING}
    weighted = {layer.name for layer in network.layers if layer.weights}
    maps = [output for output in outputs if output.layer not in padding]
    heights = [output.shape[0] for output in maps]
    largest = list(accumulate(reversed(heights), max))[::-1]
    ends: list[str] = []
    has_weights = False
    for output, here, ahead in zip(maps, largest, [*largest[1:], largest[-1]], strict=True):
        has_weights |= output.layer in weighted
        if ahead < _DROP * here and has_weights:
            ends.append(output.layer)
            has_weights = False
    if ends and not has_weights:
        ends.pop()
    last = next(operation.name for operation in network.operations if operation.output is network.outputs[0])
    return [Stage(f"stage{number}", end) for number, end in enumerate([*ends, last], start=1)]


def _stage_of(order: Sequence[str], stages: Sequence[Stage]) -> dict[str, str]:
    """Map every layer to the first stage that ends with or after it."""
    position = {layer: index for index, layer in enumerate(order)}
    ends = [position[stage.last_layer] for stage in stages]
    # A side branch may come after the output; it belongs to the last stage.
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
