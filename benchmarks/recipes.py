"""Every shipped recipe on data sets of your own: accuracy with its interval, and seconds, as one table.

    KERAS_HOME=... python benchmarks/recipes.py DATA_FOLDER... --runs RUNS [--backbone MobileNet_0.25] [--image-size 96]

A data folder holds train/ and test/ with a folder for each class. Recipes are found by themselves. Every cell is one
`kerastune run`, in a process of its own; finished ones are not run again, interrupted ones go on. The table is printed
and written to docs/recipes.md; cells that are not finished are left empty.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from reporting import machine, versions

from kerastune_recipes import catalog
from kerastune_recipes.spec import RecipeSpec

PAGE = Path(__file__).parent.parent / "docs" / "recipes.md"
COMPANION = "MobileNetV2"
NEEDS = {
    "unlabelled images": "benchmarks/unlabeled.md",
    "classes of the pretraining": "benchmarks/reuse_head.md",
}
NOTES = """\
Every shipped recipe as it is, but for the network, its image size and the seed. Test accuracy is the mean over the
seeds, in brackets the 95% interval of one test set of that size at that accuracy (Wilson); seconds are the median of
all that a run took, network and images included, where features of another recipe were found in the store as they would
be for a user. The machine had other work to do, so that seconds are a rough guide. Ensembles add {companion}."""


def needs(spec: RecipeSpec) -> str | None:
    """Return what a recipe needs that folders of labelled images do not give."""
    solves = [phase.solve for phase in spec.phases if phase.solve]
    if any(solve.pseudo_labels for solve in solves):
        return "unlabelled images"
    if any(solve.head == "source_classifier" for solve in solves):
        return "classes of the pretraining"
    return None


def run(name: str, data: Path, backbone: str, size: int, seed: int, runs: Path) -> dict | None:
    """Run one cell, unless it has been, and return its report; None where it failed."""
    folder = runs / f"{name.replace('/', '_')}-{data.name}-{backbone}-{size}-{seed}"
    if not (folder / "report.json").is_file():
        spec = catalog.load(name)
        changes = {"backbone.name": backbone, "backbone.image_size": size}
        if spec.backbone.weights != "none":
            changes["backbone.weights"] = "imagenet"
        if spec.ensemble:
            changes["ensemble"] = f"[{{name: {COMPANION}}}]"
        sets = [word for key, value in changes.items() for word in ("--set", f"{key}={value}")]
        going_on = ["--resume"] if (folder / "journal").is_dir() else ["--overwrite"]
        command = [sys.executable, "-m", "kerastune_recipes", "run", name, "--data", str(data), "--seed", str(seed)]
        done = subprocess.run([*command, *sets, "--out", str(folder), *going_on], stdout=subprocess.DEVNULL)
        if done.returncode:
            return None
    return json.loads((folder / "report.json").read_text())


def cell(reports: list[dict]) -> str:
    """Return what stands in the table for the runs of one recipe on one data set."""
    if not reports:
        return ""
    accuracy = statistics.mean(report["test"]["accuracy"] for report in reports)
    low, high = (statistics.mean(report["test"]["accuracy_ci95"][side] for report in reports) for side in (0, 1))
    seconds = statistics.median(report["cost"]["seconds_total"] for report in reports)
    return f"{100 * accuracy:.1f} ({100 * low:.0f} to {100 * high:.0f}), {seconds:.0f} s"


def page(found: dict[str, dict[str, list[dict]]], names: list[str], left: dict[str, str], about: str) -> str:
    """Return the whole text."""
    rows = [f"| `{name}` | {' | '.join(cell(found[name].get(data, [])) for data in names)} |" for name in found]
    missing = [f"`{name}` needs {need}, see {NEEDS[need]}." for name, need in left.items()]
    return "\n".join(
        [
            "# The recipes, measured",
            "",
            NOTES.format(companion=COMPANION),
            "",
            about,
            "",
            f"| recipe | {' | '.join(names)} |",
            f"|---|{'---|' * len(names)}",
            *rows,
            "",
            *missing,
            "",
        ]
    )


def main() -> None:
    """Run every cell, and write the page anew after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--runs", type=Path, required=True, help="folder for the run folders")
    parser.add_argument("--backbone", default="MobileNet_0.25")
    parser.add_argument("--image-size", type=int, default=96)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=catalog.names(), default=list(catalog.names()))
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    needed = {name: needs(catalog.load(name)) for name in options.only}
    left = {name: need for name, need in needed.items() if need}
    names = [data.name for data in options.data]
    command = f"python benchmarks/recipes.py {' '.join(names)} --backbone {options.backbone}"
    command += f" --image-size {options.image_size} --seeds {options.seeds} --runs RUNS"
    about = (
        f"{options.backbone} at {options.image_size} px, seeds: {options.seeds}. {machine()}; {versions()}. Made by:"
    )
    found: dict[str, dict[str, list[dict]]] = {name: {} for name in options.only if name not in left}
    for seed in range(options.seeds):
        for data in options.data:
            for name, cells in found.items():
                report = run(name, data, options.backbone, options.image_size, seed, options.runs)
                if report:
                    cells.setdefault(data.name, []).append(report)
                text = page(found, names, left, f"{about}\n\n    {command}")
                PAGE.write_text(text, encoding="utf-8")
                print(name, data.name, seed, cell(cells.get(data.name, [])) or "failed", flush=True)
    print(text)


if __name__ == "__main__":
    main()
