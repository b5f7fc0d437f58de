"""A digest of everything that determines which features a network computes from an image."""

import hashlib
import importlib
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import PIL
import PIL.features

from kerastune_recipes.model import forward
from kerastune_recipes.model.network import Member

# Keys that matter only in training, in the configurations of Keras's own layers; the forward pass of a frozen network
# ignores them. In a layer of the user's own they may mean anything.
_TRAINING_KEYS = {"trainable", "momentum", "rate"}
# Packages whose layers do what their configuration and the version of the package say.
_KNOWN_PACKAGES = ("keras", "keras_hub")
# Layers of Keras that run other code: a function with a closure, a model in a file.
_RUN_OTHER_CODE = {"Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"}
# The features of the probe images are rounded to this share of their deviation, after they were combined into a few
# numbers. Differences of 1e-6, which devices make, then change a digest in less than 1% of all cases, and a difference
# of 1e-3 stays unseen in less than 1%.
_GRID = 0.01
_COMBINATIONS = 2


def fingerprint(member: Member, pooling: str) -> str:
    """Return a digest that changes with whatever changes the features of an image.

    Each part is there because features once differed by it alone:

    - image size, preprocessing, taps and pooling: what is computed;
    - the layers and their weights. Of Keras's own layers, the keys that matter only in training are left out, so that
      a phase that only freezes layers finds the features again; a layer of the user's own may use such a key for
      anything;
    - the backend, and the versions of Keras, of the backend and of Pillow with its JPEG decoder: another version may
      decode an image, or compute a layer, another way;
    - where a layer is not Keras's own, the features of a few fixed images. Its code is not in its configuration, and
      neither are arrays or closures that it uses.

    Args:
        member: The backbone with its present weights, which are read.
        pooling: Pooling of its activations into features.

    Returns:
        32 hexadecimal digits, the same in every process; different ones each time where a layer has no get_config.
    """
    digest = hashlib.blake2b(digest_size=16)
    layers = _layers(member.backbone)
    stated = {
        "image_size": member.plan.image_size,
        "preprocessing": member.plan.preprocessing,
        "taps": list(member.taps),
        "pooling": pooling,
        "layers": layers,
        "versions": _versions(layers),
    }
    digest.update(json.dumps(stated, sort_keys=True, default=str).encode())
    for weight in member.backbone.weights:
        digest.update(np.asarray(keras.ops.convert_to_numpy(weight)).tobytes())
    if not all(map(_is_known, _objects(layers))):
        digest.update(_features_of_probe(member))
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
    """Return the network as data, or a unique value where a user's own layer does not give its configuration."""
    try:
        # The name of the network is its position in an ensemble, which does not affect its features.
        config = {key: value for key, value in backbone.get_config().items() if key != "name"}
    except NotImplementedError:  # a layer without get_config
        return uuid.uuid4().hex
    kind = type(backbone)
    return _for_inference({"module": kind.__module__, "class_name": kind.__name__, "config": config})


def _for_inference(part: Any, known: bool = False) -> Any:
    """Leave out what matters only in training; `known` is whether the part is the configuration of a known layer."""
    if isinstance(part, Mapping):
        inside = _is_object(part) and _is_known(part)
        return {
            key: _for_inference(value, known=inside and key == "config")
            for key, value in part.items()
            if not (known and key in _TRAINING_KEYS)
        }
    if isinstance(part, Sequence) and not isinstance(part, str):
        return [_for_inference(value) for value in part]
    return part


def _objects(part: Any) -> Iterator[Mapping[str, Any]]:
    """Yield all layers, functions and other objects in the data of a network, each as Keras describes it."""
    if isinstance(part, Mapping):
        if _is_object(part):
            yield part
        for value in part.values():
            yield from _objects(value)
    elif isinstance(part, Sequence) and not isinstance(part, str):
        for value in part:
            yield from _objects(value)


def _is_object(part: Mapping[str, Any]) -> bool:
    return "class_name" in part and "module" in part


def _is_known(part: Mapping[str, Any]) -> bool:
    """Return whether the configuration of an object says all that it does."""
    return _package(part) in _KNOWN_PACKAGES and part["class_name"] not in _RUN_OTHER_CODE


def _package(part: Mapping[str, Any]) -> str:
    # Keras leaves out the module of classes that it cannot import by it.
    return str(part["module"]).partition(".")[0]


def _versions(layers: Any) -> dict[str, str]:
    """Return the versions of what decodes images and computes layers."""
    used = {_package(part) for part in _objects(layers)}
    packages = {"keras", keras.backend.backend(), *used.intersection(_KNOWN_PACKAGES)}
    found = {package: str(getattr(importlib.import_module(package), "__version__", "")) for package in packages}
    return {**found, "backend": keras.backend.backend(), "PIL": f"{PIL.__version__}, {PIL.features.version('jpg')}"}


def _features_of_probe(member: Member) -> bytes:
    """Return the features of a few fixed images, combined into some numbers and rounded."""
    run, _ = forward.forward(member.extractor)
    return _rounded(np.asarray(run(_probe(member.plan.image_size)), np.float64))


def _probe(size: int) -> np.ndarray:
    """Return images with structure at all scales, uint8 (32, s, s, 3): ramps, checkerboards, noise, and all of them."""
    y, x = np.mgrid[:size, :size]
    random = np.random.default_rng(0)
    channels = np.arange(3)
    images = []
    for cell in (1, 2, 4, 8, 16, 32, 64, 128):
        ramps = ((x + 2 * y)[..., None] + cell * channels) % (2 * cell) / (2 * cell)
        board = np.where(((x // cell + y // cell) % 2)[..., None], random.random(3), random.random(3))
        cells = random.random((-(-size // cell), -(-size // cell), 3))
        noise = cells[y // cell, x // cell]
        images += [ramps, board, noise, (ramps + board * noise) / 2]
    return (255 * np.stack(images)).astype(np.uint8)


def _rounded(features: np.ndarray) -> bytes:
    """Combine features into a few numbers by random signs, and round these.

    Rounding each feature would not do: among thousands, one is always next to the border between two steps.

    Args:
        features: float64 (n, d).
    """
    finite = np.isfinite(features)
    if not finite.all():
        return finite.tobytes()
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    sizes = [max(float(np.square(one).mean()) ** 0.5, 1e-30) for one in (mean, deviation)]
    # Features that hardly vary would consist of nothing but rounding errors, made large.
    varied = (features - mean) / (deviation + 1e-3 * sizes[1])
    rows = np.concatenate([varied, [mean / sizes[0], deviation / sizes[1]]])
    width = features.shape[1]
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (width, _COMBINATIONS))
    combined = np.append((rows @ signs / width**0.5).ravel(), np.log(sizes))
    return np.round(combined / _GRID).astype(np.int64).tobytes()
