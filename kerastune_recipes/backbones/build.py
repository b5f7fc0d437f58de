"""Build a backbone with Keras: the network, its weights and its preprocessing."""

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

# Families with constructors in this package rather than in keras.applications.
_OURS = {"alexnet": alexnet, "demo": demo}

# Seconds without an answer after which a download of weights fails.
_TIMEOUT = 20

# ImageNet's mean, BGR, in 0..255; its mean and standard deviation, RGB, in 0..1.
_CAFFE_MEAN = (103.939, 116.779, 123.68)
_TORCH_MEAN = (0.485, 0.456, 0.406)
_TORCH_DEVIATION = (0.229, 0.224, 0.225)

# The named preprocessings that keep the order of the channels.
SCALINGS: Mapping[NamedPreprocessing, Scaling] = {
    "identity": Scaling(scale=1.0),
    "symmetric": Scaling(scale=1 / 127.5, offset=-1.0),
    "torch": Scaling(
        scale=channels(1 / (255 * deviation) for deviation in _TORCH_DEVIATION),
        offset=channels(-mean / deviation for mean, deviation in zip(_TORCH_MEAN, _TORCH_DEVIATION, strict=True)),
    ),
}


def build(network: str | keras.Model, weights: str, image_size: int, dry: bool = False) -> keras.Model:
    """Build a backbone of the table without its classifier, or check a user's own model.

    Layers that Keras numbers by a counter of the whole process, such as "activation_94", get the names that they have
    in a new process, so that two builds of the same backbone have the same layer names.

    EfficientNet (version 1) is built as Keras builds it for ImageNet, with a division by the standard deviation of the
    pixels that Keras omits when it loads other weights.

    Args:
        network: A name in `table.BACKBONES`, or a functional model from one image to one map of activations.
        weights: "imagenet", "none" for random ones, "demo", or the path of a `.weights.h5`, `.h5` or `.keras` file of
            the same network without classifier, for AlexNet also of torchvision's state dict. MobileNets always get
            the ImageNet weights trained at 224 pixels. A user's own model keeps its weights.
        image_size: Height and width of its input, pixels.
        dry: Run all checks, but read no weights file and leave the weights random.

    Returns:
        A functional model from float32 (batch, image_size, image_size, 3) to (batch, height, width, channels). A
        user's own model is returned unchanged.

    Raises:
        BackboneError: The name is unknown, the size too small, the weights are missing or do not fit, or the user's
            own model has the wrong form.

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
    """Turn raw pixels into the input of a backbone, with plain Keras layers that load without this package.

    Args:
        pixels: Symbolic tensor (batch, height, width, 3): RGB, 0..255.
        preprocessing: "identity" changes nothing; "symmetric" scales to [-1, 1]; "torch" standardises by ImageNet's
            mean and standard deviation; "caffe" swaps to BGR and subtracts ImageNet's mean; a `Scaling` has its own
            numbers.
        suffix: Suffix of the layer's name, for models with several backbones.

    Returns:
        Symbolic float32 tensor of the same shape.

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
    pretrained = f'"{backbone.pretrained}", ' if backbone.pretrained else ""
    source = f": {backbone.weights_source}" if backbone.weights_source else ""
    choice = f'write {pretrained}"none" or the path of a weights file{source}.'
    if weights in WEIGHTS:
        yield f'{backbone.name} has no weights "{weights}"; {choice}'
    elif not Path(weights).is_file():
        yield f'There is no weights file "{weights}" for {backbone.name}; {choice}{did_you_mean(weights, WEIGHTS)}'
    elif not weights.endswith(backbone.weights_files):
        *endings, last = backbone.weights_files
        yield f'The weights file "{weights}" must end in {", ".join(endings)} or {last}.'


def _untrained(backbone: Backbone, image_size: int) -> keras.Model:
    network = _constructed(backbone, image_size, weights=None)
    if backbone.family == "efficientnet":
        network = keras.models.clone_model(network, call_function=_call_with_deviation)
    renumber_layers(network)
    return network


def _constructed(backbone: Backbone, image_size: int, weights: str | None) -> keras.Model:
    constructors = _OURS.get(backbone.family, keras.applications)
    constructor: Callable[..., keras.Model] = getattr(constructors, backbone.constructor)
    return constructor(
        include_top=False, weights=weights, input_shape=(image_size, image_size, 3), **backbone.arguments
    )


def _call_with_deviation(layer: keras.layers.Layer, *args, **kwargs):
    """Call a layer of EfficientNet; after Normalization, divide by the root of the standard deviation.

    The ImageNet files have the deviation where Normalization expects the variance, see tensorflow/tensorflow#49930.
    """
    output = layer(*args, **kwargs)
    if isinstance(layer, keras.layers.Normalization):
        return keras.layers.Rescaling([1 / math.sqrt(deviation) for deviation in _TORCH_DEVIATION])(output)
    return output


