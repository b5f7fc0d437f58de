"""AlexNet, which keras.applications does not have: the one-tower network, and its weights from torchvision's files."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers
from safetensors import SafetensorError, safe_open

from kerastune_recipes.backbones.table import STATE_DICTS
from kerastune_recipes.errors import BackboneError, reason

DEFAULT_SIZE = 224
# In smaller images, the map before the last of the three poolings is smaller than its window.
SMALLEST_SIZE = 63

# Height and width of the map before the dense layers.
_POOLED = (6, 6)

# Our layers with weights, and their names in torchvision.
_FEATURES = {
    "conv1": "features.0",
    "conv2": "features.3",
    "conv3": "features.6",
    "conv4": "features.8",
    "conv5": "features.10",
}
_CLASSIFIER = {"fc1": "classifier.1", "fc2": "classifier.4", "predictions": "classifier.6"}


def preprocess_input(x: Any) -> Any:
    """Standardise raw pixels by ImageNet's mean and standard deviation, as torchvision does.

    Args:
        x: Floating-point array or tensor (..., 3): RGB, 0..255.

    Returns:
        Floating-point values of the same shape.
    """
    return keras.applications.imagenet_utils.preprocess_input(x, mode="torch")


def AlexNet(
    include_top: bool = True,
    weights: str | Path | None = None,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | None = "softmax",
    name: str = "alexnet",
) -> keras.Model:
    """Build AlexNet with the arguments of keras.applications, in torchvision's form.

    It is the one-tower network of Krizhevsky, "One weird trick for parallelizing convolutional neural networks"
    (2014), with dropout before the first two dense layers. Its input is an image in the "torch" preprocessing,
    `keras.applications.imagenet_utils.preprocess_input(x, mode="torch")`.

    After the convolutions the map is pooled adaptively to 6 x 6 for the dense layers, as in torch. At 224 pixels the
    pooling changes nothing. At other sizes each position averages its part of the map, or repeats it where the map is
    smaller; outputs equal torchvision's at any size from 63 pixels.

    Args:
        include_top: Whether to end with the dense layers.
        weights: None for random ones, or the path of torchvision's state dict: a `.safetensors` file, or a `.pth` file
            if torch is installed. Without top the classifier's weights are ignored.
        input_tensor: A symbolic tensor to build on, such as `keras.Input(...)`; its shape replaces `input_shape`.
        input_shape: (height, width, 3), each at least 63; without top each may be None for any size. None is
            (224, 224, 3) with top, (None, None, 3) without.
        pooling: Without top: None for the 4-D output, "avg" or "max" to pool it to (batch, 256).
        classes: Number of classes; a weights file must have the same.
        classifier_activation: Activation of the last layer; None for logits.
        name: Name of the model.

    Returns:
        A functional model whose stages end with the layers pool1, pool2 and pool5.

    Raises:
        BackboneError: An argument is out of range, or the weights do not exist or do not fit.

    Example:
        >>> AlexNet(include_top=False, input_shape=(224, 224, 3)).output_shape
        (None, 6, 6, 256)
    """
    if input_tensor is not None:
        input_shape = tuple(input_tensor.shape[1:])
    elif input_shape is None:
        input_shape = (DEFAULT_SIZE, DEFAULT_SIZE, 3) if include_top else (None, None, 3)
    problems = [*_problems(include_top, tuple(input_shape), pooling, classes), *_file_problems(weights)]
    if problems:
        raise BackboneError(*problems)

    image = keras.Input(input_shape, name="image") if input_tensor is None else input_tensor
    x = layers.ZeroPadding2D(2, name="conv1_pad")(image)
    x = layers.Conv2D(64, 11, strides=4, activation="relu", name="conv1")(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool1")(x)
    x = layers.Conv2D(192, 5, padding="same", activation="relu", name="conv2")(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool2")(x)
    x = layers.Conv2D(384, 3, padding="same", activation="relu", name="conv3")(x)
    x = layers.Conv2D(256, 3, padding="same", activation="relu", name="conv4")(x)
    x = layers.Conv2D(256, 3, padding="same", activation="relu", name="conv5")(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool5")(x)
    if include_top:
        x = layers.AdaptiveAveragePooling2D(_POOLED, name="pool")(x)
        x = layers.Flatten(name="flatten")(x)
        x = layers.Dropout(0.5, name="dropout1")(x)
        x = layers.Dense(4096, activation="relu", name="fc1")(x)
        x = layers.Dropout(0.5, name="dropout2")(x)
        x = layers.Dense(4096, activation="relu", name="fc2")(x)
        x = layers.Dense(classes, activation=classifier_activation, name="predictions")(x)
    elif pooling == "avg":
        x = layers.GlobalAveragePooling2D(name="pool")(x)
    elif pooling == "max":
        x = layers.GlobalMaxPooling2D(name="pool")(x)
    inputs = image if input_tensor is None else keras.utils.get_source_inputs(input_tensor)[0]
    model = keras.Model(inputs, x, name=name)
    if weights is not None:
        load_state_dict(model, Path(weights))
    return model


def load_state_dict(network: keras.Model, file: Path) -> None:
    """Load torchvision's weights into AlexNet.

    Args:
        network: A network from `AlexNet`, with or without top.
        file: A `.safetensors` file, or a `.pth` file, which needs torch.

    Raises:
        BackboneError: The file cannot be read, or tensors are missing or have the wrong shape; all problems at once.
    """
    read = _safetensors if file.suffix == ".safetensors" else _pickled
    built = {layer.name for layer in network.layers}
    names = {ours: theirs for ours, theirs in (_FEATURES | _CLASSIFIER).items() if ours in built}
    tensors = read(file, [f"{theirs}.{kind}" for theirs in names.values() for kind in ("weight", "bias")])
    problems: list[str] = []
    for ours, theirs in names.items():
        layer = network.get_layer(ours)
        problems += _misfits(file, f"{theirs}.weight", tensors, _in_torch(tuple(layer.kernel.shape)))
        problems += _misfits(file, f"{theirs}.bias", tensors, tuple(layer.bias.shape))
    if problems:
        raise BackboneError(*problems)
    for ours, theirs in names.items():
        kernel = _in_keras(tensors[f"{theirs}.weight"], flattened=ours == "fc1")
        network.get_layer(ours).set_weights([kernel, tensors[f"{theirs}.bias"]])


def _problems(include_top: bool, input_shape: tuple, pooling: str | None, classes: int) -> Iterator[str]:
    sides = input_shape[:2]
    if len(input_shape) != 3 or input_shape[2] != 3:
        yield f"AlexNet needs an input_shape of (height, width, 3); received {input_shape}."
    elif any(side is not None and side < SMALLEST_SIZE for side in sides):
        yield f"AlexNet needs images of at least {SMALLEST_SIZE} pixels a side; received {input_shape}."
    elif include_top and None in sides:
        yield (
            f"The dense layers of AlexNet need a fixed image size; received {input_shape}: give input_shape as "
            "(height, width, 3), or pass include_top=False."
        )
    if pooling not in (None, "avg", "max"):
        yield f'pooling must be None, "avg" or "max"; received {pooling!r}.'
    if include_top and classes < 1:
        yield f"classes must be at least 1; received {classes}."


def _file_problems(weights: str | Path | None) -> Iterator[str]:
    if weights is None:
        return
    if not str(weights).endswith(STATE_DICTS):
        yield (
            "weights must be None or the path of torchvision's state dict of AlexNet, ending in "
            f'{" or ".join(STATE_DICTS)}; received "{weights}".'
        )
    elif not Path(weights).is_file():
        yield f'There is no weights file "{weights}" for AlexNet.'


def _safetensors(file: Path, names: list[str]) -> dict[str, np.ndarray]:
    """Return the named tensors that are in the file."""
    try:
        with safe_open(file, framework="numpy") as tensors:
            return {name: tensors.get_tensor(name) for name in set(names) & set(tensors.keys())}
    except (SafetensorError, OSError, TypeError) as error:  # TypeError: a number format that NumPy lacks
        raise BackboneError(f'The weights file "{file}" cannot be read as safetensors ({reason(error)}).') from error


def _pickled(file: Path, names: list[str]) -> dict[str, np.ndarray]:
    """Return the named tensors that are in a file written by torch.save."""
    try:
        import torch
    except ImportError as error:
        raise BackboneError(
            f'Reading "{file}" needs torch, which is not installed: install it, or give the same tensors as a '
            ".safetensors file."
        ) from error
    try:
        # Without weights_only, code in the file would run.
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a file of another kind fails in many ways
        raise BackboneError(
            f'The weights file "{file}" cannot be read as a state dict of torch ({reason(error)}); '
            "save it with torch.save(model.state_dict(), PATH)."
        ) from error
    tensors = state if isinstance(state, Mapping) else {}
    return {
        name: tensors[name].detach().float().numpy() for name in names if isinstance(tensors.get(name), torch.Tensor)
    }


def _misfits(file: Path, name: str, tensors: Mapping[str, np.ndarray], shape: tuple[int, ...]) -> Iterator[str]:
    if name not in tensors:
        yield f'The weights file "{file}" is not torchvision\'s AlexNet: it has no tensor "{name}".'
    elif tensors[name].shape != shape:
        yield (
            f'The tensor "{name}" in "{file}" has the shape {tensors[name].shape}, and the network needs {shape}; '
            "give torchvision's AlexNet with the same number of classes."
        )


def _in_torch(kernel: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of a Keras kernel in torch: outputs first, then inputs, height and width."""
    return kernel[-1], kernel[-2], *kernel[:-2]


def _in_keras(weight: np.ndarray, flattened: bool) -> np.ndarray:
    """Return a torch weight as a Keras kernel: height and width first, then inputs and outputs."""
    if flattened:
        # Torch flattens channel by channel, Keras position by position.
        outputs = len(weight)
        return weight.reshape(outputs, -1, *_POOLED).transpose(2, 3, 1, 0).reshape(-1, outputs)
    return np.moveaxis(weight, (1, 0), (-2, -1))
