"""Building a backbone with Keras, its weights and its preprocessing, and reading its facts off the built network."""

import contextlib
import math
import os
import re
import socket
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import keras

from kerastune_recipes.backbones import alexnet
from kerastune_recipes.backbones.facts import (
    NamedPreprocessing,
    Preprocessing,
    Scaling,
    channels,
)
from kerastune_recipes.backbones.table import STATE_DICTS, WEIGHTS, Backbone, find
from kerastune_recipes.demo import network as demo
from kerastune_recipes.errors import BackboneError, did_you_mean, listed, reason

# Families whose constructors are not in keras.applications.
_OURS = {"alexnet": alexnet, "demo": demo}

# Seconds without an answer after which a download of weights is given up.
_PATIENCE = 20

# ImageNet's mean, BGR, in 0..255; its mean and deviation, RGB, in 0..1.
_CAFFE_MEAN = (103.939, 116.779, 123.68)
_TORCH_MEAN = (0.485, 0.456, 0.406)
_TORCH_DEVIATION = (0.229, 0.224, 0.225)

# The conventions that leave the channels in their order.
SCALINGS: Mapping[NamedPreprocessing, Scaling] = {
    "identity": Scaling(scale=1.0),
    "symmetric": Scaling(scale=1 / 127.5, offset=-1.0),
    "torch": Scaling(
        scale=channels(1 / (255 * deviation) for deviation in _TORCH_DEVIATION),
        offset=channels(-mean / deviation for mean, deviation in zip(_TORCH_MEAN, _TORCH_DEVIATION, strict=True)),
    ),
}


def build(network: str | keras.Model, weights: str, image_size: int, dry: bool = False) -> keras.Model:
    """Build a backbone of the table without its classifier, or check a user's own.

    Layers that Keras names by a counter of the whole process, such as "activation_94", get the names they have in a
    fresh process, so that two builds of the same backbone have the same layers.

    EfficientNet (version 1) is built as Keras builds it for ImageNet, with a division by the deviation of the pixels
    that Keras leaves out where it loads other weights.

    Args:
        network: A name in `backbones.BACKBONES`, or a functional model from one image to one map of activations.
        weights: "imagenet", "none" for random ones, "demo", or the path of a `.weights.h5`, `.h5` or `.keras` file of
            the same network without classifier, for AlexNet also of torchvision's state dict. MobileNets always get
            the ImageNet weights trained at 224 pixels. A user's own model keeps the weights it has.
        image_size: Height and width of its input, pixels.
        dry: Check all the same, but read no weights file and leave the weights random.

    Returns:
        A functional model from float32 (batch, image_size, image_size, 3) to (batch, height, width, channels). A
        user's own model is returned as it is.

    Raises:
        BackboneError: The name is unknown, the size too small, the weights cannot be had or do not fit, or the user's
            own model is of the wrong form.

    Example:
        >>> build("ResNet50", "none", 64).output_shape
        (None, 2, 2, 2048)
    """
    if keras.config.image_data_format() != "channels_last":
        raise BackboneError(
            'Keras is set to image_data_format "channels_first", which many backbones do not support; '
            'set it to "channels_last" in keras.json.'
        )
    if isinstance(network, keras.Model):
        return _checked(network, image_size)
    backbone = find(network)
    problems = [*_size_problems(backbone, image_size), *_weights_problems(backbone, weights)]
    if problems:
        raise BackboneError(*problems)
    built = _untrained(backbone, image_size)
    if dry:
        return built
    if weights == "imagenet":
        _load_imagenet(built, backbone)
    elif weights == "demo":
        _load(built, backbone, demo.WEIGHTS_FILE)
    elif weights.endswith(STATE_DICTS):
        alexnet.load_state_dict(built, Path(weights))
    elif weights != "none":
        _load(built, backbone, Path(weights))
    return built


