"""Every shipped recipe on data sets of your own: accuracy with its interval and seconds, as a table.

    KERAS_HOME=... python benchmarks/recipes.py DATA_FOLDER... --out RUNS [--backbone MobileNetV2] [--size 160]

A data folder holds train/ and test/ with a folder for each class. Every cell is one `kerastune run` for each seed, in a
process of its own; finished ones are not run again, interrupted ones go on. After each of them the page is written
anew. A recipe that needs what the data do not give is named with what it says. `--only` runs some recipes and keeps
what is finished of the others; `--epochs` bounds the epochs of a phase, which the page then says of each such cell.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from reporting import machine, versions

from kerastune_recipes import Plan, Recipe, RequestError, catalog, metrics, yaml_files
from kerastune_recipes.comparison import cost_alone
from kerastune_recipes.data.sources import open_dataset
from kerastune_recipes.plan import steps_per_epoch

SCRATCH = "from_scratch"
NOTES = """\
Accuracy on the test images, which nothing was chosen by, with its 95% interval, in percent: the mean over the seeds,
its interval that of one seed (docs/compare.md says what that covers). A seed decides on the images held out for
validation and everything random. Seconds are those of the phases, the mean over the seeds: without reading and testing,
and with the features counted as if every run had computed them. The best of each column is bold."""


@dataclass(frozen=True)
class Cell:
    """A recipe on a data set.

    Args:
        accuracy: Mean over the seeds.
        interval: Of the images.
        seconds: Mean over the seeds.
        shortened: Epochs that a phase was bounded to, or None.
    """

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
        seeds: How many.
        epochs: Bound on the epochs of a phase, or None.
        out: Folder for the run folders.
    """

    backbone: str
    size: int | None
    seeds: int
    epochs: int | None
    out: Path

    @property
    def overrides(self) -> dict[str, str | int]:
        """What is changed in every recipe."""
        return {"backbone.name": self.backbone} | ({"backbone.image_size": self.size} if self.size else {})

    def folder(self, recipe: str, data: Path, seed: int, shortened: bool) -> Path:
        """Return the folder of one run, which is named by all that decides on it."""
        size = f"-{self.size}" if self.size else ""
        bound = f"-{self.epochs}_epochs" if shortened else ""
        return self.out / data.name / f"{recipe.replace('/', '_')}-{self.backbone}{size}{bound}-{seed}"


def bounds(recipe: str, data: Path, setting: Setting) -> dict[str, str | int]:
    """Return the overrides that bound the epochs of a recipe's phases, none where it has no more.

    Raises:
        RequestError: The recipe does not go with the data or the backbone.
    """
    dataset = open_dataset(data)
    plan = Recipe.from_name(recipe, **setting.overrides).plan(dataset)
    images = len(dataset.train)
    return {
        f"phases.{phase.name}.fit.duration": f"{setting.epochs} epochs"
        for phase in plan.phases
        if phase.fit
        and setting.epochs is not None
        and phase.fit.steps > setting.epochs * steps_per_epoch(images, phase.fit.batch_size)
    }


