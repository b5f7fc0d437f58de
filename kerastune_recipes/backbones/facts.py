"""What is known of the data and of the backbone before anything is decided."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from pydantic import Field

from kerastune_recipes.records import Record

_Number = Annotated[float, Field(allow_inf_nan=False)]
_Factor = Annotated[_Number, Field(gt=0)]


class Scaling(Record):
    """A preprocessing that has no name: pixels, RGB, 0..255, times `scale`, plus `offset`.

    Args:
        scale: One factor, or one for each of red, green and blue.
        offset: What is added afterwards, likewise.
    """

    scale: _Factor | tuple[_Factor, _Factor, _Factor]
    offset: _Number | tuple[_Number, _Number, _Number] = 0.0


NamedPreprocessing = Literal["identity", "caffe", "torch", "symmetric"]
Preprocessing = NamedPreprocessing | Scaling


def channels(numbers: Iterable[float]) -> float | tuple[float, float, float]:
    """Return three numbers, of red, green and blue, as a `Scaling` takes them; one where they are the same."""
    red, green, blue = map(float, numbers)
    return red if red == green == blue else (red, green, blue)


@dataclass(frozen=True)
class LayerFacts:
    """One layer of the built backbone.

    Args:
        name: The Keras layer's name.
        stage: Name of the stage it belongs to.
        parameters: Number of weights, moving statistics included.
        statistics: Of these, how many are never trained by gradient (moving statistics).
        batch_norm: True for BatchNormalization.
    """

    name: str
    stage: str
    parameters: int
    statistics: int
    batch_norm: bool


@dataclass(frozen=True)
class TapFacts:
    """A place whose activations can be taken as features: the end of a stage, or any layer.

    Args:
        name: Stage name, or layer name.
        layer: The Keras layer whose output it is.
        shape: Height, width and channels of that output at the image size in force.
        inputs: The layers, among those that put out a map of activations, that it is computed from directly.
    """

    name: str
    layer: str
    shape: tuple[int, int, int]
    inputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class PretrainedClassifierFacts:
    """The classifier that a backbone was pretrained with, as far as a head can be made of it.

    Args:
        lacking: Why no head can be made of it, as a sentence; empty where one can.
        classes: How many classes it has.
        names: Their names; none where they cannot be had.
        ids: Their WordNet ids; none where they have none, or cannot be had.
        nameless: Why the names cannot be had, as a sentence; empty where they are there.
    """

    lacking: str = ""
    classes: int = 0
    names: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    nameless: str = ""

    def called(self, index: int) -> str:
        """Return how to call a class: by its name, where it has one, and its index."""
        return f"{self.names[index]} ({index})" if index < len(self.names) else str(index)


@dataclass(frozen=True)
class BackboneFacts:
    """A backbone as built at one image size, without its weights being read.

    Args:
        name: Name in the table of backbones, or of the user's own model.
        weights: Where its weights come from, such as "imagenet" or "none".
        preprocessing: How raw pixels become its input.
        image_size: Height and width of its input, pixels (square).
        stages: Stage names, input side first.
        layers: Every layer that holds weights or changes state, input side first.
        taps: The end of every stage, input side first.
        outputs: Every layer whose output is a map of activations, input side first.
        companions: Further backbones whose features stand beside its own.
        elsewhere: The same network at other image sizes, where the size of the head depends on it.
        pretrained_classifier: The classifier it was pretrained with, where a recipe uses it.
    """

    name: str
    weights: str
    preprocessing: Preprocessing
    image_size: int
    stages: tuple[str, ...]
    layers: tuple[LayerFacts, ...]
    taps: tuple[TapFacts, ...]
    outputs: tuple[TapFacts, ...]
    companions: tuple["BackboneFacts", ...] = ()
    elsewhere: tuple["BackboneFacts", ...] = ()
    pretrained_classifier: PretrainedClassifierFacts = PretrainedClassifierFacts(
        "nothing is known of the classifier that the backbone was pretrained with."
    )

    def tap(self, name: str) -> TapFacts | None:
        """Return the tap of that stage or layer name, or None where there is none."""
        return next((tap for tap in (*self.taps, *self.outputs) if tap.name == name), None)

    def up_to(self, taps: Sequence[str]) -> "BackboneFacts":
        """Return the part of the backbone that the taps need: what lies behind the last of them is left out."""
        order = [output.layer for output in self.outputs]
        last = max(order.index(tap.layer) for tap in map(self.tap, taps) if tap)
        ends = [order.index(tap.layer) for tap in self.taps]
        stages = 1 + next(stage for stage, end in enumerate(ends) if end >= last)
        behind = {*order[last + 1 :], *(layer.name for layer in self.layers if layer.stage not in self.stages[:stages])}
        return replace(
            self,
            stages=self.stages[:stages],
            layers=tuple(layer for layer in self.layers if layer.name not in behind),
            taps=tuple(tap for tap, end in zip(self.taps, ends, strict=True) if end <= last),
            outputs=self.outputs[: last + 1],
        )