def preprocess(pixels: keras.KerasTensor, preprocessing: Preprocessing, suffix: str = "") -> keras.KerasTensor:
    """Turn raw pixels into the input that a backbone expects, by plain layers that load without this package.

    Args:
        pixels: RGB, 0..255, (batch, height, width, 3), as a symbolic tensor of a model being built.
        preprocessing: "identity" leaves them; "symmetric" scales to [-1, 1]; "torch" to ImageNet's mean and deviation;
            "caffe" swaps to BGR and subtracts ImageNet's mean; a `Scaling` says its numbers itself.
        suffix: Set behind the name of the layer, where a model has several.

    Returns:
        float32 of the same shape.

    Example:
        >>> image = keras.Input((32, 32, 3))
        >>> keras.Model(image, preprocess(image, "symmetric"))
    """
    if preprocessing == "identity":
        return pixels
    if preprocessing == "caffe":
        return _rescaling(1.0, tuple(-mean for mean in _CAFFE_MEAN), suffix)(keras.ops.flip(pixels, axis=-1))
    scaling = preprocessing if isinstance(preprocessing, Scaling) else SCALINGS[preprocessing]
    return _rescaling(scaling.scale, scaling.offset, suffix)(pixels)


def _size_problems(backbone: Backbone, image_size: int) -> Iterator[str]:
    if image_size < backbone.minimum_size:
        yield (
            f"{backbone.name} needs images of at least {backbone.minimum_size} pixels a side; "
            f"received image_size {image_size}."
        )


def _weights_problems(backbone: Backbone, weights: str) -> Iterator[str]:
    if weights in ("none", backbone.pretrained):
        return
    named = f'"{backbone.pretrained}", ' if backbone.pretrained else ""
    source = f": {backbone.weights_source}" if backbone.weights_source else ""
    choice = f'write {named}"none" or the path of a weights file{source}.'
    if weights in WEIGHTS:
        yield f'{backbone.name} has no weights "{weights}"; {choice}'
    elif not Path(weights).is_file():
        yield (
            f'The weights "{weights}" of {backbone.name} are no existing file; {choice}{did_you_mean(weights, WEIGHTS)}'
        )
    elif not weights.endswith(backbone.weights_files):
        *endings, last = backbone.weights_files
        yield f'The weights "{weights}" must be a file that ends in {", ".join(endings)} or {last}.'


def _untrained(backbone: Backbone, image_size: int) -> keras.Model:
    network = _constructed(backbone, image_size, weights=None)
    if backbone.family == "efficientnet":
        network = keras.models.clone_model(network, call_function=_call_with_deviation)
    name_as_in_a_fresh_process(network)
    return network


def _constructed(backbone: Backbone, image_size: int, weights: str | None) -> keras.Model:
    constructors = _OURS.get(backbone.family, keras.applications)
    constructor: Callable[..., keras.Model] = getattr(constructors, backbone.constructor)
    return constructor(
        include_top=False, weights=weights, input_shape=(image_size, image_size, 3), **backbone.arguments
    )


def _call_with_deviation(layer: keras.layers.Layer, *args, **kwargs):
    """Call a layer of EfficientNet; behind Normalization, divide by the root of the deviation.

    The ImageNet files hold the deviation where Normalization expects the variance, see tensorflow/tensorflow#49930.
    """
    output = layer(*args, **kwargs)
    if isinstance(layer, keras.layers.Normalization):
        return keras.layers.Rescaling([1 / math.sqrt(deviation) for deviation in _TORCH_DEVIATION])(output)
    return output


def name_as_in_a_fresh_process(network: keras.Model) -> None:
    """Number the layers and operations that have no names of their own from the network's input on.

    Args:
        network: A network that was just built; it is changed.
    """
    seen: Counter[str] = Counter()
    for operation in network.operations:
        kind = _snake_case(type(operation).__name__)
        if re.fullmatch(rf"{kind}(_\d+)?", operation.name):
            operation.name = f"{kind}_{seen[kind]}" if seen[kind] else kind
            seen[kind] += 1


def _snake_case(name: str) -> str:
    """Write a class name as Keras does where it names a layer after it: ZeroPadding2D, zero_padding2d."""
    words = re.sub(r"\W+", "", name)
    words = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", words)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower()


