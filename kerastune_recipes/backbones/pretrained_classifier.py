"""The classifier that a backbone was pretrained with: what is known of it, and its weights."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import h5py
import keras
import numpy as np

from kerastune_recipes.backbones.build import keras_home, patiently
from kerastune_recipes.backbones.facts import PretrainedClassifierFacts
from kerastune_recipes.backbones.table import BACKBONES, Backbone
from kerastune_recipes.demo.network import CLASSIFIER_FILE
from kerastune_recipes.errors import BackboneError, reason

Found = TypeVar("Found")

IMAGENET_CLASSES = 1000
_NAMES_FILE = "imagenet_class_index.json"


@dataclass(frozen=True)
class Source:
    """A classifier as a dense layer on the averages of the backbone's output over all positions.

    Args:
        kernel: float32 (d, classes).
        bias: float32 (classes,).
    """

    kernel: np.ndarray
    bias: np.ndarray


def classifier_facts(name: str, weights: str) -> PretrainedClassifierFacts:
    """Return what is known of the classifier that a backbone was pretrained with, without reading its weights.

    The names of ImageNet's classes are Keras's own, downloaded by Keras where they are not there yet.

    Args:
        name: Of the backbone.
        weights: Where its weights come from, such as "imagenet".

    Example:
        >>> classifier_facts("DemoNet", "demo").names[0]
        'A'
    """
    backbone = BACKBONES.get(name)
    if backbone is None or weights != backbone.pretrained:
        known = f"write weights: {backbone.pretrained}, or take" if backbone else "take"
        return PretrainedClassifierFacts(
            f'no classifier comes with {name} and its weights "{weights}"; {known} another head.'
        )
    if not backbone.classifier:
        return PretrainedClassifierFacts(
            f"the classifier that {name} was pretrained with is not a single layer on the average of its last stage; "
            f"take a backbone where it is, such as ResNet50, EfficientNetV2B0 or MobileNetV2, or another head."
        )
    if weights == "demo":
        names = tuple(_demo()["names"].tolist())
        return PretrainedClassifierFacts(classes=len(names), names=names)
    try:
        ids, names = _imagenet_classes()
    except BackboneError as error:
        return PretrainedClassifierFacts(classes=IMAGENET_CLASSES, nameless=str(error))
    return PretrainedClassifierFacts(classes=IMAGENET_CLASSES, names=names, ids=ids)


def load_classifier(name: str) -> Source:
    """Read the weights of the classifier that a backbone was pretrained with.

    Args:
        name: A backbone whose `classifier_facts` lack nothing.

    Raises:
        BackboneError: They cannot be had.
    """
    backbone = BACKBONES[name]
    if backbone.pretrained == "demo":
        kernel, bias = _demo()["kernel"], _demo()["bias"]
    else:
        kernel, bias = _imagenet_classifier(backbone)
    # A convolution over a single position is a dense layer.
    return Source(kernel.reshape(-1, kernel.shape[-1]).astype(np.float32), bias.astype(np.float32))


def _demo() -> dict[str, np.ndarray]:
    with np.load(CLASSIFIER_FILE) as content:
        return dict(content)


def _imagenet_classes() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return WordNet ids and names of ImageNet's classes, by index."""

    def read(file: Path) -> list[tuple[str, str]]:
        content = json.loads(file.read_text(encoding="utf-8"))
        pairs = [content[str(index)] for index in range(IMAGENET_CLASSES)]
        return [(str(wordnet_id), str(name)) for wordnet_id, name in pairs]

    def download() -> list[tuple[str, str]]:
        # Each class is given a score of its own, so that the order tells its index.
        scores = np.arange(IMAGENET_CLASSES, 0, -1, dtype="float32")[None]
        named = keras.applications.imagenet_utils.decode_predictions(scores, top=IMAGENET_CLASSES)
        return [(wordnet_id, name) for wordnet_id, name, _ in named[0]]

    found = _from_keras(
        _NAMES_FILE,
        read,
        download,
        what="The names of ImageNet's classes",
        instead=f"give indices of 0 to {IMAGENET_CLASSES - 1} for names and ids",
    )
    ids, names = zip(*found, strict=True)
    return ids, names


def _imagenet_classifier(backbone: Backbone) -> tuple[np.ndarray, np.ndarray]:
    """Return kernel and bias as the classifier's layer has them."""

    def read(file: Path) -> tuple[np.ndarray, np.ndarray]:
        with h5py.File(file) as content:
            layer = content[backbone.classifier]
            kernel, bias = (np.asarray(layer[name]) for name in layer.attrs["weight_names"])
        return kernel, bias

    def download() -> tuple[np.ndarray, np.ndarray]:
        constructor: Callable[..., keras.Model] = getattr(keras.applications, backbone.constructor)
        pretrained = constructor(include_top=True, weights="imagenet", **backbone.arguments)
        kernel, bias = pretrained.get_layer(backbone.classifier).get_weights()
        return kernel, bias

    return _from_keras(
        backbone.classifier_file,
        read,
        download,
        what=f"The ImageNet weights of {backbone.name} with its classifier",
        instead="take another head than pretrained_classifier",
    )


def _from_keras(
    name: str, read: Callable[[Path], Found], download: Callable[[], Found], what: str, instead: str
) -> Found:
    """Return what is in one of Keras's own files, downloaded by Keras where it is not there yet.

    Args:
        name: Of the file in the folder models/ of Keras's home.
        read: Reads the file.
        download: Lets Keras get it and returns the same.
        what: It holds, at the beginning of a sentence.
        instead: What to do where it cannot be had, at the end of a sentence.

    Raises:
        BackboneError: It is damaged, or not there and cannot be downloaded.
    """
    file = keras_home() / "models" / name
    if file.is_file():
        try:
            return read(file)
        except Exception as error:  # what is damaged fails in many ways: OSError, KeyError, ValueError ...
            raise BackboneError(
                f'{what} cannot be read from "{file}" ({reason(error)}): remove the file, so that Keras gets it anew, '
                f"or {instead}."
            ) from error
    try:
        with patiently():
            return download()
    except Exception as error:  # Keras raises a bare Exception where a download fails
        raise BackboneError(
            f'{what} are not at "{file}", where Keras looks for them, and could not be downloaded ({reason(error)}): '
            f"connect to the network once, or put {name} there or set KERAS_HOME to a folder that has it in models/, "
            f"or {instead}."
        ) from error
