"""The scenario recipes over data sets, images a class, networks and seeds, against the methods they should beat.

    KERAS_HOME=... python -m benchmarks.product.grid DATA_FOLDER... [--each 10 30 all] [--seeds 3]

A data folder holds train/ and test/ with a folder for each class. A cell trains on a number of images of each class,
drawn by the seed, and is judged on all test images, which choose nothing. In each cell four methods run, each in a
process of its own with an empty cache: the tutorial of tensorflow.org, the solved head of the scenario's recipe alone,
the whole recipe, and fastai's schedule (`one_cycle`) over as many epochs. Each run is one line of results/grid.jsonl,
and is not run again while its plan stays the same. At the end pages/grid.md and its figure are written from all runs.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from benchmarks.lib import measure, pages, results
from benchmarks.lib.images import LIKE_IMAGENET
from benchmarks.lib.results import Row
from benchmarks.product.competitors import NETWORKS, SIZE, Task, ours, start, tensorflow_tutorial
from benchmarks.tables.grid import KEY, METHODS, TUTORIAL
from kerastune_recipes import Recipe
from kerastune_recipes.evaluation import metrics
from kerastune_recipes.records import digest

# Number of training images from which the recipes for many images run.
LARGE = 1000
AT_SIZE = {"backbone.image_size": SIZE}


def scenario(data: Path) -> str:
    """Return the recipe for a folder with train/."""
    size = "large" if len(list((data / "train").glob("*/*"))) >= LARGE else "small"
    return f"{size}_{'similar' if data.name in LIKE_IMAGENET else 'dissimilar'}"


def drawn(data: Path, each: str, seed: int, place: Path) -> Path:
    """Link the test images and `each` training images of each class, or "all", into a folder of the same name."""
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


def solved_alone(name: str) -> Row:
    """Return the overrides that leave a recipe its solved head."""
    phases = Recipe.from_name(name).content.to_data()["phases"]
    return {"phases": [phase for phase in phases if "solve" in phase]}


def as_many_epochs(name: str, train: Path, backbone: str) -> Row:
    """Return the overrides that give fastai's schedule as many epochs as a recipe takes.

    Its batch of 64 is larger than the training sets of the smallest cells: these use the batch size of the recipe.
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
    changes: Row = {"backbone": backbone, **AT_SIZE}
    match method:
        case "solved":
            changes |= solved_alone(name)
        case "one_cycle":
            changes |= as_many_epochs(name, data / "train", backbone)
            name = "one_cycle"
    return Recipe.from_name(name, **changes)


def ece_by_chance(probabilities: np.ndarray, seed: int, draws: int = 200) -> float:
    """Return the mean calibration error by chance on n images if these probabilities (n, k) were all true."""
    random = np.random.default_rng(seed)
    below = probabilities.cumsum(axis=1) / probabilities.sum(axis=1, keepdims=True)
    drawn = [(below[:, :-1] < random.random((len(below), 1))).sum(axis=1) for _ in range(draws)]
    return float(np.mean([metrics.ece(probabilities, labels) for labels in drawn]))


def measured(method: str, task: Task) -> Row:
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


def stated_digest(method: str, data: Path, backbone: str) -> str | None:
    """Return a digest of the plan of a method's recipe, with all rules applied; None for the tutorial."""
    return None if method == TUTORIAL else digest(stated(method, data, backbone).plan(data / "train"))


def run(data: Path, each: str, backbone: str, seed: int, method: str) -> Row | None:
    """Measure one method in one cell, in a process of its own, or print its exit status and return None."""
    with tempfile.TemporaryDirectory() as place:
        folder = drawn(data, each, seed, Path(place))
        command = [
            sys.executable,
            "-m",
            "benchmarks.product.grid",
            str(folder),
            "--method",
            method,
            "--seed",
            str(seed),
        ]
        environment = {**os.environ, "KERASTUNE_CACHE": str(Path(place) / "cache")}
        done = subprocess.run(
            [*command, "--backbones", backbone], env=environment, stdout=subprocess.PIPE, text=True, check=False
        )
    if done.returncode:
        print(f"{method} on {data.name}, {each}, {backbone}, seed {seed}: exit status {done.returncode}", flush=True)
        return None
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Run the missing methods, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--each", nargs="+", default=["10", "30", "all"], help="training images of a class, or all")
    parser.add_argument("--backbones", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), help="run only these")
    log = results.FOLDER / "grid.jsonl"
    parser.add_argument("--log", type=Path, default=log, help="file where runs are stored, and read from")
    one = parser.add_argument_group("one measurement, as JSON; the script calls itself with it")
    one.add_argument("--method", choices=METHODS)
    one.add_argument("--seed", type=int)
    options = parser.parse_args()
    if options.method:
        print(json.dumps(measured(options.method, start(options.data[0], options.seed, options.backbones[0]))))
        return
    runs = results.read_log(options.log)
    for seed in range(options.seeds):
        for backbone in options.backbones:
            for each in options.each:
                for data in options.data:
                    for method in options.methods:
                        cell = dict(zip(KEY, (data.name, each, backbone, seed), strict=True))
                        with tempfile.TemporaryDirectory() as place:
                            cell |= {
                                "method": method,
                                "stated": stated_digest(method, drawn(data, each, seed, Path(place)), backbone),
                            }
                        if any(cell.items() <= stored.items() for stored in runs):
                            continue
                        figures = run(data, each, backbone, seed, method)
                        if figures is None:
                            continue
                        images = len(list((data / "test").glob("*/*.*")))
                        runs.append({**cell, "machine": measure.machine(), "test_images": images, **figures})
                        print(json.dumps(runs[-1]), flush=True)
                        results.append(options.log, runs[-1])
    if options.log != log:
        return
    # Read again: other processes may have stored runs on other cores.
    names = " ".join(dict.fromkeys(one["data"] for one in results.read("grid")))
    made = measure.made(f"python -m benchmarks.product.grid {names} --seeds {options.seeds}")
    # Each run states its own machine.
    results.replace("grid", results.MADE, [{key: made[key] for key in ("versions", "command")}])
    print(pages.write_page("grid"))


if __name__ == "__main__":
    main()