def _load_imagenet(network: keras.Model, backbone: Backbone) -> None:
    file = keras_home() / "models" / backbone.weights_file
    if file.is_file():
        _load(network, backbone, file)
        return
    try:
        # Keras knows the address and the checksum. It picks the file by the size of the input, so it gets the default.
        with patiently():
            pretrained = _constructed(backbone, backbone.default_size, weights="imagenet")
    except Exception as error:  # Keras raises a bare Exception where a download fails
        raise BackboneError(
            f'The ImageNet weights of {backbone.name} are not at "{file}", where Keras looks for them, and could not '
            f"be downloaded ({reason(error)}): connect to the network once, or put {backbone.weights_file} there or "
            "set KERAS_HOME to a folder that has it in models/, or use weights: PATH of such a file or weights: none."
        ) from error
    network.set_weights(pretrained.get_weights())


def keras_home() -> Path:
    """Return Keras's own folder; its accessor is private."""
    return Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()


@contextlib.contextmanager
def patiently() -> Iterator[None]:
    """Give up on a silent server, and keep Keras's progress bar out of what the program prints."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_PATIENCE)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        socket.setdefaulttimeout(before)


def _load(network: keras.Model, backbone: Backbone, file: Path) -> None:
    # Of the older form of file (.h5) Keras checks that it has all weights. Of the newer ones (.weights.h5, .keras) it
    # passes over a layer that it does not find, with a warning at most. So every weight is first made invalid, and one
    # that still is afterwards was not in the file.
    checked = file.name.endswith(".h5") and not file.name.endswith(".weights.h5")
    floats = [] if checked else [weight for weight in network.weights if keras.backend.is_float_dtype(weight.dtype)]
    for weight in floats:
        weight.assign(keras.ops.full(weight.shape, math.nan, weight.dtype))
    try:
        with warnings.catch_warnings(action="ignore"):
            network.load_weights(file)
        missing = [weight.path for weight in floats if bool(keras.ops.all(keras.ops.isnan(weight)))]
        if missing:
            raise ValueError(f"it holds no values for {listed(missing, most=2)}")
    except Exception as error:  # a file of another network fails in many ways: ValueError, OSError, KeyError ...
        raise BackboneError(
            f'The weights file "{file}" cannot be read, or is not of {backbone.name} without its classifier '
            f"({reason(error)})."
        ) from error


def _rescaling(
    scale: float | tuple[float, ...], offset: float | tuple[float, ...], suffix: str
) -> keras.layers.Rescaling:
    # float32 under any policy: in half precision, pixels would lose their last bits before they are scaled.
    return keras.layers.Rescaling(scale, offset, dtype="float32", name=f"preprocessing{suffix}")


def _checked(network: keras.Model, image_size: int) -> keras.Model:
    """Return a user's own model, if it can serve as a backbone."""
    who = f'The model "{network.name}" cannot be a backbone'
    if not hasattr(network, "operations"):
        raise BackboneError(
            f"{who}: it is a {type(network).__name__}, and only the layers of a functional model can be told apart; "
            "build it as keras.Model(inputs, outputs)."
        )
    problems = []
    shapes = [tuple(tensor.shape) for tensor in network.inputs]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][-1] != 3:
        problems.append(f"{who}: it must have one input of shape (batch, height, width, 3); it has {_written(shapes)}.")
    elif any(side not in (None, image_size) for side in shapes[0][1:3]):
        problems.append(
            f"{who} at image_size {image_size}: its input is {_written(shapes)}; "
            f"set image_size to {shapes[0][1]}, or build it with an input of (None, None, 3)."
        )
    shapes = [tuple(tensor.shape) for tensor in network.outputs]
    if len(shapes) != 1 or len(shapes[0]) != 4:
        problems.append(
            f"{who}: it must have one output of shape (batch, height, width, channels), without pooling or classifier; "
            f"it has {_written(shapes)}."
        )
    if problems:
        raise BackboneError(*problems)
    return network


def _written(shapes: Sequence[tuple]) -> str:
    return ", ".join(map(str, shapes)) or "none"
