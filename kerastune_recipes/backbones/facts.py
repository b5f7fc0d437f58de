"""Facts about a backbone, known before anything is decided."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from pydantic import Field

from kerastune_recipes.records import Record

_Number = Annotated[float, Field(allow_inf_nan=False)]
_Factor = Annotated[_Number, Field(gt=0)]


class Scaling(Record):
    """A preprocessing without a name: RGB pixels, 0..255, times `scale`, plus `offset`.

    Args:
        scale: One factor, or one for each of red, green and blue; above 0.
        offset: One summand, or one for each of red, green and blue.
    """

    scale: _Factor | tuple[_Factor, _Factor, _Factor]
    offset: _Number | tuple[_Number, _Number, _Number] = 0.0


NamedPreprocessing = Literal["identity", "caffe", "torch", "symmetric"]
Preprocessing = NamedPreprocessing | Scaling


def channels(numbers: Iterable[float]) -> float | tuple[float, float, float]:
    """Return the numbers for red, green and blue as a field of `Scaling`: one number when all three are equal."""
    red, green, blue = map(float, numbers)
    return red if red == green == blue else (red, green, blue)


@dataclass(frozen=True)
class LayerFacts:
    """One layer of the built backbone.

    Args:
        name: Name of the Keras layer.
        stage: Name of its stage.
        parameters: Number of weights, moving statistics included.
        statistics: Number of moving statistics among them, which no gradient trains.
        batch_norm: True for BatchNormalization.
    """

    name: str
    stage: str
    parameters: int
    statistics: int
    batch_norm: bool


@dataclass(frozen=True)
class TapFacts:
    """A possible tap, a layer whose output becomes features: the last layer of a stage, or any layer.

    Args:
        name: Name of the stage or of the layer.
        layer: Name of the Keras layer.
        shape: Height, width and channels of its output at the backbone's image size.
        inputs: Nearest layers before it that output a map of activations; none for the end of a stage.
    """

    name: str
    layer: str
    shape: tuple[int, int, int]
    inputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class PretrainedClassifierFacts:
    """The classifier that a backbone was pretrained with, as a start for a head.

    Args:
        problem: Why no head can start from it, as a sentence; empty when one can.
        classes: Number of its classes.
        names: Their names; empty when they are not available.
        ids: Their WordNet ids; empty when there are none or they are not available.
        names_problem: Why the names are not available, as a sentence; empty when they are.
    """

    problem: str = ""
    classes: int = 0
    names: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    names_problem: str = ""

    def label(self, index: int) -> str:
        """Return the name of a class and its index, or the index alone when names are not available.

        Example:
            >>> PretrainedClassifierFacts(classes=2, names=("ant", "bee")).label(1)
            'bee (1)'
        """
        return f"{self.names[index]} ({index})" if index < len(self.names) else str(index)


@dataclass(frozen=True)
class BackboneFacts:
    """A backbone as built at one image size; its weights need not be loaded.

    Args:
        name: Name in the table of backbones, or of the user's own model.
        weights: Origin of its weights, such as "imagenet" or "none".
        preprocessing: How raw pixels become its input.
        image_size: Height and width of its input, pixels (square).
        stages: Names of the stages, input side first.
        layers: Layers with weights or state, input side first.
        taps: The end of every stage, input side first.
        outputs: Layers that output a map of activations, input side first.
        companions: Further backbones of an ensemble.
        other_sizes: The same network at other image sizes, where the size of the head depends on it.
        pretrained_classifier: The classifier that it was pretrained with, for recipes that use it.
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
    other_sizes: tuple["BackboneFacts", ...] = ()
    pretrained_classifier: PretrainedClassifierFacts = PretrainedClassifierFacts(
        "the pretrained classifier of the backbone is unknown."
    )

    def tap(self, name: str) -> TapFacts | None:
        """Return the tap with the name of a stage or layer, or None."""
        return next((tap for tap in (*self.taps, *self.outputs) if tap.name == name), None)

    def up_to(self, taps: Sequence[str]) -> "BackboneFacts":
        """Return the facts of the part of the backbone up to the last of the taps."""
        order = [output.layer for output in self.outputs]
        last = max(order.index(tap.layer) for tap in map(self.tap, taps) if tap)
        ends = [order.index(tap.layer) for tap in self.taps]
        stages = 1 + next(stage for stage, end in enumerate(ends) if end >= last)
        unused = {*order[last + 1 :], *(layer.name for layer in self.layers if layer.stage not in self.stages[:stages])}
        return replace(
            self,
            stages=self.stages[:stages],
            layers=tuple(layer for layer in self.layers if layer.name not in unused),
            taps=tuple(tap for tap, end in zip(self.taps, ends, strict=True) if end <= last),
            outputs=self.outputs[: last + 1],
        )
