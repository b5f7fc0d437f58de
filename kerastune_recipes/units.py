"""Durations and sizes as a user writes them: "3 epochs", "500 steps", "10%"; "512 MiB"."""

import re
from dataclasses import dataclass
from typing import Literal

_DURATION_FORM = re.compile(r"(?P<amount>\d+(?:\.\d+)?)\s*(?P<unit>epochs?|steps?|%)")
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


def parse_duration(text: str) -> Duration:
    """Read a duration.

    Args:
        text: Such as "3 epochs", "0.5 epochs", "500 steps" or "10%".

    Raises:
        ValueError: The text is no duration.

    Example:
        >>> parse_duration("500 steps").steps(steps_per_epoch=40)
        500
    """
    match = _DURATION_FORM.fullmatch(str(text).strip())
    if match is None:
        raise ValueError(f'write a duration as "3 epochs", "500 steps" or "10%"; received "{text}"')
    unit = _UNITS[match["unit"]]
    amount = float(match["amount"])
    if unit == "steps" and not amount.is_integer():
        raise ValueError(f'steps are whole; received "{text}"')
    return Duration(amount, unit)


BYTE_UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_SIZE_FORM = re.compile(rf"(?P<amount>\d+(?:\.\d+)?)\s*(?P<unit>{'|'.join(BYTE_UNITS)})")


def parse_size(text: str) -> int:
    """Return the bytes that a text such as "10 GiB" means.

    Args:
        text: A number and one of B, KiB, MiB, GiB, TiB.

    Raises:
        ValueError: It cannot be understood.

    Example:
        >>> parse_size("1.5 KiB")
        1536
    """
    match = _SIZE_FORM.fullmatch(text.strip())
    if match is None:
        raise ValueError(f'write a size as "512 MiB" or "10 GiB"; received "{text}"')
    return int(float(match["amount"]) * BYTE_UNITS[match["unit"]])


def format_bytes(count: int) -> str:
    """Return bytes as a person reads them.

    Example:
        >>> format_bytes(1_500_000_000)
        '1.4 GiB'
    """
    unit = next((unit for unit in reversed(BYTE_UNITS) if count >= BYTE_UNITS[unit]), "B")
    return f"{count / BYTE_UNITS[unit]:.0f} {unit}" if unit == "B" else f"{count / BYTE_UNITS[unit]:.1f} {unit}"
