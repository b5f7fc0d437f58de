"""Ways to fine-tune from a solved head, on parts of the training images, judged by the rest of them.

    KERAS_HOME=... python benchmarks/fine_tuning.py DATA_FOLDER... [--variants rate=3e-3 ...]

A data folder holds train/ with a folder for each class; nothing else is read. Of each class some images are trained on,
at most three quarters; the others judge, a sample of them where they are many. A variant is written as `key=value`
pairs joined by commas, see KEYS. With `refit` the package holds out images of its own to choose by, and the judges
judge what it returns, as a user's test images would; otherwise they choose. Each trial is one line of the log; those
that are there already are not run again. At the end the trials are printed, and for each variant what it gained over
the solved head, or with `refit` what came of it.
"""

import argparse
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pandas as pd

from kerastune_recipes import Recipe, RequestError
from kerastune_recipes.planning.augmentation_presets import preset

FIT = "phases.fine_tuning.fit."
# What a variant may say, and which key of the recipe it stands for.
KEYS = {
    "rate": f"{FIT}learning_rate",
    "epochs": f"{FIT}duration",
    "augmentation": f"{FIT}augmentation",
    "batch_norm": f"{FIT}batch_norm",
    "batch_size": f"{FIT}batch_size",
    "stage_decay": f"{FIT}stage_decay",
    "label_smoothing": f"{FIT}label_smoothing",
    "l2_sp": f"{FIT}l2_sp",
    "weight_decay": f"{FIT}optimizer.weight_decay",
    "ema": f"{FIT}optimizer.ema_momentum",
    "mixing": f"{FIT}augmentation",
    "head_rate": f"{FIT}trainable",
    "head": "phases.feature_extraction.solve.head",
    "refit": "refit",
    "taps": "features.taps",
    "views": "features.views",
    "layers": f"{FIT}trainable",
    "frozen": f"{FIT}trainable",
    "phase_views": f"{FIT}views",
}
# Sets whose images keep their class when mirrored; the others are fine-tuned by the recipe for dissimilar images.
LIKE_IMAGENET = ("hymenoptera", "cifar10")
SHARE, MOST_JUDGES = 0.75, 600


def overrides(variant: str) -> dict[str, Any]:
    """Return what a variant changes in a recipe."""
    changes: dict[str, Any] = {}
    for pair in variant.split(","):
        key, _, value = pair.partition("=")
        number = float(value) if value.replace(".", "").replace("e-", "").isdigit() else value
        match key:
            case "epochs":
                changes[KEYS[key]] = f"{value} epochs"
            case "batch_size" | "views" | "phase_views":
                changes[KEYS[key]] = int(value)
            case "layers":
                changes[KEYS[key]] = [["head", 1.0], [f"backbone/{value}", 1.0], ["backbone", "frozen"]]
            case "frozen":
                changes[KEYS[key]] = [["head", 1.0], [f"backbone/{value}", "frozen"], ["backbone", 1.0]]
            case "mixing":
                changes[KEYS[key]] = [*preset("light", "none"), {"layer": value}]
            case "head_rate":
                changes[KEYS[key]] = [["head", number], ["backbone", 1.0]]
            case _:
                changes[KEYS[key]] = number
    return changes


def divided(data: Path, each: str, seed: int) -> pd.DataFrame:
    """Return paths and labels of images to train on, so many of each class or "all", and to judge by."""
    files = sorted((data / "train").glob("*/*"))
    images = pd.DataFrame({"path": map(str, files), "label": [file.parent.name for file in files]})
    images = images.sample(frac=1, random_state=seed)
    most = (SHARE * images.groupby("label")["label"].transform("size")).round()
    trained = images.groupby("label").cumcount() < (most if each == "all" else most.clip(upper=int(each)))
    judges = images[~trained]
    judges = judges.sample(min(MOST_JUDGES, len(judges)), random_state=seed)
    return pd.concat([images[trained].assign(split="train"), judges.assign(split="validation")])


def trial(data: Path, each: str, seed: int, variant: str, backbone: str, size: int) -> dict[str, Any]:
    """Run one variant, and return what the judges say of it."""
    name = "large_similar" if data.name in LIKE_IMAGENET else "large_dissimilar"
    recipe = Recipe.from_name(
        name, **{"backbone.name": backbone, "backbone.image_size": size, "refit": "none", **overrides(variant)}
    )
    images = divided(data, each, seed)
    if "refit" in variant:
        images = images.replace({"split": {"validation": "test"}})
    report = recipe.run(images, seed=seed, verbose=False)
    solved, fitted = report.record["phases"]
    return {
        "data": data.name,
        "backbone": backbone,
        "size": size,
        "each": each,
        "seed": seed,
        "variant": variant,
        "images": int((images["split"] == "train").sum()),
        "solved": solved["validation"],
        "kept": fitted["validation"],
        "judged": report.record["test"] if "refit" in variant else fitted["validation"],
        "interpolation": fitted["interpolation"],
        "log_loss_by_interpolation": fitted["log_loss_by_interpolation"],
        "ece_before_temperature": fitted["ece_before_temperature"],
        "accuracy_by_epoch": [row["val_accuracy"] for row in report.history],
        "log_loss_by_epoch": [row["val_loss"] for row in report.history],
        "learning_rate": fitted.get("learning_rate"),
        "seconds": fitted["seconds"],
    }


