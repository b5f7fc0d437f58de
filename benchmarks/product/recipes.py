"""Every shipped recipe on data sets of your own: accuracy with its interval and seconds, as a table.

    KERAS_HOME=... python benchmarks/recipes.py DATA_FOLDER... [--backbone MobileNetV2] [--size 160] [--seeds 3]

A data folder holds train/ and test/ with a folder for each class. Every cell is one `kerastune run` for each seed, in a
process of its own. Its figures are a line of benchmarks/recipes.jsonl, and are not measured again as long as its plan
stays the same: so the table can be filled bit by bit. Seeds are run one after the other over all cells; after each run
the page is written anew. A recipe that needs what the data do not give is named with what it says. `--only` runs some
recipes alone; `--epochs` bounds the epochs of a phase, which the page then says of each such cell; with `--jobs` so
many run side by side, each on its own share of the cores.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from statistics import fmean
from threading import Lock
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from reporting import machine, versions

from kerastune_recipes import Plan, Recipe, RequestError, yaml_files
from kerastune_recipes.data.dataset import Dataset
from kerastune_recipes.data.sources.open import open_dataset
from kerastune_recipes.evaluation import metrics
from kerastune_recipes.planning.costs import steps_per_epoch
from kerastune_recipes.records import digest
from kerastune_recipes.spec import catalog
from kerastune_recipes.studies.comparison import standalone_cost

SCRATCH = "from_scratch"
NOTES = """\
Accuracy on the test images, which nothing was chosen by, with its 95% interval, in percent: the mean over the seeds,
its interval that of one seed (docs/compare.md says what that covers). A seed decides on the images held out for
validation and everything random; a cell of fewer seeds says so. Seconds are those of the phases, the mean over the
seeds: without reading and testing, and with the features counted as if every run had computed them. The best of each
column is bold."""

# What one run found, with all that decided on it.
Figures = dict[str, Any]


@dataclass(frozen=True)
class Cell:
    """A recipe on a data set.

    Args:
        seeds: How many were run.
        accuracy: Mean over the seeds.
        interval: Of the images.
        seconds: Mean over the seeds.
        shortened: Epochs that a phase was bounded to, or None.
    """

    seeds: int
    accuracy: float
    interval: tuple[float, float]
    seconds: float
    shortened: int | None


@dataclass(frozen=True)
class Setting:
    """What all cells have in common.

    Args:
        backbone: Name of the network.
        size: Height and width of its input, pixels, or None for the rule's.
        seeds: How many are wanted.
        epochs: Bound on the epochs of a phase, or None.
        jobs: Runs side by side.
    """

    backbone: str
    size: int | None
    seeds: int
    epochs: int | None
    jobs: int

    @property
    def cores(self) -> list[set[int]]:
        """The cores of each job."""
        there = sorted(os.sched_getaffinity(0))
        return [set(there[job :: self.jobs]) for job in range(self.jobs)]

    @property
    def overrides(self) -> dict[str, str | int]:
        """What is changed in every recipe."""
        return {"backbone.name": self.backbone} | ({"backbone.image_size": self.size} if self.size else {})


@dataclass(frozen=True)
class Job:
    """What a recipe does with a data set.

    Args:
        changes: Overrides that bound the epochs of its phases, none where it has no more.
        plan: By which its plan is known from another, with all rules applied.
    """

    changes: dict[str, str | int]
    plan: str


def job(recipe: str, dataset: Dataset, setting: Setting) -> Job:
    """Return what a recipe does with a data set.

    Raises:
        RequestError: The recipe does not go with the data or the backbone.
    """
    whole = Recipe.from_name(recipe, **setting.overrides).plan(dataset)
    images = len(dataset.train)
    changes: dict[str, str | int] = {
        f"phases.{phase.name}.fit.duration": f"{setting.epochs} epochs"
        for phase in whole.phases
        if phase.fit
        and setting.epochs is not None
        and phase.fit.steps > setting.epochs * steps_per_epoch(images, phase.fit.batch_size)
    }
    return Job(changes, digest(Recipe.from_name(recipe, **setting.overrides, **changes).plan(dataset)))


def run(recipe: str, data: Path, seed: int, overrides: dict[str, str | int], cores: set[int]) -> Figures | str:
    """Return what one run on some cores found, or why it could not be."""
    print(f"{recipe} on {data.name}, seed {seed}", flush=True)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "run"
        command = [
            "taskset",
            "--cpu-list",
            ",".join(map(str, sorted(cores))),
            sys.executable,
            "-m",
            "kerastune_recipes",
        ]
        command += ["run", recipe, "--data", str(data), "--seed", str(seed), "--out", str(folder)]
        command += [word for key, value in overrides.items() for word in ("--set", f"{key}={value}")]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode < 0:
            return f"the process was ended by signal {-done.returncode}"
        if done.returncode:
            said = re.search(r"^kerastune: (?!warning)(.*)", done.stderr, re.MULTILINE | re.DOTALL)
            return " ".join(said[1].split()) if said else done.stderr.strip().splitlines()[-1]
        record = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        plan = Plan.from_data(yaml_files.read(folder / "plan.yaml"), recipe)
    return {
        "images": record["data"]["test"],
        "accuracy": record["test"]["accuracy"],
        "chosen_phase": record["chosen_phase"],
        "cores": len(cores),
        "seconds": round(standalone_cost(record, plan).seconds, 2),
    }


def cell(found: Sequence[Figures]) -> Cell:
    """Return what the runs of one cell say together."""
    images = found[0]["images"]
    accuracy = fmean(one["accuracy"] for one in found)
    return Cell(
        seeds=len(found),
        accuracy=accuracy,
        interval=metrics.wilson_interval(accuracy * images, images),
        seconds=fmean(one["seconds"] for one in found),
        shortened=found[0]["epochs"],
    )


Cells = dict[str, dict[str, Cell]]
Reasons = dict[str, dict[str, str]]


def page(cells: Cells, reasons: Reasons, data: Sequence[Path], setting: Setting, command: str) -> str:
    """Return the whole text."""
    names = [folder.name for folder in data]
    bounded = any(cell.shortened for row in cells.values() for cell in row.values())
    best = {name: max((row[name].accuracy for row in cells.values() if name in row), default=0.0) for name in names}
    rows = [
        f"| [{recipe}](../recipes/{recipe}.yaml) | "
        + " | ".join(_shown(cells[recipe].get(name), best[name], setting.seeds) for name in names)
        + " |"
        for recipe in cells
        if cells[recipe]
    ]
    parts = [
        "# The recipes, measured",
        f"{setting.backbone}{f' at {setting.size} pixels' if setting.size else ''}, {setting.seeds} "
        f"seed{'s' if setting.seeds > 1 else ''}, {len(setting.cores[0])} of the cores of {machine()}; {versions()}. "
        "Made by:",
        f"    {command}",
        NOTES,
        f"**†: no phase was given more than {setting.epochs} epochs, so this is not the whole recipe.**"
        if bounded
        else "",
        "\n".join([f"| recipe | {' | '.join(names)} |", f"|---|{'---|' * len(names)}", *rows]),
        *_against_scratch(cells, names),
        _not_run(reasons),
        _missing(cells, reasons),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _shown(cell: Cell | None, best: float, seeds: int) -> str:
    if cell is None:
        return ""
    low, high = cell.interval
    accuracy = f"{100 * cell.accuracy:.1f}"
    emphasised = f"**{accuracy}**" if cell.accuracy == best else accuracy
    marks = ("†" if cell.shortened else "") + (f", {cell.seeds} of {seeds} seeds" if cell.seeds < seeds else "")
    return f"{emphasised} ({100 * low:.1f} to {100 * high:.1f}){marks}, {cell.seconds:.0f} s"


def _against_scratch(cells: Cells, names: Sequence[str]) -> list[str]:
    """Say where pretraining did not pay."""
    if not cells.get(SCRATCH) or not any(row for recipe, row in cells.items() if recipe != SCRATCH):
        return []
    behind = [
        f"{recipe} on {name} ({100 * row[name].accuracy:.1f} to {100 * cells[SCRATCH][name].accuracy:.1f})"
        for name in names
        if name in cells[SCRATCH]
        for recipe, row in cells.items()
        if recipe != SCRATCH and name in row and row[name].accuracy <= cells[SCRATCH][name].accuracy
    ]
    told = f"Not better than {SCRATCH}: {'; '.join(behind)}." if behind else f"All are better than {SCRATCH}."
    return ["## With and without pretraining", told]


def _not_run(reasons: Reasons) -> str:
    """Name what could not be run, and why; alike on all data sets once."""
    lines = []
    for recipe, by_data in reasons.items():
        for reason in dict.fromkeys(by_data.values()):
            where = [name for name, other in by_data.items() if other == reason]
            lines.append(f"- {recipe} ({', '.join(where)}): {reason}")
    return "\n".join(["## Not run", "", *lines]) if lines else ""


def _here(reason: str) -> str:
    """Leave out of a reason where this machine keeps its weights."""
    return reason.replace(os.environ.get("KERAS_HOME") or str(Path.home() / ".keras"), "KERAS_HOME")


def _missing(cells: Cells, reasons: Reasons) -> str:
    missing = [recipe for recipe in cells if not cells[recipe] and not reasons[recipe]]
    return f"Not run yet: {', '.join(missing)}." if missing else ""


def key(recipe: str, data: Path, seed: int, setting: Setting, job: Job) -> Figures:
    """Return all that decides on a run but the machine and the versions."""
    return {
        "recipe": recipe,
        "plan": job.plan,
        "data": data.name,
        "backbone": setting.backbone,
        "size": setting.size,
        "epochs": setting.epochs if job.changes else None,
        "seed": seed,
    }


def main() -> None:
    """Run what is missing, and write the page anew after each run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--backbone", default="MobileNetV2")
    parser.add_argument("--size", type=int, help="height and width of the network's input (default: the rule's)")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="*", metavar="RECIPE", choices=catalog.names(), help="run these alone")
    parser.add_argument("--epochs", type=int, help="at most so many in each phase; the page says of which cells")
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side, each on its own share of the cores")
    parser.add_argument("--log", type=Path, default=Path(__file__).with_suffix(".jsonl"), help="where figures are kept")
    parser.add_argument("--page", type=Path, default=Path(__file__).parent.parent / "docs" / "recipes.md")
    options = parser.parse_args()
    for folder in options.data:
        if not (folder / "test").is_dir():
            parser.error(f"{folder}: there is no folder test/ in it to judge by")
    setting = Setting(options.backbone, options.size, options.seeds, options.epochs, options.jobs)
    # All recipes in the command that the page names: --only decides what is run now, not what is in the page.
    shown = [f"--seeds {setting.seeds}", f"--backbone {setting.backbone}"]
    shown += [f"--size {setting.size}"] if setting.size else []
    shown += [f"--epochs {setting.epochs}"] if setting.epochs else []
    shown += [f"--jobs {setting.jobs}"] if setting.jobs > 1 else []
    names = " ".join(folder.name for folder in options.data)
    command = f"python benchmarks/recipes.py {names} {' '.join(shown)}"
    lines = options.log.read_text(encoding="utf-8").splitlines() if options.log.is_file() else []
    kept: list[Figures] = list(map(json.loads, lines))
    reasons: Reasons = {name: {} for name in catalog.names()}
    jobs: dict[tuple[str, Path], Job] = {}
    for data in options.data:
        dataset = open_dataset(data)
        for recipe in catalog.names():
            try:
                jobs[recipe, data] = job(recipe, dataset, setting)
            except RequestError as error:
                reasons[recipe][data.name] = _here(" ".join(str(error).split()))

    def found(recipe: str, data: Path) -> list[Figures]:
        wanted = [key(recipe, data, seed, setting, jobs[recipe, data]) for seed in range(setting.seeds)]
        return [one for one in kept if any(each.items() <= one.items() for each in wanted)]

    def show() -> str:
        cells: Cells = {name: {} for name in catalog.names()}
        for recipe, data in jobs:
            if found(recipe, data):
                cells[recipe][data.name] = cell(found(recipe, data))
        text = page(cells, reasons, options.data, setting, command)
        options.page.write_text(text, encoding="utf-8")
        return text

    free: SimpleQueue[set[int]] = SimpleQueue()
    for cores in setting.cores:
        free.put(cores)
    lock = Lock()

    def measure(seed: int, recipe: str, data: Path) -> None:
        if data.name in reasons[recipe]:
            return
        cores = free.get()
        figures = run(recipe, data, seed, setting.overrides | jobs[recipe, data].changes, cores)
        free.put(cores)
        with lock:
            if isinstance(figures, str):
                reasons[recipe][data.name] = _here(figures)
            else:
                kept.append(key(recipe, data, seed, setting, jobs[recipe, data]) | figures)
                with options.log.open("a", encoding="utf-8") as log:
                    log.write(json.dumps(kept[-1]) + "\n")
            show()

    missing = [
        (seed, recipe, data)
        for seed in range(setting.seeds)
        for recipe, data in jobs
        if (options.only is None or recipe in options.only)
        and not any(one["seed"] == seed for one in found(recipe, data))
    ]
    with ThreadPoolExecutor(setting.jobs) as pool:
        for _ in pool.map(lambda one: measure(*one), missing):
            pass
    print(show())


if __name__ == "__main__":
    main()
