"""The digest of all that decides which features a network computes from an image."""

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from kerastune_recipes.model.assemble import Network
from kerastune_recipes.plan import Plan

# What a configuration says of training alone; a frozen pass is the same whatever stands there.
_OF_TRAINING = {"trainable", "momentum", "rate"}


def fingerprint(network: Network, plan: Plan) -> str:
    """Return a digest that changes with weights, layers, image size, preprocessing, taps or pooling.

    Args:
        network: The model as it is now; its weights are read.
        plan: What it was built from.

    Returns:
        32 hexadecimal digits, the same in every process; always others where a layer has no get_config.
    """
    found = hashlib.blake2b(digest_size=16)
    stated = {
        "image_size": plan.backbone.image_size,
        "convention": plan.backbone.convention,
        "taps": list(plan.features.taps),
        "pooling": plan.head.pooling,
        "layers": _layers(network.backbone),
    }
    found.update(json.dumps(stated, sort_keys=True, default=str).encode())
    for weight in network.backbone.weights:
        found.update(np.asarray(keras.ops.convert_to_numpy(weight)).tobytes())
    return found.hexdigest()


def _layers(backbone: keras.Model) -> Any:
    """Return what the layers do, or what no other network has where a layer of a user's own does not tell."""
    try:
        return _of_inference(backbone.get_config())
    except NotImplementedError:  # of a layer without get_config
        return uuid.uuid4().hex


def _of_inference(config: Any) -> Any:
    if isinstance(config, Mapping):
        return {key: _of_inference(value) for key, value in config.items() if key not in _OF_TRAINING}
    if isinstance(config, Sequence) and not isinstance(config, str):
        return [_of_inference(value) for value in config]
    return config
