"""What the phases of a run did; the report shows it and the checkpoint stores it."""

from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import numpy as np


@dataclass(frozen=True)
class Outcome:
    """What one phase did.

    Args:
        name: Name of the phase.
        kind: "solve" or "fit".
        seconds: Wall time.
        steps: Number of optimizer updates; 0 for a solved head.
        trainable_parameters: Number of weights that the phase changed.
        frozen_parameters: Number of all other weights.
        validation: Metrics on the validation images, see `metrics.summary`.
        choices: What the phase chose by itself, such as the strength of regularization.
        rows: One row of training history for each epoch.
    """

    name: str
    kind: str
    seconds: float
    steps: int
    trainable_parameters: int
    frozen_parameters: int
    validation: dict[str, Any]
    choices: dict[str, Any]
    rows: tuple[dict[str, float], ...]

    @property
    def batch_parts(self) -> int:
        """Number of parts in which the device saw each batch, above 1 where it had no memory for the whole."""
        return self.choices.get("batch_parts", 1)

    @property
    def discarded(self) -> bool:
        """Whether nothing of a fit phase was kept, so that the model after it is the one before it."""
        return self.choices.get("interpolation") == 0

    def to_data(self) -> dict[str, Any]:
        """Return the outcome as plain data that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Self:
        """Return the outcome that `to_data` turned into plain data."""
        return cls(**{**data, "rows": tuple(data["rows"])})


@dataclass(frozen=True)
class Selection:
    """The outcomes of all phases, and which of them the returned model comes from.

    Args:
        outcomes: Outcomes of all phases, in order.
        chosen: Position of the chosen phase, whose weights the network has.
        probabilities: Probabilities of the images that judged, float32 (n, k), each by a model that was not trained on
            it, chosen and calibrated by other images.
        refitted: What was then refitted on all images, those that judged included: its "head", "all", or "none".
    """

    outcomes: list[Outcome]
    chosen: int
    probabilities: np.ndarray
    refitted: Literal["none", "head", "all"]