def run(recipe: str, data: Path, seed: int, folder: Path, overrides: dict[str, str | int]) -> str:
    """Run one cell with one seed, unless that has been; return why it could not be, or nothing."""
    if (folder / "model.keras").is_file():
        return ""
    command = [sys.executable, "-m", "kerastune_recipes", "run", recipe, "--data", str(data), "--seed", str(seed)]
    command += [word for key, value in overrides.items() for word in ("--set", f"{key}={value}")]
    going_on = "--resume" if (folder / "journal").is_dir() else "--overwrite"
    print(f"{recipe} on {data.name}, seed {seed}", flush=True)
    done = subprocess.run([*command, "--out", str(folder), going_on], stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode == 0:
        return ""
    if done.returncode < 0:
        return f"the process was ended by signal {-done.returncode}"
    said = re.search(r"^kerastune: (?!warning)(.*)", done.stderr, re.MULTILINE | re.DOTALL)
    return " ".join(said[1].split()) if said else done.stderr.strip().splitlines()[-1]


def cell(recipe: str, data: Path, setting: Setting, shorter: bool) -> Cell | None:
    """Return what finished runs say, or None where one of the seeds is missing."""
    folders = [setting.folder(recipe, data, seed, shorter) for seed in range(setting.seeds)]
    if not all((folder / "model.keras").is_file() for folder in folders):
        return None
    records = [json.loads((folder / "report.json").read_text(encoding="utf-8")) for folder in folders]
    plans = [Plan.from_data(yaml_files.read(folder / "plan.yaml"), str(folder)) for folder in folders]
    images = records[0]["data"]["test"]
    accuracy = fmean(record["test"]["accuracy"] for record in records)
    return Cell(
        accuracy=accuracy,
        interval=metrics.wilson_interval(accuracy * images, images),
        seconds=fmean(cost_alone(record, plan).seconds for record, plan in zip(records, plans, strict=True)),
        shortened=setting.epochs if shorter else None,
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
        + " | ".join(_shown(cells[recipe].get(name), best[name]) for name in names)
        + " |"
        for recipe in cells
        if cells[recipe]
    ]
    parts = [
        "# The recipes, measured",
        f"{setting.backbone}{f' at {setting.size} pixels' if setting.size else ''}, {setting.seeds} "
        f"seed{'s' if setting.seeds > 1 else ''}, {machine()}; {versions()}. Made by:",
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


def _shown(cell: Cell | None, best: float) -> str:
    if cell is None:
        return ""
    low, high = cell.interval
    accuracy = f"{100 * cell.accuracy:.1f}"
    emphasised = f"**{accuracy}**" if cell.accuracy == best else accuracy
    return f"{emphasised} ({100 * low:.1f} to {100 * high:.1f}){'†' if cell.shortened else ''}, {cell.seconds:.0f} s"


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


def main() -> None:
    """Run every cell, and write the page anew after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--backbone", default="MobileNetV2")
    parser.add_argument("--size", type=int, help="height and width of the network's input (default: the rule's)")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", metavar="RECIPE", choices=catalog.names(), help="run these alone")
    parser.add_argument("--epochs", type=int, help="at most so many in each phase; the page says of which cells")
    parser.add_argument("--out", type=Path, required=True, help="folder for the run folders")
    parser.add_argument("--page", type=Path, default=Path(__file__).parent.parent / "docs" / "recipes.md")
    options = parser.parse_args()
    for folder in options.data:
        if not (folder / "test").is_dir():
            parser.error(f"{folder}: there is no folder test/ in it to judge by")
    setting = Setting(options.backbone, options.size, options.seeds, options.epochs, options.out)
    # All recipes in the command that the page names: --only decides what is run now, not what is in the page.
    shown = [f"--seeds {setting.seeds}", f"--backbone {setting.backbone}"]
    shown += [f"--size {setting.size}"] if setting.size else []
    shown += [f"--epochs {setting.epochs}"] if setting.epochs else []
    names = " ".join(folder.name for folder in options.data)
    command = f"python benchmarks/recipes.py {names} {' '.join(shown)} --out RUNS"
    cells: Cells = {name: {} for name in catalog.names()}
    reasons: Reasons = {name: {} for name in catalog.names()}
    for data in options.data:
        for recipe in catalog.names():
            try:
                changes = bounds(recipe, data, setting)
            except RequestError as error:
                reasons[recipe][data.name] = _here(" ".join(str(error).split()))
                continue
            if not options.only or recipe in options.only:
                for seed in range(setting.seeds):
                    folder = setting.folder(recipe, data, seed, bool(changes))
                    reason = run(recipe, data, seed, folder, setting.overrides | changes)
                    if reason:
                        reasons[recipe][data.name] = _here(reason)
                        break
            found = cell(recipe, data, setting, bool(changes))
            if found:
                cells[recipe][data.name] = found
            text = page(cells, reasons, options.data, setting, command)
            options.page.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
