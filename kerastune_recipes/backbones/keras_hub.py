"""Backbones of KerasHub: the network of a preset, and its preprocessing."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np

from kerastune_recipes.backbones.build import SCALINGS, download_timeout, renumber_layers
from kerastune_recipes.backbones.facts import Preprocessing, Scaling, channels
from kerastune_recipes.backbones.table import HUB, HUB_WEIGHTS
from kerastune_recipes.errors import BackboneError, did_you_mean, reason


@dataclass(frozen=True)
class Preset:
    """A loaded preset of KerasHub.

    Args:
        network: Its backbone; `build.build` checks that it takes images.
        weights: "preset" or "none".
        preprocessing: How raw pixels become its input.
        only_size: Height and width of its input, pixels, when it takes only one size; else None.
        default_size: Height and width of its training images, pixels; None when the preset does not have it.
    """

    network: keras.Model
    weights: str
    preprocessing: Preprocessing
    only_size: int | None
    default_size: int | None


def load(name: str, weights: str, preprocessing: Preprocessing | Literal["auto"], dry: bool = False) -> Preset:
    """Load the backbone of a preset with `keras_hub.models.Backbone.from_preset`.

    Args:
        name: "hub:" followed by a name such as "resnet_18_imagenet", a handle such as "hf://user/preset", or the folder
            of a saved preset.
        weights: "preset" or "imagenet" for its own weights, "none" for random ones.
        preprocessing: How raw pixels become its input; "auto" for the preset's ImageConverter without the resizing.
        dry: Leave the weights random.

    Raises:
        BackboneError: KerasHub is not installed, the preset does not exist, cannot be loaded, or does not take images.

    Example:
        >>> load("hub:resnet_18_imagenet", "preset", "auto").preprocessing
        'torch'
    """
    if weights not in HUB_WEIGHTS:
        raise BackboneError(f'{name} has no weights "{weights}"; write "preset" for its own, or "none".')
    weights = "none" if weights == "none" else "preset"
    preset = name.removeprefix(HUB)
    keras_hub = _imported(name)
    known = keras_hub.models.Backbone.presets
    if preset not in known and "://" not in preset and not Path(preset).is_dir():
        raise BackboneError(
            f'KerasHub {keras_hub.__version__} has no preset "{preset}", and there is no folder of that name.'
            f"{did_you_mean(preset, known)}"
        )
    try:
        with download_timeout():
            # The converter first: it is small, and a text preset has none.
            converter = _converter(keras_hub, preset)
            network = keras_hub.models.Backbone.from_preset(preset, load_weights=weights == "preset" and not dry)
    except OSError as error:  # the errors of requests, which downloads presets, are OSErrors too
        if Path(preset).is_dir():
            raise BackboneError(f"{name} cannot be read ({reason(error)}).") from error
        raise BackboneError(
            f"{name} could not be downloaded ({reason(error)}): connect to the internet once, or give the folder of a "
            f"saved preset, such as {HUB}FOLDER."
        ) from error
    except Exception as error:  # a preset of another kind fails in many ways
        raise BackboneError(f"{name} cannot be loaded as an image backbone ({reason(error)}).") from error
    if preprocessing == "auto":
        if converter is None:
            raise BackboneError(
                f"{name} has no image converter, so its preprocessing is unknown; set backbone.preprocessing."
            )
        preprocessing = _preprocessing(converter)
    # Without the folders of a path: Keras allows no slash in a name.
    network.name = Path(preset).name
    renumber_layers(network)
    return Preset(
        network=network,
        weights=weights,
        preprocessing=preprocessing,
        only_size=_only_size(network),
        default_size=max(converter.image_size) if converter is not None and converter.image_size else None,
    )


def _imported(name: str) -> Any:
    try:
        import keras_hub
    except ImportError as error:  # of KerasHub, or of something it needs
        raise BackboneError(
            f"{name} needs KerasHub, which cannot be imported ({reason(error)}); install it with: pip install keras-hub"
        ) from error
    return keras_hub


def _converter(keras_hub: Any, preset: str) -> Any:
    """Return the preset's ImageConverter, or None when it has none."""
    try:
        return keras_hub.layers.ImageConverter.from_preset(preset)
    except FileNotFoundError:
        return None


def _preprocessing(converter: Any) -> Preprocessing:
    """Return the preprocessing of an ImageConverter, by its name if it has one."""
    scale = 1.0 if converter.scale is None else converter.scale
    offset = 0.0 if converter.offset is None else converter.offset
    for name, scaling in SCALINGS.items():
        if np.allclose(scale, scaling.scale) and np.allclose(offset, scaling.offset):
            return name
    return Scaling(scale=channels(np.broadcast_to(scale, 3)), offset=channels(np.broadcast_to(offset, 3)))


def _only_size(network: keras.Model) -> int | None:
    shapes = [tuple(tensor.shape) for tensor in network.inputs]
    return shapes[0][1] if len(shapes) == 1 and len(shapes[0]) == 4 else None
