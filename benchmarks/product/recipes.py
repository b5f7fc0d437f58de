"""Every shipped recipe on data sets of your own: accuracy with its interval and seconds, as a table.

    KERAS_HOME=... python -m benchmarks.product.recipes DATA_FOLDER... [--backbone MobileNetV2] [--size 160] [--seeds 3]

A data folder holds train/ and test/ with a folder for each class. Every cell is one `kerastune run` for each seed, in a
process of its own. Its figures are a line of results/recipes.jsonl, and are not measured again while its plan stays
the same, so the table can be filled step by step. Seeds run one after the other over all cells; after each run
docs/recipes.md is written. A recipe that cannot run on the data is listed with its error. `--only` runs only some
recipes; `--epochs` limits the epochs of a phase, and the page marks such cells; `--jobs` runs several side by side,
each on its own share of the cores.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Lock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.lib import measure, pages, results
from benchmarks.lib.results import Row
from kerastune_recipes import Plan, Recipe, RequestError, yaml_files
from kerastune_recipes.data.dataset import Dataset
from kerastune_recipes.data.sources.open import open_dataset
from kerastune_recipes.planning.costs import steps_per_epoch
from kerastune_recipes.records import digest
from kerastune_recipes.spec import catalog
from kerastune_recipes.studies.comparison import standalone_cost


@dataclass(frozen=True)
class Setting:
    """The setting of all cells.

    Args:
        backbone: Name of the network.
        size: Height and width of its input, pixels; None for the size of the rules.
        seeds: Number of seeds.
        epochs: Largest number of epochs of a phase, or None for no limit.
        jobs: Number of runs side by side.
    """

    backbone: str
    size: int | None
    seeds: int
    epochs: int | None
    jobs: int

    @property
    def cores(self) -> list[set[int]]:
        """The cores of each job."""
        usable = sorted(os.sched_getaffinity(0))
        return [set(usable[job :: self.jobs]) for job in range(self.jobs)]

    @property
    def overrides(self) -> dict[str, str | int]:
        """The overrides of every recipe."""
        return {"backbone.name": self.backbone} | ({"backbone.image_size": self.size} if self.size else {})


@dataclass(frozen=True)
class Job:
    """A recipe on a data set.

    Args:
        changes: Overrides that limit the epochs of its phases; none if the phases are shorter.
        plan: Digest of its plan, with all rules applied.
    """

    changes: dict[str, str | int]
    plan: str


def job(recipe: str, dataset: Dataset, setting: Setting) -> Job:
    """Plan a recipe on a data set.

    Raises:
        RequestError: The recipe does not fit the data or the backbone.
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


def run(recipe: str, data: Path, seed: int, overrides: dict[str, str | int], cores: set[int]) -> Row | str:
    """Return the figures of one run on some cores, or its error."""
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
            message = re.search(r"^kerastune: (?!warning)(.*)", done.stderr, re.MULTILINE | re.DOTALL)
            return " ".join(message[1].split()) if message else done.stderr.strip().splitlines()[-1]
        record = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        plan = Plan.from_data(yaml_files.read(folder / "plan.yaml"), recipe)
    return {
        "images": record["data"]["test"],
        "accuracy": record["test"]["accuracy"],
        "chosen_phase": record["chosen_phase"],
        "cores": len(cores),
        "seconds": round(standalone_cost(record, plan).seconds, 2),
    }


def _here(reason: str) -> str:
    """Remove from an error the folder where this machine keeps its weights."""
    return reason.replace(os.environ.get("KERAS_HOME") or str(Path.home() / ".keras"), "KERAS_HOME")


def key(recipe: str, data: Path, seed: int, setting: Setting, job: Job) -> Row:
    """Return everything that determines a run, apart from the machine and the versions."""
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
    """Run the missing cells, and write the page after each run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--backbone", default="MobileNetV2")
    parser.add_argument("--size", type=int, help="height and width of the network's input (default: by the rules)")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="*", metavar="RECIPE", choices=catalog.names(), help="run only these")
    parser.add_argument("--epochs", type=int, help="most epochs of a phase; the page marks these cells")
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side, each on its own share of the cores")
    options = parser.parse_args()
    for folder in options.data:
        if not (folder / "test").is_dir():
            parser.error(f"{folder}: it needs a folder test/")
    setting = Setting(options.backbone, options.size, options.seeds, options.epochs, options.jobs)
    # The command of the whole page, without --only, which limits what runs now.
    shown = [f"--seeds {setting.seeds}", f"--backbone {setting.backbone}"]
    shown += [f"--size {setting.size}"] if setting.size else []
    shown += [f"--epochs {setting.epochs}"] if setting.epochs else []
    shown += [f"--jobs {setting.jobs}"] if setting.jobs > 1 else []
    names = " ".join(folder.name for folder in options.data)
    command = f"python -m benchmarks.product.recipes {names} {' '.join(shown)}"
    stored = results.read("recipes")
    reasons: dict[str, dict[str, str]] = {name: {} for name in catalog.names()}
    jobs: dict[tuple[str, Path], Job] = {}
    for data in options.data:
        dataset = open_dataset(data)
        for recipe in catalog.names():
            try:
                jobs[recipe, data] = job(recipe, dataset, setting)
            except RequestError as error:
                reasons[recipe][data.name] = _here(" ".join(str(error).split()))

    def found(recipe: str, data: Path) -> list[Row]:
        keys = [key(recipe, data, seed, setting, jobs[recipe, data]) for seed in range(setting.seeds)]
        return [one for one in stored if any(each.items() <= one.items() for each in keys)]

    def show() -> str:
        made: Row = {
            **measure.made(command),
            "data": [data.name for data in options.data],
            "backbone": setting.backbone,
        }
        made |= {"size": setting.size, "seeds": setting.seeds, "epochs": setting.epochs, "cores": len(setting.cores[0])}
        not_run = [
            {"recipe": recipe, "data": name, "reason": reason}
            for recipe, by_data in reasons.items()
            for name, reason in by_data.items()
        ]
        results.replace("recipes", "not_run", not_run)
        results.replace("recipes", results.MADE, [made])
        return pages.write_page("recipes")

    free: SimpleQueue[set[int]] = SimpleQueue()
    for cores in setting.cores:
        free.put(cores)
    lock = Lock()

    def run_cell(seed: int, recipe: str, data: Path) -> None:
        if data.name in reasons[recipe]:
            return
        cores = free.get()
        figures = run(recipe, data, seed, setting.overrides | jobs[recipe, data].changes, cores)
        free.put(cores)
        with lock:
            if isinstance(figures, str):
                reasons[recipe][data.name] = _here(figures)
            else:
                stored.append(key(recipe, data, seed, setting, jobs[recipe, data]) | figures)
                results.append(results.FOLDER / "recipes.jsonl", stored[-1])
            show()

    missing = [
        (seed, recipe, data)
        for seed in range(setting.seeds)
        for recipe, data in jobs
        if (options.only is None or recipe in options.only)
        and not any(one["seed"] == seed for one in found(recipe, data))
    ]
    with ThreadPoolExecutor(setting.jobs) as pool:
        for _ in pool.map(lambda one: run_cell(*one), missing):
            pass
    print(show())


if __name__ == "__main__":
    main()