def table(trials: Iterable[dict[str, Any]]) -> str:
    """Return the trials as a table: accuracy and log loss of the solved head, after the phase, and of what is kept."""
    rows = [
        f"| {one['data']} | {one['backbone']} {one['size']} px | {one['each']} | {one['seed']} | {one['variant']} "
        f"| {one['solved']['accuracy']:.1%}, {one['solved']['log_loss']:.3f} "
        f"| {one['accuracy_by_epoch'][0]:.1%} | {one['accuracy_by_epoch'][-1]:.1%} "
        f"| {one['judged']['accuracy']:.1%}, {one['judged']['log_loss']:.3f} | {one['interpolation']:g} "
        f"| {one['ece_before_temperature']:.3f} to {one['judged']['ece']:.3f} |"
        for one in trials
    ]
    header = (
        "data",
        "backbone",
        "images a class",
        "seed",
        "variant",
        "solved head",
        "after the first epoch",
        "after the last",
        "kept",
        "share",
        "calibration error",
    )
    return "\n".join([f"| {' | '.join(header)} |", f"|{'---|' * len(header)}", *rows])


def summary(trials: Iterable[dict[str, Any]]) -> str:
    """Return for each variant what it gained over the solved head, means over the seeds: points, nats, and seconds.

    The mean at the end is over the data sets, of variants that were tried on all of them.
    """
    found = pd.DataFrame(
        {
            **_cell(one),
            "points": 100 * (one["judged"]["accuracy"] - one["solved"]["accuracy"]),
            "nats": one["solved"]["log_loss"] - one["judged"]["log_loss"],
            "seconds": one["seconds"],
        }
        for one in trials
        if "refit" not in one["variant"]
    )
    return _by_variant(found, lambda means: f"{means['points']:+.1f}, {means['nats']:.3f}, {means['seconds']:.0f} s")


def returned(trials: Iterable[dict[str, Any]]) -> str:
    """Return for each variant with a refit accuracy and log loss of what a run returned, means over the seeds.

    Of each cell only seeds count that all variants there were tried with, so that they are judged by the same images.
    """
    found = pd.DataFrame(
        {**_cell(one), "accuracy": one["judged"]["accuracy"], "log_loss": one["judged"]["log_loss"]}
        for one in trials
        if "refit" in one["variant"]
    )
    if found.empty:
        return ""
    cell = ["setting", "data"]
    variants = found.groupby(cell)["variant"].transform("nunique")
    shared = found.groupby([*cell, "seed"])["variant"].transform("nunique") == variants
    return _by_variant(found[shared], lambda means: f"{means['accuracy']:.1%}, {means['log_loss']:.3f}")


def _cell(one: dict[str, Any]) -> dict[str, Any]:
    setting = f"{one['backbone']} at {one['size']} px, {one['each']} a class"
    return {"setting": setting, **{key: one[key] for key in ("variant", "data", "seed")}}


def _by_variant(found: pd.DataFrame, told: Callable[[pd.Series], str]) -> str:
    """Return a table for each setting: a line for each variant, a column for each set, and the mean over the sets."""
    if found.empty:
        return ""
    parts = []
    for setting, of_setting in found.groupby("setting"):
        names = sorted(of_setting["data"].unique())
        lines = [f"| {setting} | seeds | {' | '.join(names)} | mean |", f"|---|---|{'---|' * len(names)}---|"]
        for variant, of_variant in of_setting.groupby("variant", sort=False):
            means = of_variant.drop(columns=["setting", "variant", "seed"]).groupby("data").mean()
            cells = [told(means.loc[name]) if name in means.index else "" for name in names]
            whole = told(means.mean()) if len(means) == len(names) else ""
            lines.append(f"| {variant} | {of_variant['seed'].nunique()} | {' | '.join(cells)} | {whole} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def main() -> None:
    """Run what is missing, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", type=Path)
    log = Path(__file__).with_suffix(".jsonl")
    parser.add_argument("--log", type=Path, default=log, help="where trials are kept, and taken from")
    parser.add_argument("--variants", nargs="*", default=[])
    parser.add_argument("--each", nargs="+", default=["30", "all"], help="training images of a class, or all")
    parser.add_argument("--backbone", default="MobileNetV2")
    parser.add_argument("--image-size", type=int, default=160)
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    lines = options.log.read_text(encoding="utf-8").splitlines() if options.log.is_file() else []
    trials = [json.loads(line) for line in lines]
    key = ("data", "backbone", "size", "each", "seed", "variant")
    done = {tuple(one[name] for name in key) for one in trials}
    for seed in range(options.seeds):
        for each in options.each:
            for data in options.data:
                for variant in options.variants:
                    if (data.name, options.backbone, options.image_size, each, seed, variant) in done:
                        continue
                    try:
                        found = trial(data, each, seed, variant, options.backbone, options.image_size)
                    except RequestError as error:
                        parser.error(f"{variant}: {error}")
                    trials.append(found)
                    with options.log.open("a", encoding="utf-8") as log:
                        log.write(json.dumps(found) + "\n")
                    print(table([found]).splitlines()[-1], flush=True)
    print(table(trials))
    print()
    print(summary(trials))
    print()
    print(returned(trials))


if __name__ == "__main__":
    main()