def renumber_layers(network: keras.Model) -> None:
    """Number the layers and operations that Keras names by itself as in a new process, input side first.

    Args:
        network: A newly built network; it is changed.
    """
    seen: Counter[str] = Counter()
    for operation in network.operations:
        kind = _snake_case(type(operation).__name__)
        if re.fullmatch(rf"{kind}(_\d+)?", operation.name):
            operation.name = f"{kind}_{seen[kind]}" if seen[kind] else kind
            seen[kind] += 1


def _snake_case(name: str) -> str:
    """Return a class name as Keras writes it in layer names: zero_padding2d for ZeroPadding2D."""
    words = re.sub(r"\W+", "", name)
    words = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", words)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower()


def _load_imagenet(network: keras.Model, backbone: Backbone) -> None:
    file = keras_home() / "models" / backbone.weights_file
    if file.is_file():
        _load(network, backbone, file)
        return
    try:
        # Keras knows the address and the checksum. It picks the file by the input size, so it gets the default size.
        with download_timeout():
            pretrained = _constructed(backbone, backbone.default_size, weights="imagenet")
    except Exception as error:  # Keras raises a bare Exception when a download fails
        what = f"The ImageNet weights of {backbone.name}"
        instead = "use weights: PATH of such a file or weights: none"
        raise BackboneError(download_failed(what, file, error, instead)) from error
    network.set_weights(pretrained.get_weights())


def keras_home() -> Path:
    """Return Keras's own folder; its accessor is private."""
    return Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()


@contextlib.contextmanager
def download_timeout() -> Iterator[None]:
    """Let downloads fail when the server is silent, and send Keras's progress bar to standard error."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_TIMEOUT)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        socket.setdefaulttimeout(before)


def download_failed(what: str, file: Path, error: Exception, instead: str) -> str:
    """Return the message for a file of Keras's that is missing and could not be downloaded.

    Args:
        what: Description of the content, as the beginning of a sentence.
        file: Path of the file in Keras's home.
        error: Why the download failed.
        instead: What to do without the file, as the end of a sentence.
    """
    return (
        f'{what} are not at "{file}", where Keras looks for them, and could not be downloaded ({reason(error)}): '
        f"connect to the internet once, put {file.name} there, set KERAS_HOME to a folder that has it in models/, or "
        f"{instead}."
    )


def _load(network: keras.Model, backbone: Backbone, file: Path) -> None:
    # In the older file format (.h5) Keras checks that all weights are there. In the newer ones (.weights.h5, .keras) it
    # skips a layer that it does not find, with a warning at most. So every weight is set to NaN first, and one that
    # still is NaN afterwards was not in the file.
    checked = file.name.endswith(".h5") and not file.name.endswith(".weights.h5")
    floats = [] if checked else [weight for weight in network.weights if keras.backend.is_float_dtype(weight.dtype)]
    for weight in floats:
        weight.assign(keras.ops.full(weight.shape, math.nan, weight.dtype))
    try:
        with warnings.catch_warnings(action="ignore"):
            network.load_weights(file)
        missing = [weight.path for weight in floats if bool(keras.ops.all(keras.ops.isnan(weight)))]
        if missing:
            raise ValueError(f"it has no values for {listed(missing, most=2)}")
    except Exception as error:  # a file of another network fails in many ways: ValueError, OSError, KeyError ...
        raise BackboneError(
            f'The weights file "{file}" cannot be read, or does not belong to {backbone.name} without its classifier '
            f"({reason(error)})."
        ) from error


def _rescaling(
    scale: float | tuple[float, ...], offset: float | tuple[float, ...], suffix: str
) -> keras.layers.Rescaling:
    # float32 under any policy: half precision would round the pixels before they are scaled.
    return keras.layers.Rescaling(scale, offset, dtype="float32", name=f"preprocessing{suffix}")


def _checked(network: keras.Model, image_size: int) -> keras.Model:
    """Return a user's own model after checking that it can be a backbone."""
    who = f'The model "{network.name}" cannot be a backbone'
    if not hasattr(network, "operations"):
        raise BackboneError(
            f"{who}: it is a {type(network).__name__}, and only a functional model shows how its layers are connected; "
            "build it as keras.Model(inputs, outputs)."
        )
    problems = []
    shapes = [tuple(tensor.shape) for tensor in network.inputs]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][-1] != 3:
        problems.append(f"{who}: it must have one input of shape (batch, height, width, 3); it has {_shapes(shapes)}.")
    elif any(side not in (None, image_size) for side in shapes[0][1:3]):
        problems.append(
            f"{who} at image_size {image_size}: its input is {_shapes(shapes)}; "
            f"set image_size to {shapes[0][1]}, or build it with an input of (None, None, 3)."
        )
    shapes = [tuple(tensor.shape) for tensor in network.outputs]
    if len(shapes) != 1 or len(shapes[0]) != 4:
        problems.append(
            f"{who}: it must have one output of shape (batch, height, width, channels), without pooling or classifier; "
            f"it has {_shapes(shapes)}."
        )
    if problems:
        raise BackboneError(*problems)
    return network


def _shapes(shapes: Sequence[tuple]) -> str:
    return ", ".join(map(str, shapes)) or "none"
