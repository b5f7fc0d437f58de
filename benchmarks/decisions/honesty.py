"""Whether the figures of a run are those that its model has on images that nothing has seen.

    KERAS_HOME=... python -m benchmarks.decisions.honesty DATA_FOLDER... [--seeds 3] [--processes 2] [--only PART]

A data folder holds train/ with a folder for each class; nothing else is read. A run gets some images of each class, and
at most 600 of the others, which nothing sees before it ends, judge it. Parts:

- optimism: the validation figures of each recipe, by a hold-out or by folds, less those of the judging images;
- null: how often a phase of one step at 1e-9 is kept, of a small network at 32 px;
- prior: what a temperature found on a few images costs on others, by the prior on it, in simulation;
- balance: half of the classes have a tenth of the images of the others; how often rare images are recognised.

A cell that is stored is not run again. Writes results/honesty.jsonl and pages/honesty.md.
"""

import argparse
import json
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Each process has one core.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")

import numpy as np
import pandas as pd
from scipy.special import softmax

from benchmarks.lib import measure, pages, results
from benchmarks.lib.images import LIKE_IMAGENET, divided
from benchmarks.lib.results import Row
from kerastune_recipes.heads.calibration import Calibrator

BACKBONE = {"backbone.name": "MobileNet_0.25", "backbone.image_size": 96}
# Judged by a hold-out and by folds; the others by a hold-out, with ten images a class.
FOLDED = ("scenario", "head_lr_10x")
OTHERS = (
    "early_features", "features_bayes", "features_lda", "features_svm", "tiny_svm", "half_frozen", "freeze_stages",
    "gradual_unfreeze", "discriminative_lr", "strong_regularization", "classic_two_phase", "one_cycle", "reinit_layers",
)  # fmt: skip
FOLDS = 3
PRIORS = (None, 0.5, 0.75, 1.0)
SMALL = {"backbone.name": "DemoNet", "backbone.weights": "demo", "backbone.image_size": 32}
NULL_RUNS = 100
IMBALANCE = 10
FIT = "phases.fine_tuning.fit."
BALANCED = {FIT + "class_balance": "auto"}
# The trained phase as it is: nothing chosen, nothing solved again.
AS_TRAINED = {"keep": "last", "refit": "none", FIT + "solve_again": False}


def cells(data: list[Path], seeds: int) -> Iterator[Row]:
    """Yield all cells."""
    for seed in range(seeds):
        for folder in data:
            for way in ("none", "as trained", "returned", "folds"):
                yield {"part": "balance", "recipe": "scenario", "data": folder.name, "judged": way, "seed": seed}
            for recipe in FOLDED:
                for each in ("10", "30"):
                    for judged in ("hold-out", "folds"):
                        yield _optimism(recipe, folder, each, judged, seed)
            yield _optimism("scenario", folder, "all", "hold-out", seed)
            for recipe in OTHERS:
                yield _optimism(recipe, folder, "10", "hold-out", seed)
    for seed in range(NULL_RUNS):
        folder = data[seed % len(data)]
        yield {"part": "null", "recipe": "scenario", "data": folder.name, "each": "10", "seed": seed}


def _optimism(recipe: str, data: Path, each: str, judged: str, seed: int) -> Row:
    cell = {"part": "optimism", "recipe": recipe, "data": data.name, "each": each}
    return {**cell, "judged": judged, "seed": seed}


def scenario(data: Path) -> str:
    """Return the recipe for few images of a set."""
    return "small_similar" if data.name in LIKE_IMAGENET else "small_dissimilar"


def measured(cell: Row, data: Path) -> Row:
    """Run one cell, and return its figures."""
    of_part = {"null": null, "balance": balance, "optimism": optimism}[cell["part"]]
    return of_part(cell | ({"recipe": scenario(data)} if cell["recipe"] == "scenario" else {}), data)


def optimism(cell: Row, data: Path) -> Row:
    """Return the figures of a run as reported, and on images that nothing has seen."""
    images = divided(data, cell["each"], cell["seed"]).replace({"split": {"validation": "test"}})
    report = _run(cell["recipe"], images, cell["seed"], FOLDS if cell["judged"] == "folds" else None)
    validation, test = report.metrics["validation"], report.metrics["test"]
    keys = ("accuracy", "log_loss", "ece")
    return {
        "images": len(report.splits["validation"].labels),
        "judges": len(report.splits["test"].labels),
        **{f"reported_{key}": validation[key] for key in keys},
        **{f"seen_by_nothing_{key}": test[key] for key in keys},
        "chosen": report.record["chosen_phase"],
    }


