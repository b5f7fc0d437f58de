"""A disk that is full at one moment after another: what a run says, what is on the disk, and how it resumes.

    sudo python -m benchmarks.costs.full_disk

Mounts a small tmpfs (Linux, as root) for the run folder, lets a run fill it, gives it more room, and resumes. Needs no
data and no network. Writes results/full_disk.jsonl and pages/full_disk.md.
"""

import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.lib import measure, pages, results
from kerastune_recipes import Recipe, resume
from kerastune_recipes.errors import CheckpointWarning, KerastuneError
from kerastune_recipes.reporting.report import Report

# Kibibytes, from less than the first file takes to more than all take.
SIZES = (16, 64, 104, 120, 300, 2400, 3300, 4200, 5400, 6400)
RECIPE = Recipe.from_name(
    "small_similar",
    **{"backbone.name": "DemoNet", "backbone.weights": "demo", "phases.fine_tuning.fit.duration": "4 epochs"},
)


@contextmanager
def disk(kibibytes: int) -> Iterator[Path]:
    """Mount an empty disk of a size."""
    with tempfile.TemporaryDirectory(prefix="disk-") as folder:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kibibytes}k", "tmpfs", folder], check=True)
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", folder], check=True)


def attempt(kibibytes: int, undisturbed: Report) -> dict[str, Any]:
    """Run on a disk of a size, then with more room."""
    with disk(kibibytes) as folder, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        out, message = folder / "run", ""
        try:
            RECIPE.run("demo:digits", out=out, verbose=False)
        except KerastuneError as error:
            message = str(error).replace(str(folder), "DISK")
        found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        subprocess.run(["mount", "-o", "remount,size=64m", str(folder)], check=True)
        report = None if not message else _resumed(out)
        sentences = [
            str(each.message).replace(str(folder), "DISK")
            for each in warned
            if issubclass(each.category, CheckpointWarning)
        ]
        return {
            "kibibytes": kibibytes,
            "message": message,
            "warnings": sentences[:3],
            "found": found,
            "ended": "done at once" if not message else "resumed" if report else "begun anew",
            "same": _same(report or (RECIPE.run("demo:digits", out=out, overwrite=True, verbose=False)), undisturbed),
        }


def _resumed(out: Path) -> Report | None:
    try:
        report = resume(out, verbose=False)
    except KerastuneError:
        return None
    assert isinstance(report, Report)
    return report


def _same(one: Report, other: Report) -> bool:
    return all(map(np.array_equal, one.model.get_weights(), other.model.get_weights()))


def main() -> None:
    undisturbed = RECIPE.run("demo:digits", verbose=False)
    rows = []
    for kibibytes in SIZES:
        rows.append(attempt(kibibytes, undisturbed))
        print(rows[-1], flush=True)
    results.replace("full_disk", results.RUNS, rows)
    results.replace("full_disk", results.MADE, [measure.made("python -m benchmarks.costs.full_disk")])
    print(pages.write_page("full_disk"))


if __name__ == "__main__":
    main()
