"""The digest of all that decides which features a network computes from an image."""

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from kerastune_recipes.model.network import Member

# What a configuration says of training alone; a frozen pass is the same whatever stands there.
_OF_TRAINING = {"trainable", "momentum", "rate"}


def fingerprint(member: Member, pooling: str) -> str:
    """Return a digest that changes with weights, layers, image size, preprocessing, taps or pooling.

    Args:
        member: The backbone as it is now; its weights are read.
        pooling: How its activations become features.

    Returns:
        32 hexadecimal digits, the same in every process; always others where a layer has no get_config.
    """
    found = hashlib.blake2b(digest_size=16)
    stated = {
        "image_size": member.plan.image_size,
        "convention": member.plan.preprocessing,
        "taps": list(member.taps),
        "pooling": pooling,
        "layers": _layers(member.backbone),
    }
    found.update(json.dumps(stated, sort_keys=True, default=str).encode())
    for weight in member.backbone.weights:
        found.update(np.asarray(keras.ops.convert_to_numpy(weight)).tobytes())
    return found.hexdigest()


def _layers(backbone: keras.Model) -> Any:
    """Return what the layers do, or what no other network has where a layer of a user's own does not tell."""
    try:
        # Its own name tells which place it has in an ensemble, nothing of what it does.
        return _of_inference({key: value for key, value in backbone.get_config().items() if key != "name"})
    except NotImplementedError:  # of a layer without get_config
        return uuid.uuid4().hex


def _of_inference(config: Any) -> Any:
    if isinstance(config, Mapping):
        return {key: _of_inference(value) for key, value in config.items() if key not in _OF_TRAINING}
    if isinstance(config, Sequence) and not isinstance(config, str):
        return [_of_inference(value) for value in config]
    return config
