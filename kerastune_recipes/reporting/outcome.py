"""What one phase did, as report and checkpoint keep it."""

from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Outcome:
    """What one phase did.

    Args:
        name: The phase.
        kind: "solve" or "fit".
        seconds: Wall time.
        steps: Optimizer updates.
        trainable_parameters: Weights that it changed.
        frozen_parameters: All others.
        validation: Metrics on the validation images, see `metrics.summary`.
        choices: What it chose by itself, such as the strength of regularisation.
        rows: Its history, one row for each epoch.
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

    def to_data(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return asdict(self)

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Self:
        """Return what `to_data` gave."""
        return cls(**{**data, "rows": tuple(data["rows"])})
