"""A digest of everything that determines which features a network computes from an image."""

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from kerastune_recipes.model.network import Member

# Keys of layer configurations that matter only in training; the forward pass of a frozen network ignores them.
_TRAINING_KEYS = {"trainable", "momentum", "rate"}


def fingerprint(member: Member, pooling: str) -> str:
    """Return a digest that changes with weights, layers, image size, preprocessing, taps or pooling.

    Args:
        member: The backbone with its present weights, which are read.
        pooling: Pooling of its activations into features.

    Returns:
        32 hexadecimal digits, the same in every process; different ones each time where a layer has no get_config.
    """
    digest = hashlib.blake2b(digest_size=16)
    stated = {
        "image_size": member.plan.image_size,
        # The old word for preprocessing: another key would change the digest, and existing caches would not be found.
        "convention": member.plan.preprocessing,
        "taps": list(member.taps),
        "pooling": pooling,
        "layers": _layers(member.backbone),
    }
    digest.update(json.dumps(stated, sort_keys=True, default=str).encode())
    for weight in member.backbone.weights:
        digest.update(np.asarray(keras.ops.convert_to_numpy(weight)).tobytes())
    return digest.hexdigest()


def weights_digest(network: keras.Model) -> str:
    """Return a digest of all weights of a network: 32 hexadecimal digits, the same in every process.

    Args:
        network: The network; its weights are read.
    """
    digest = hashlib.blake2b(digest_size=16)
    for weight in network.weights:
        values = np.asarray(keras.ops.convert_to_numpy(weight))
        digest.update(f"{values.shape} {values.dtype}".encode() + values.tobytes())
    return digest.hexdigest()


def _layers(backbone: keras.Model) -> Any:
    """Return the configuration of the layers, or a unique value where a user's own layer does not give one."""
    try:
        # The name of the network is its position in an ensemble, which does not affect its features.
        return _for_inference({key: value for key, value in backbone.get_config().items() if key != "name"})
    except NotImplementedError:  # a layer without get_config
        return uuid.uuid4().hex


def _for_inference(config: Any) -> Any:
    if isinstance(config, Mapping):
        return {key: _for_inference(value) for key, value in config.items() if key not in _TRAINING_KEYS}
    if isinstance(config, Sequence) and not isinstance(config, str):
        return [_for_inference(value) for value in config]
    return config