def null(cell: Row, data: Path) -> Row:
    """Return whether a phase that does nothing is kept."""
    images = divided(data, cell["each"], cell["seed"]).replace({"split": {"validation": "test"}})
    images = images[images["split"] == "train"]
    changes = {**SMALL, FIT + "learning_rate": 1e-9, FIT + "duration": "1 step"}
    (*_, phase) = _run(cell["recipe"], images, cell["seed"], None, **changes).record["phases"]
    return {"kept": phase["interpolation"] > 0}


def balance(cell: Row, data: Path) -> Row:
    """Return how often images of rare and common classes are recognised."""
    images = divided(data, "all", cell["seed"]).replace({"split": {"validation": "test"}})
    names = sorted(images["label"].unique())
    rare = names[1::2]
    train = images[images["split"] == "train"]
    most = int(train.groupby("label").size().min())
    kept = train.groupby("label").cumcount() < train["label"].map(
        lambda name: most // IMBALANCE if name in rare else most
    )
    images = pd.concat([train[kept], images[images["split"] == "test"]])
    changes: Row = {} if cell["judged"] == "none" else {**BALANCED}
    if cell["judged"] == "as trained":
        changes |= AS_TRAINED
    folds = FOLDS if cell["judged"] == "folds" else None
    report = _run(cell["recipe"], images, cell["seed"], folds, **changes)
    split = report.splits["test"]
    right = split.probabilities.argmax(axis=1) == split.labels
    of_rare = np.isin(np.array(report.class_names)[split.labels], rare)
    return {
        "rare": float(right[of_rare].mean()),
        "common": float(right[~of_rare].mean()),
        "accuracy": report.metrics["test"]["accuracy"],
        "log_loss": report.metrics["test"]["log_loss"],
        "chosen": report.record["chosen_phase"],
    }


def _run(name: str, images: pd.DataFrame, seed: int, folds: int | None, **changes: Any) -> Any:
    from kerastune_recipes import Recipe  # in the process that runs it

    return Recipe.from_name(name, **{**BACKBONE, **changes}).run(images, seed=seed, folds=folds, verbose=False)


def temperature_priors(repetitions: int = 300) -> Iterator[Row]:
    """Yield what the temperature found on a few images costs on others, by the prior: nats above the best one.

    True temperatures are log-normal, exp(0.3 +- 0.5): trained networks are rather too certain.
    """
    random = np.random.default_rng(0)
    for images in (4, 10, 20, 60, 200):
        excess: dict[float | None, list[float]] = {prior: [] for prior in PRIORS}
        for _ in range(repetitions):
            classes, spread = random.choice([2, 10]), random.choice([1.5, 3.0])
            true = random.normal(size=(images + 1000, classes)) * spread
            labels = np.array([random.choice(classes, p=each) for each in softmax(true, axis=1)])
            raw = true * np.exp(random.normal(0.3, 0.5))
            judge = Calibrator(labels[images:], np.ones(1000), offsets=False)
            for prior, found in excess.items():
                fitted, _ = Calibrator(labels[:images], np.ones(images), False, prior).fit(raw[:images])
                found.append(judge.log_loss(raw[images:] / fitted.temperature) - judge.log_loss(true[images:]))
        for prior, found in excess.items():
            yield {"images": images, "prior": prior, "excess": float(np.mean(found))}


def main() -> None:
    """Run the missing cells, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", choices=("null", "balance", "optimism", "prior"), help="run only this part")
    options = parser.parse_args()
    log = results.FOLDER / "honesty.jsonl"
    stored = results.read_log(log)
    missing = [
        cell
        for cell in cells(options.data, options.seeds)
        if options.only in (None, cell["part"]) and not any(cell.items() <= row.items() for row in stored)
    ]
    by_name = {data.name: data for data in options.data}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.processes, mp_context=context) as pool:
        futures = {pool.submit(measured, cell, by_name[cell["data"]]): cell for cell in missing}
        for future in as_completed(futures):
            try:
                row = futures[future] | future.result()
            except Exception as error:  # a recipe may not fit a cell: its reason is shown, and the others go on
                print(f"{futures[future]}: {error}", flush=True)
                continue
            print(json.dumps(row), flush=True)
            results.append(log, row)
    if options.only in (None, "prior"):
        results.replace("honesty", "priors", list(temperature_priors()))
    names = " ".join(data.name for data in options.data)
    command = f"python -m benchmarks.decisions.honesty {names} --seeds {options.seeds}"
    results.replace("honesty", results.MADE, [measure.made(command)])
    print(pages.write_page("honesty"))


if __name__ == "__main__":
    main()
