"""Backbones of KerasHub: a preset's network, and what it says of its pixels."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np

from kerastune_recipes.backbones.build import SCALINGS, name_as_in_a_fresh_process, patiently
from kerastune_recipes.backbones.facts import Preprocessing, Scaling, channels
from kerastune_recipes.backbones.table import HUB, HUB_WEIGHTS
from kerastune_recipes.errors import BackboneError, did_you_mean, reason


@dataclass(frozen=True)
class Preset:
    """A preset of KerasHub, loaded.

    Args:
        network: Its backbone; whether it is one of images is left to `model.backbone.build`.
        weights: "preset" or "none".
        preprocessing: How raw pixels become its input.
        only_size: Height and width of its input where it takes one size only, pixels.
        default_size: What it was trained at, pixels, where it says so.
    """

    network: keras.Model
    weights: str
    preprocessing: Preprocessing
    only_size: int | None
    default_size: int | None


def load(name: str, weights: str, preprocessing: Preprocessing | Literal["auto"], dry: bool = False) -> Preset:
    """Load the backbone of a preset with `keras_hub.models.Backbone.from_preset`.

    Args:
        name: "hub:" and a name such as "resnet_18_imagenet", a handle such as "hf://user/preset", or the folder of a
            preset that was saved.
        weights: "preset" or "imagenet" for its own, "none" for random ones.
        preprocessing: "auto" for what the preset's ImageConverter does to pixels, apart from resizing.
        dry: Leave the weights random.

    Raises:
        BackboneError: KerasHub is not installed, there is no such preset, it cannot be had, or is none of images.

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
        with patiently():
            # The converter first: it is small, and a preset of texts has none.
            converter = _converter(keras_hub, preset)
            network = keras_hub.models.Backbone.from_preset(preset, load_weights=weights == "preset" and not dry)
    except OSError as error:  # those of requests, with which presets are downloaded, are of this kind too
        if Path(preset).is_dir():
            raise BackboneError(f"{name} cannot be read ({reason(error)}).") from error
        raise BackboneError(
            f"{name} could not be downloaded ({reason(error)}): connect to the network once, or give the folder of a "
            f"preset that was saved, as in {HUB}FOLDER."
        ) from error
    except Exception as error:  # a preset of another kind fails in many ways
        raise BackboneError(f"{name} cannot be loaded as a backbone of images ({reason(error)}).") from error
    if preprocessing == "auto":
        if converter is None:
            raise BackboneError(
                f"{name} does not say how raw pixels become its input, for it has no image converter; set "
                "backbone.preprocessing."
            )
        preprocessing = _convention(converter)
    # Without the folders of a path: Keras allows no slash in a name.
    network.name = Path(preset).name
    name_as_in_a_fresh_process(network)
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
    except ImportError as error:  # it, or something it needs
        raise BackboneError(
            f"{name} takes KerasHub, which cannot be imported here ({reason(error)}); install it with: "
            "pip install keras-hub"
        ) from error
    return keras_hub


def _converter(keras_hub: Any, preset: str) -> Any:
    """Return what turns raw images into the backbone's input, or None where the preset does not say."""
    try:
        return keras_hub.layers.ImageConverter.from_preset(preset)
    except FileNotFoundError:
        return None


def _convention(converter: Any) -> Preprocessing:
    """Return the preprocessing of an ImageConverter; one that has a name is called by it."""
    scale = 1.0 if converter.scale is None else converter.scale
    offset = 0.0 if converter.offset is None else converter.offset
    for name, scaling in SCALINGS.items():
        if np.allclose(scale, scaling.scale) and np.allclose(offset, scaling.offset):
            return name
    return Scaling(scale=channels(np.broadcast_to(scale, 3)), offset=channels(np.broadcast_to(offset, 3)))


def _only_size(network: keras.Model) -> int | None:
    shapes = [tuple(tensor.shape) for tensor in network.inputs]
    return shapes[0][1] if len(shapes) == 1 and len(shapes[0]) == 4 else None
