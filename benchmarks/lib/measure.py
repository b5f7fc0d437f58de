"""What the benchmarks say alike: the machine, the versions, a figure with its spread; and how they keep a drawing."""

import os
import platform
import statistics
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

_PACKAGES = ("kerastune-recipes", "keras", "tensorflow", "scikit-learn", "numpy")


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
        *more: Further packages, such as the backend of Keras. What is not installed is left out.
    """
    found = [f"Python {platform.python_version()}"]
    for package in dict.fromkeys((*_PACKAGES, *more)):
        with suppress(metadata.PackageNotFoundError):
            found.append(f"{package} {metadata.version(package)}")
    return ", ".join(found)


def spread(values: Sequence[float], form: Callable[[float], str]) -> str:
    """Return the median with the lowest and the highest value, or alone where they read the same.

    Example:
        >>> spread([3.0, 1.0, 2.0], "{:.1f}".format)
        '2.0 (1.0 to 3.0)'
    """
    lowest, middle, highest = form(min(values)), form(statistics.median(values)), form(max(values))
    return middle if lowest == highest else f"{middle} ({lowest} to {highest})"


def keep(figure: Figure, path: Path) -> None:
    """Write a figure as SVG, its text as text, and nothing that differs from one drawing to the next."""
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": path.stem}):
        figure.savefig(path, metadata={"Date": None})
