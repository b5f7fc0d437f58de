"""The classifier that a backbone was pretrained with: its facts and its weights."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import h5py
import keras
import numpy as np

from kerastune_recipes.backbones.build import download_failed, download_timeout, keras_home
from kerastune_recipes.backbones.facts import PretrainedClassifierFacts
from kerastune_recipes.backbones.table import BACKBONES, Backbone
from kerastune_recipes.demo.network import CLASSIFIER_FILE
from kerastune_recipes.errors import BackboneError, reason

Content = TypeVar("Content")

IMAGENET_CLASSES = 1000
_NAMES_FILE = "imagenet_class_index.json"


@dataclass(frozen=True)
class PretrainedClassifier:
    """The classifier as a dense layer on the backbone's output averaged over all positions.

    Args:
        kernel: float32 (channels, classes).
        bias: float32 (classes,).
    """

    kernel: np.ndarray
    bias: np.ndarray


def classifier_facts(name: str, weights: str) -> PretrainedClassifierFacts:
    """Return the facts of the classifier that a backbone was pretrained with, without reading its weights.

    The names of ImageNet's classes come from Keras, which downloads them once.

    Args:
        name: Name of the backbone.
        weights: Origin of its weights, such as "imagenet".

    Example:
        >>> classifier_facts("DemoNet", "demo").names[0]
        'A'
    """
    backbone = BACKBONES.get(name)
    if backbone is None or weights != backbone.pretrained:
        choice = f"write weights: {backbone.pretrained}, or use" if backbone else "use"
        return PretrainedClassifierFacts(
            f'{name} with weights "{weights}" has no pretrained classifier; {choice} another head.'
        )
    if not backbone.classifier:
        return PretrainedClassifierFacts(
            f"the pretrained classifier of {name} is not a single layer on the averaged output of the last stage; "
            "use a backbone where it is, such as ResNet50, EfficientNetV2B0 or MobileNetV2, or another head."
        )
    if weights == "demo":
        names = tuple(_demo()["names"].tolist())
        return PretrainedClassifierFacts(classes=len(names), names=names)
    try:
        ids, names = _imagenet_classes()
    except BackboneError as error:
        return PretrainedClassifierFacts(classes=IMAGENET_CLASSES, names_problem=str(error))
    return PretrainedClassifierFacts(classes=IMAGENET_CLASSES, names=names, ids=ids)


def load_classifier(name: str) -> PretrainedClassifier:
    """Load the classifier that a backbone was pretrained with.

    Args:
        name: Name of a backbone whose `classifier_facts` have no problem.

    Raises:
        BackboneError: The weights cannot be read or downloaded.
    """
    backbone = BACKBONES[name]
    if backbone.pretrained == "demo":
        kernel, bias = _demo()["kernel"], _demo()["bias"]
    else:
        kernel, bias = _imagenet_classifier(backbone)
    # The classifier of MobileNet is a convolution over a single position, which is a dense layer.
    return PretrainedClassifier(kernel.reshape(-1, kernel.shape[-1]).astype(np.float32), bias.astype(np.float32))


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
        # Falling scores, so that the classes are returned in the order of their indices.
        scores = np.arange(IMAGENET_CLASSES, 0, -1, dtype="float32")[None]
        named = keras.applications.imagenet_utils.decode_predictions(scores, top=IMAGENET_CLASSES)
        return [(wordnet_id, name) for wordnet_id, name, _ in named[0]]

    classes = _from_keras(
        _NAMES_FILE,
        read,
        download,
        what="The names of ImageNet's classes",
        instead=f"give indices from 0 to {IMAGENET_CLASSES - 1} in place of names and ids",
    )
    ids, names = zip(*classes, strict=True)
    return ids, names


def _imagenet_classifier(backbone: Backbone) -> tuple[np.ndarray, np.ndarray]:
    """Return kernel and bias in the shapes of the classifier's layer."""

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
        instead="use another head than pretrained_classifier",
    )


def _from_keras(
    name: str, read: Callable[[Path], Content], download: Callable[[], Content], what: str, instead: str
) -> Content:
    """Return the content of one of Keras's own files; Keras downloads it when it is missing.

    Args:
        name: Name of the file in models/ of Keras's home.
        read: Reads the file.
        download: Lets Keras download the file and returns its content.
        what: Description of the content, as the beginning of a sentence.
        instead: What to do without the file, as the end of a sentence.

    Raises:
        BackboneError: The file is damaged, or missing and cannot be downloaded.
    """
    file = keras_home() / "models" / name
    if file.is_file():
        try:
            return read(file)
        except Exception as error:  # a damaged file fails in many ways: OSError, KeyError, ValueError ...
            raise BackboneError(
                f'{what} cannot be read from "{file}" ({reason(error)}): delete the file so that Keras downloads it '
                f"again, or {instead}."
            ) from error
    try:
        with download_timeout():
            return download()
    except Exception as error:  # Keras raises a bare Exception when a download fails
        raise BackboneError(download_failed(what, file, error, instead)) from error
