"""DemoNet: a residual network for images of about 32 pixels, small enough to ship its weights with the package."""

from pathlib import Path
from typing import Any

import keras
from keras import layers

from kerastune_recipes.errors import BackboneError

# Written by kerastune_recipes.demo.pretrain: the weights, and the classifier that they were trained with.
WEIGHTS_FILE = Path(__file__).parent / "glyphs.weights.h5"
CLASSIFIER_FILE = WEIGHTS_FILE.with_name("glyphs_classifier.npz")

# Channels of the stem and of each stage. A stage halves height and width, so that 32 pixels become 4 x 4 before
# pooling.
STEM_WIDTH = 32
STAGE_WIDTHS = (32, 64, 160)

SMALLEST_SIZE = 16
DEFAULT_SIZE = 32

# The default of Keras, 0.99, needs hundreds of updates to forget the initial statistics, too many for small data.
_BATCH_NORM_MOMENTUM = 0.9


def preprocess_input(x: Any) -> Any:
    """Scale raw pixels from 0..255 to the [-1, 1] that DemoNet expects.

    Args:
        x: Array or tensor of any shape, 0..255.

    Returns:
        The same shape, floating point, -1..1.

    Example:
        >>> preprocess_input(255)
        1.0
    """
    return x / 127.5 - 1.0


def DemoNet(
    include_top: bool = True,
    weights: str | Path | None = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: str | None = None,
    classes: int = 10,
    name: str = "demonet",
) -> keras.Model:
    """Build DemoNet with the interface of keras.applications; its input is an image scaled to [-1, 1].

    Args:
        include_top: Whether to end with global average pooling and a softmax layer.
        weights: None for random weights, "demo" for weights pretrained on letters (without top only), or the path of a
            `.weights.h5` file.
        input_shape: (height, width, 3), each at least 16 or None for any; None is (32, 32, 3) with top, (None, None, 3)
            without.
        pooling: Without top: None for the 4-D output, "avg" or "max" for features pooled to (batch, 160).
        classes: Number of classes of the softmax layer.
        name: Name of the model.

    Returns:
        A functional model; its stages end with the layers stem_relu, stage1_out, stage2_out and stage3_out.

    Raises:
        BackboneError: An argument is out of range, or the weights do not exist or do not fit.

    Example:
        >>> DemoNet(include_top=False, weights="demo", pooling="avg").output_shape
        (None, 160)
    """
    if input_shape is None:
        input_shape = (DEFAULT_SIZE, DEFAULT_SIZE, 3) if include_top else (None, None, 3)
    problems = _problems(include_top, weights, tuple(input_shape), pooling, classes)
    if problems:
        raise BackboneError(*problems)

    inputs = keras.Input(input_shape, name="image")
    x = _convolution(inputs, STEM_WIDTH, "stem")
    x = layers.ReLU(name="stem_relu")(x)
    for number, width in enumerate(STAGE_WIDTHS, start=1):
        x = _stage(x, width, f"stage{number}")
    if include_top:
        x = layers.GlobalAveragePooling2D(name="pool")(x)
        x = layers.Dense(classes, activation="softmax", name="predictions")(x)
    elif pooling == "avg":
        x = layers.GlobalAveragePooling2D(name="pool")(x)
    elif pooling == "max":
        x = layers.GlobalMaxPooling2D(name="pool")(x)
    model = keras.Model(inputs, x, name=name)
    if weights is not None:
        _load(model, WEIGHTS_FILE if weights == "demo" else Path(weights))
    return model


def _convolution(x, width: int, name: str, kernel: int = 3, stride: int = 1):
    # BatchNormalization adds an offset, so a bias would be redundant.
    x = layers.Conv2D(width, kernel, stride, padding="same", use_bias=False, name=f"{name}_conv")(x)
    return layers.BatchNormalization(momentum=_BATCH_NORM_MOMENTUM, name=f"{name}_bn")(x)


def _stage(x, width: int, name: str):
    """Add a residual block that halves height and width."""
    shortcut = _convolution(x, width, f"{name}_shortcut", kernel=1, stride=2)
    x = _convolution(x, width, f"{name}_1", stride=2)
    x = layers.ReLU(name=f"{name}_1_relu")(x)
    x = _convolution(x, width, f"{name}_2")
    x = layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.ReLU(name=f"{name}_out")(x)


def _problems(include_top, weights, input_shape, pooling, classes) -> list[str]:
    problems = []
    if len(input_shape) != 3 or input_shape[2] != 3:
        problems.append(f"DemoNet takes an input_shape of (height, width, 3); received {input_shape}.")
    elif any(side is not None and side < SMALLEST_SIZE for side in input_shape[:2]):
        problems.append(f"DemoNet needs images of at least {SMALLEST_SIZE} pixels a side; received {input_shape}.")
    if pooling not in (None, "avg", "max"):
        problems.append(f'pooling must be None, "avg" or "max"; received {pooling!r}.')
    if include_top and classes < 1:
        problems.append(f"classes must be at least 1; received {classes}.")
    if weights == "demo" and include_top:
        problems.append('The weights "demo" have no classification head; pass include_top=False.')
    if weights not in (None, "demo") and not Path(weights).is_file():
        problems.append(f'weights must be None, "demo" or the path of a .weights.h5 file; received "{weights}".')
    return problems


def _load(model: keras.Model, path: Path) -> None:
    try:
        model.load_weights(path)
    except (OSError, ValueError) as error:
        raise BackboneError(f'The weights "{path}" do not fit DemoNet: {error}') from error
