"""Durations and sizes as a user writes them: "3 epochs", "500 steps", "10%"; "512 MiB"."""

import re
from dataclasses import dataclass
from typing import Literal

from kerastune_recipes import printable

_DURATION_FORM = re.compile(r"(?P<amount>[0-9]+(?:\.[0-9]+)?)\s*(?P<unit>epochs?|steps?|%)")
# Longest duration in each unit; ImageNet is usually trained for 90 epochs, half a million steps.
_LONGEST = {"epochs": 100_000, "steps": 1_000_000_000, "%": 10_000}
_UNITS: dict[str, Literal["epochs", "steps", "%"]] = {
    "epoch": "epochs",
    "epochs": "epochs",
    "step": "steps",
    "steps": "steps",
    "%": "%",
}


@dataclass(frozen=True)
class Duration:
    """A training duration: epochs, optimizer steps, or a percentage of a longer duration."""

    amount: float
    unit: Literal["epochs", "steps", "%"]

    def steps(self, steps_per_epoch: int, total: int | None = None) -> int:
        """Return the duration in optimizer steps.

        Args:
            steps_per_epoch: Optimizer steps in one epoch.
            total: Number of steps that is 100%; None where percentages are not allowed.

        Raises:
            ValueError: The duration is a percentage and `total` is None.
        """
        if self.unit == "steps":
            return round(self.amount)
        if self.unit == "epochs":
            return round(self.amount * steps_per_epoch)
        if total is None:
            raise ValueError(f'a percentage such as "{self}" has no meaning here; write epochs or steps')
        return round(self.amount / 100 * total)

    def __str__(self) -> str:
        amount = f"{self.amount:.0f}" if float(self.amount).is_integer() else str(self.amount)
        if self.unit == "%":
            return f"{amount}%"
        return f"{amount} {self.unit if self.amount != 1 else self.unit[:-1]}"


def parse_duration(text: str) -> Duration:
    """Read a duration.

    Args:
        text: A number and a unit, such as "3 epochs", "0.5 epochs", "500 steps" or "10%"; at most 100,000 epochs,
            1,000,000,000 steps or 10,000 %.

    Raises:
        ValueError: The text is not a duration, or too long a one.

    Example:
        >>> parse_duration("500 steps").steps(steps_per_epoch=40)
        500
    """
    match = _DURATION_FORM.fullmatch(str(text).strip())
    received = printable.shortened(str(text))
    if match is None:
        raise ValueError(f'write a duration as "3 epochs", "500 steps" or "10%"; received "{received}"')
    unit = _UNITS[match["unit"]]
    amount = float(match["amount"])
    if amount > _LONGEST[unit]:
        raise ValueError(f'a duration is at most {_LONGEST[unit]:,} {unit}; received "{received}"')
    if unit == "steps" and not amount.is_integer():
        raise ValueError(f'the number of steps must be an integer; received "{received}"')
    return Duration(amount, unit)


BYTE_UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_LARGEST = 2**60
_SIZE_FORM = re.compile(rf"(?P<amount>[0-9]+(?:\.[0-9]+)?)\s*(?P<unit>{'|'.join(BYTE_UNITS)})")


def parse_size(text: str) -> int:
    """Return the number of bytes in a size such as "10 GiB".

    Args:
        text: A number and one of B, KiB, MiB, GiB, TiB; at most 1,048,576 TiB, more than any disk.

    Raises:
        ValueError: The text is not a size, or too large a one.

    Example:
        >>> parse_size("1.5 KiB")
        1536
    """
    match = _SIZE_FORM.fullmatch(text.strip())
    received = printable.shortened(text)
    if match is None:
        raise ValueError(f'write a size as "512 MiB" or "10 GiB"; received "{received}"')
    size = float(match["amount"]) * BYTE_UNITS[match["unit"]]
    if size > _LARGEST:
        raise ValueError(f'a size is at most {_LARGEST // BYTE_UNITS["TiB"]:,} TiB; received "{received}"')
    return int(size)


def format_bytes(count: int) -> str:
    """Return a number of bytes as readable text.

    Example:
        >>> format_bytes(1_500_000_000)
        '1.4 GiB'
    """
    unit = next((unit for unit in reversed(BYTE_UNITS) if count >= BYTE_UNITS[unit]), "B")
    return f"{count / BYTE_UNITS[unit]:.0f} {unit}" if unit == "B" else f"{count / BYTE_UNITS[unit]:.1f} {unit}"
