"""What the scripts share: the machine, the versions, a median with its range."""

import os
import platform
import statistics
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path

_PACKAGES = ("kerastune-recipes", "keras", "tensorflow", "scikit-learn", "numpy")

# Median, lowest and highest of several measurements, by these names.
Spread = dict[str, float]


def machine() -> str:
    """Return processor and usable cores in words."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{_processor()}, {cores} cores, {platform.system()} {platform.machine()}"


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text(encoding="utf-8").splitlines() if information.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or "unknown processor"


def versions(*more: str) -> str:
    """Return the versions that a figure depends on.

    Args:
        *more: Further packages, such as the backend of Keras. Packages that are not installed are left out.
    """
    found = [f"Python {platform.python_version()}"]
    for package in dict.fromkeys((*_PACKAGES, *more)):
        with suppress(metadata.PackageNotFoundError):
            found.append(f"{package} {metadata.version(package)}")
    return ", ".join(found)


def made(command: str) -> dict[str, str]:
    """Return the row of a results file that states how the others were measured."""
    return {"machine": machine(), "versions": versions(), "command": command}


def spread(values: Sequence[float]) -> Spread:
    """Return median, lowest and highest value.

    Example:
        >>> spread([3.0, 1.0, 2.0])
        {'median': 2.0, 'lowest': 1.0, 'highest': 3.0}
    """
    return {
        "median": float(statistics.median(values)),
        "lowest": float(min(values)),
        "highest": float(max(values)),
    }


def shown(values: Spread, form: Callable[[float], str]) -> str:
    """Return the median with the range, or the median alone where the three read the same.

    Example:
        >>> shown({"median": 2.0, "lowest": 1.0, "highest": 3.0}, "{:.1f}".format)
        '2.0 (1.0 to 3.0)'
    """
    middle, lowest, highest = (form(values[key]) for key in ("median", "lowest", "highest"))
    return middle if lowest == highest else f"{middle} ({lowest} to {highest})"
