"""How long a phase or a warmup lasts, as a user writes it: "3 epochs", "500 steps" or "10%"."""

import re
from dataclasses import dataclass
from typing import Literal

_FORM = re.compile(r"(?P<amount>\d+(?:\.\d+)?)\s*(?P<unit>epochs?|steps?|%)")
_UNITS: dict[str, Literal["epochs", "steps", "%"]] = {
    "epoch": "epochs",
    "epochs": "epochs",
    "step": "steps",
    "steps": "steps",
    "%": "%",
}


@dataclass(frozen=True)
class Duration:
    """An amount of training: passes over the data, optimizer updates, or a share of something longer."""

    amount: float
    unit: Literal["epochs", "steps", "%"]

    def steps(self, steps_per_epoch: int, whole: int | None = None) -> int:
        """Return the duration in optimizer updates.

        Args:
            steps_per_epoch: Updates in one pass over the training images.
            whole: What a percentage is a share of, in updates.

        Raises:
            ValueError: A percentage is asked for where there is nothing to take a share of.
        """
        if self.unit == "steps":
            return round(self.amount)
        if self.unit == "epochs":
            return round(self.amount * steps_per_epoch)
        if whole is None:
            raise ValueError(f'"{self}" is a share of nothing here; write epochs or steps')
        return round(self.amount / 100 * whole)

    def __str__(self) -> str:
        amount = f"{self.amount:g}"
        if self.unit == "%":
            return f"{amount}%"
        return f"{amount} {self.unit if self.amount != 1 else self.unit[:-1]}"


def parse(text: str) -> Duration:
    """Read a duration.

    Args:
        text: Such as "3 epochs", "0.5 epochs", "500 steps" or "10%".

    Raises:
        ValueError: The text is no duration.

    Example:
        >>> parse("500 steps").steps(steps_per_epoch=40)
        500
    """
    match = _FORM.fullmatch(str(text).strip())
    if match is None:
        raise ValueError(f'write a duration as "3 epochs", "500 steps" or "10%"; received "{text}"')
    unit = _UNITS[match["unit"]]
    amount = float(match["amount"])
    if unit == "steps" and not amount.is_integer():
        raise ValueError(f'steps are whole; received "{text}"')
    return Duration(amount, unit)
