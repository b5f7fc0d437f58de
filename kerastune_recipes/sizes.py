"""Amounts of memory and disk, as a user writes them: "512MiB", "10 GiB"."""

import re

UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_FORM = re.compile(rf"(?P<amount>\d+(?:\.\d+)?)\s*(?P<unit>{'|'.join(UNITS)})")


def parse(text: str) -> int:
    """Return the bytes that a text such as "10 GiB" means.

    Args:
        text: A number and one of B, KiB, MiB, GiB, TiB.

    Raises:
        ValueError: It cannot be understood.

    Example:
        >>> parse("1.5 KiB")
        1536
    """
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise ValueError(f'write a size as "512 MiB" or "10 GiB"; received "{text}"')
    return int(float(match["amount"]) * UNITS[match["unit"]])


def written(count: int) -> str:
    """Return bytes as a person reads them.

    Example:
        >>> written(1_500_000_000)
        '1.4 GiB'
    """
    unit = next((unit for unit in reversed(UNITS) if count >= UNITS[unit]), "B")
    return f"{count / UNITS[unit]:.0f} {unit}" if unit == "B" else f"{count / UNITS[unit]:.1f} {unit}"
