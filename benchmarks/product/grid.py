"""The scenario recipes over data sets, images a class, networks and seeds, against what they have to beat.

    KERAS_HOME=... python benchmarks/grid.py DATA_FOLDER... [--each 10 30 all] [--backbones MobileNet_0.25] [--seeds 3]

A data folder holds train/ and test/ with a folder for each class. A cell trains on so many images of each class, drawn
by the seed, and is judged by all test images, by which nothing is chosen. In each cell four methods run, each in a
process of its own with an empty feature store: the tutorial of tensorflow.org, the solved head of the scenario's recipe
alone, the whole recipe, and fastai's schedule (`one_cycle`) over as many epochs. Each run is one line of
benchmarks/grid.jsonl, and is not run again while its plan stays the same; benchmarks/grid.md and its figure are written
anew at the end, from all that is there.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pandas as pd
from competitors import NETWORKS, SIZE, Task, ours, start, tensorflow_tutorial
from fine_tuning import LIKE_IMAGENET
from matplotlib.figure import Figure
from reporting import keep, machine, versions

from kerastune_recipes import Recipe
from kerastune_recipes.evaluation import metrics
from kerastune_recipes.records import digest

# From so many training images on the recipes for many are taken.
LARGE = 1000
# With at least so many test images a calibration error of 0.03 can be told: with fewer, chance alone gives more.
CALIBRATED = 500
AT_SIZE = {"backbone.image_size": SIZE}
KEY = ["data", "each", "backbone", "seed"]
TUTORIAL = "tutorial"
METHODS = (TUTORIAL, "solved", "scenario", "one_cycle")
# How each method is drawn, and called in the legend.
DRAWN = {
    TUTORIAL: ("tutorial", "x", "#888888", "#888888"),
    "one_cycle": ("fastai's schedule", "s", "#d9782d", "none"),
    "solved": ("solved head", "o", "#3a87c8", "none"),
    "scenario": ("recipe", "o", "#3a87c8", "#3a87c8"),
}
Figures = dict[str, Any]


def scenario(data: Path) -> str:
    """Return the recipe for a folder with train/."""
    size = "large" if len(list((data / "train").glob("*/*"))) >= LARGE else "small"
    return f"{size}_{'similar' if data.name in LIKE_IMAGENET else 'dissimilar'}"


def drawn(data: Path, each: str, seed: int, place: Path) -> Path:
    """Link the test images and so many training images of each class, or "all", into a folder of the same name."""
    folder = place / data.name
    folder.mkdir()
    (folder / "test").symlink_to((data / "test").resolve())
    for of_class in sorted((data / "train").iterdir()):
        files = sorted(of_class.iterdir())
        chosen = files if each == "all" else random.Random(seed).sample(files, min(int(each), len(files)))
        (folder / "train" / of_class.name).mkdir(parents=True)
        for file in chosen:
            (folder / "train" / of_class.name / file.name).symlink_to(file.resolve())
    return folder


def solved_alone(name: str) -> Figures:
    """Return the overrides that leave a recipe its solved head."""
    phases = Recipe.from_name(name).content.to_data()["phases"]
    return {"phases": [phase for phase in phases if "solve" in phase]}


def as_many_epochs(name: str, train: Path, backbone: str) -> Figures:
    """Return the overrides that give fastai's schedule as many epochs as a recipe takes.

    Its batch of 64 is more than the images of the smallest cells, of which some are held out: there it takes the
    recipe's.
    """
    fit = Recipe.from_name(name, backbone=backbone, **AT_SIZE).plan(train).phases[-1].fit
    assert fit is not None
    batch = 64 if len(list(train.glob("*/*"))) >= 100 else fit.batch_size
    return {
        "phases.fine_tuning.fit.duration": f"{round(fit.steps * fit.batch_size / batch)} steps",
        **{f"phases.{phase}.fit.batch_size": batch for phase in ("feature_extraction", "fine_tuning")},
    }


def stated(method: str, data: Path, backbone: str) -> Recipe:
    """Return the recipe that a method runs on a folder.

    Args:
        method: "solved", "scenario" or "one_cycle".
        data: Folder with train/.
        backbone: Name of the network.
    """
    name = scenario(data)
    changes: Figures = {"backbone": backbone, **AT_SIZE}
    match method:
        case "solved":
            changes |= solved_alone(name)
        case "one_cycle":
            changes |= as_many_epochs(name, data / "train", backbone)
            name = "one_cycle"
    return Recipe.from_name(name, **changes)


def ece_by_chance(probabilities: np.ndarray, seed: int, draws: int = 200) -> float:
    """Return the mean calibration error on as many images if these probabilities (n, k) were all true."""
    random = np.random.default_rng(seed)
    below = probabilities.cumsum(axis=1) / probabilities.sum(axis=1, keepdims=True)
    drawn = [(below[:, :-1] < random.random((len(below), 1))).sum(axis=1) for _ in range(draws)]
    return float(np.mean([metrics.ece(probabilities, labels) for labels in drawn]))


def measure(method: str, task: Task) -> Figures:
    """Run a method and return its figures."""
    if method == TUTORIAL:
        seconds, accuracy = tensorflow_tutorial(task).curve[-1]
        return {"seconds": seconds, "accuracy": accuracy}
    report, probabilities, labels = ours(task, stated(method, task.train.parent, task.backbone))
    test = metrics.summary(probabilities, labels)
    return {
        "recipe": report.record["recipe"],
        "seconds": task.watch.seconds(),
        **{figure: test[figure] for figure in ("accuracy", "log_loss", "ece")},
        "ece_by_chance": ece_by_chance(probabilities, task.seed),
        "chosen_phase": report.record["chosen_phase"],
        "interpolation": report.record["phases"][-1].get("interpolation"),
    }


def told(method: str, data: Path, backbone: str) -> str | None:
    """Return what decides on a method beside the cell: the plan of its recipe, with all rules applied."""
    return None if method == TUTORIAL else digest(stated(method, data, backbone).plan(data / "train"))


def run(data: Path, each: str, backbone: str, seed: int, method: str) -> Figures | None:
    """Measure one method in one cell, in a process of its own, or return None where it failed and say so."""
    with tempfile.TemporaryDirectory() as place:
        folder = drawn(data, each, seed, Path(place))
        command = [sys.executable, __file__, str(folder), "--method", method, "--seed", str(seed)]
        environment = {**os.environ, "KERASTUNE_CACHE": str(Path(place) / "store")}
        done = subprocess.run(
            [*command, "--backbones", backbone], env=environment, stdout=subprocess.PIPE, text=True, check=False
        )
    if done.returncode:
        print(f"{method} on {data.name}, {each}, {backbone}, seed {seed}: exit status {done.returncode}", flush=True)
        return None
    return json.loads(done.stdout.splitlines()[-1])


def kept(log: Path) -> list[Figures]:
    """Return the runs of a log."""
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.is_file() else []


def by_cell(runs: list[Figures]) -> pd.DataFrame:
    """Return a row for each cell in which the recipe and its solved head ran: figures of each, means over the seeds.

    What was not run is NaN; so are times the tutorial's where that was measured on another machine.
    """
    table = pd.DataFrame(runs).drop_duplicates([*KEY, "method"], keep="last")
    machines = table.pivot(index=KEY, columns="method", values="machine").reindex(columns=METHODS)
    wide = table.pivot(
        index=KEY, columns="method", values=["accuracy", "seconds", "ece", "ece_by_chance", "test_images"]
    )
    wide = wide.dropna(subset=[("accuracy", "scenario"), ("accuracy", "solved")])
    flat = {f"{method}_{figure}": wide[figure, method] for figure in ("accuracy", "seconds") for method in METHODS}
    flat |= {f"{method}_ece": wide["ece", method] for method in ("solved", "scenario")}
    flat["ece_by_chance"] = wide["ece_by_chance", "scenario"]
    table = pd.DataFrame(flat | {"images": wide["test_images", "scenario"]}).astype(float)
    here = (machines[TUTORIAL] == machines["scenario"]).reindex(table.index)
    table["times"] = (table["scenario_seconds"] / table[f"{TUTORIAL}_seconds"]).where(here)
    for method in METHODS:  # on the same images: seeds that a method was not run on do not count
        table[f"{method}_gain"] = table["scenario_accuracy"] - table[f"{method}_accuracy"]
    cells = table.groupby(level=KEY[:-1])
    return cells.mean().assign(seeds=cells.size()).reset_index()


def behind(cells: pd.DataFrame, other: str) -> pd.Series:
    """Return in which cells the recipe is worse than another method by more than a standard error of the difference."""
    ours_, theirs = cells["scenario_accuracy"], cells[f"{other}_accuracy"]
    error = np.sqrt((ours_ * (1 - ours_) + theirs * (1 - theirs)) / cells["images"])
    return -cells[f"{other}_gain"] > error


def _gain(cells: pd.DataFrame, other: str) -> pd.Series:
    return 100 * cells[f"{other}_gain"].dropna()


def findings(cells: pd.DataFrame) -> list[str]:
    """Return in sentences how the recipe did against each of the others."""
    more = cells[cells["each"] != "10"]
    far = more[~more["data"].isin(LIKE_IMAGENET) & (more["solved_accuracy"] <= 0.95)]
    by_data = _gain(cells, "one_cycle").groupby(cells["data"]).mean()
    tutorial, times = _gain(cells, TUTORIAL), cells["times"].dropna()
    large = cells[(cells["images"] >= CALIBRATED) & (cells["each"] == "all")]
    said = [
        f"Against the tutorial: {tutorial.mean():+.1f} points on average of {len(tutorial)} cells, below it by more "
        f"than one standard error in {behind(cells, TUTORIAL).sum()}; in {times.median():.2f} times its seconds in the "
        f"median of {len(times)} cells measured on one machine, {times.max():.2f} at most.",
        f"Against fastai's schedule over as many epochs: {_gain(cells, 'one_cycle').mean():+.1f} points on average; "
        + ", ".join(f"{name} {gain:+.1f}" for name, gain in by_data.items())
        + ".",
    ]
    if len(more):
        said.append(
            f"Against its own solved head, with 30 images a class or all: {_gain(more, 'solved').mean():+.1f} points "
            f"on average of {len(more)} cells; in all cells worse by more than one standard error in "
            f"{behind(cells, 'solved').sum()} of {len(cells)}."
        )
    if len(far):
        said.append(
            f"The same, far from ImageNet, where the solved head is not above 95%: {_gain(far, 'solved').mean():+.1f} "
            f"points on average of {len(far)} cells, {_gain(far, 'solved').min():+.1f} at least."
        )
    if len(large):
        said.append(
            f"Calibration error with all images, on sets of {CALIBRATED} test images and more: "
            f"{large['scenario_ece'].mean():.3f} on average, {large['scenario_ece'].max():.3f} at most; if the "
            f"probabilities were all true, chance would make it {large['ece_by_chance'].mean():.3f} and "
            f"{large['ece_by_chance'].max():.3f}."
        )
    return said


def _told(accuracy: float, seconds: float) -> str:
    return "not run" if np.isnan(accuracy) else f"{100 * accuracy:.1f}, {seconds:.0f} s"


def draw(cells: pd.DataFrame) -> Figure:
    """Return the accuracy of each method in each cell, a panel for each network."""
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    panels = figure.subplots(ncols=cells["backbone"].nunique(), sharey=True, squeeze=False)[0]
    for axes, (backbone, part) in zip(panels, cells.groupby("backbone"), strict=True):
        names = part["data"] + ", " + part["each"]
        for method, (label, marker, edge, face) in DRAWN.items():
            style = {"marker": marker, "markeredgecolor": edge, "markerfacecolor": face, "linestyle": ""}
            axes.plot(100 * part[f"{method}_accuracy"], names, label=label, **style)
        axes.set(title=backbone, xlabel="test accuracy, %", xlim=(0, 102))
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("data, images a class")
    panels[0].invert_yaxis()
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    return figure


def page(runs: list[Figures], command: str) -> str:
    """Return the whole text."""
    cells, machines = by_cell(runs), sorted({one["machine"] for one in runs})
    rows = [
        f"| {one.data} | {one.each} | {one.backbone} | {one.seeds:.0f} | "
        + " | ".join(_told(getattr(one, f"{method}_accuracy"), getattr(one, f"{method}_seconds")) for method in METHODS)
        + f" | {one.scenario_ece:.3f} |"
        for one in cells.itertuples()
    ]
    return "\n".join(
        [
            "# The scenario recipes against the tutorial, their own solved head, and fastai's schedule",
            "",
            f"At {SIZE} pixels, with the ImageNet weights trained at 224, on one core for each run. Like ImageNet: "
            f"{' and '.join(LIKE_IMAGENET)}; from {LARGE} training images on the recipes for many. Test "
            "accuracy in percent and seconds of listing, decoding, building and training, means over the seeds; the "
            "clock stands still while the tutorial is validated. A standard error is that of the difference between "
            f"two shares of the test images. {' and '.join(machines)}; {versions()}. Made by:",
            "",
            f"    {command}",
            "",
            *(f"- {sentence}" for sentence in findings(cells)),
            "",
            "![test accuracy of each method in each cell](grid.svg)",
            "",
            "| data | images a class | network | seeds | tutorial | solved head | recipe | fastai's schedule | "
            "calibration error of the recipe |",
            "|---|---|---|---|---|---|---|---|---|",
            *rows,
            "",
        ]
    )


def main() -> None:
    """Run what is missing, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--each", nargs="+", default=["10", "30", "all"], help="training images of a class, or all")
    parser.add_argument("--backbones", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), help="run these alone")
    parser.add_argument("--log", type=Path, default=Path(__file__).with_suffix(".jsonl"), help="where runs are kept")
    one = parser.add_argument_group("one measurement, as JSON; what the script calls itself with")
    one.add_argument("--method", choices=METHODS)
    one.add_argument("--seed", type=int)
    options = parser.parse_args()
    if options.method:
        print(json.dumps(measure(options.method, start(options.data[0], options.seed, options.backbones[0]))))
        return
    runs = kept(options.log)
    for seed in range(options.seeds):
        for backbone in options.backbones:
            for each in options.each:
                for data in options.data:
                    for method in options.methods:
                        cell = dict(zip(KEY, (data.name, each, backbone, seed), strict=True))
                        with tempfile.TemporaryDirectory() as place:
                            cell |= {
                                "method": method,
                                "stated": told(method, drawn(data, each, seed, Path(place)), backbone),
                            }
                        if any(cell.items() <= kept.items() for kept in runs):
                            continue
                        figures = run(data, each, backbone, seed, method)
                        if figures is None:
                            continue
                        images = len(list((data / "test").glob("*/*.*")))
                        runs.append({**cell, "machine": machine(), "test_images": images, **figures})
                        print(json.dumps(runs[-1]), flush=True)
                        with options.log.open("a", encoding="utf-8") as log:
                            log.write(json.dumps(runs[-1]) + "\n")
    # Read anew: other sets may be measured at the same time, on other cores.
    runs = kept(options.log)
    names = " ".join(dict.fromkeys(one["data"] for one in runs))
    command = f"python benchmarks/grid.py {names} --seeds {options.seeds}"
    text = page(runs, command)
    Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")
    keep(draw(by_cell(runs)), Path(__file__).with_suffix(".svg"))
    print(text)


if __name__ == "__main__":
    main()
