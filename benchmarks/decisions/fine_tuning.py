"""Ways to fine-tune from a solved head, on part of the training images, judged on the rest.

    KERAS_HOME=... python -m benchmarks.decisions.fine_tuning DATA_FOLDER... [--variants rate=3e-3 ...]

A data folder holds train/ with a folder for each class; nothing else is read. Of each class some images are trained on,
at most three quarters; the others judge, a sample of them where they are many. A variant is written as `key=value`
pairs joined by commas, see KEYS. With `refit` the package holds out images of its own to choose by, and the judging
images test the returned model, as a user's test images would; otherwise they choose. Each trial is one line of
results/fine_tuning.jsonl; stored trials are not run again. At the end the trials are printed with the gain of each
variant over the solved head, and docs/experiments.md is written.
"""

import argparse
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.lib import pages, results
from benchmarks.lib.images import LIKE_IMAGENET, divided
from benchmarks.tables.fine_tuning import returned, summary, trials
from kerastune_recipes import Recipe, RequestError
from kerastune_recipes.planning.augmentation_presets import preset

FIT = "phases.fine_tuning.fit."
# Keys of a variant, and the keys of the recipe that they set.
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


def overrides(variant: str) -> dict[str, Any]:
    """Return the overrides of a recipe that a variant stands for."""
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


def trial(data: Path, each: str, seed: int, variant: str, backbone: str, size: int) -> dict[str, Any]:
    """Run one variant, and return its figures on the judging images."""
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


def main() -> None:
    """Run the missing trials, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", type=Path)
    log = results.FOLDER / "fine_tuning.jsonl"
    parser.add_argument("--log", type=Path, default=log, help="file where trials are stored, and read from")
    parser.add_argument("--variants", nargs="*", default=[])
    parser.add_argument("--each", nargs="+", default=["30", "all"], help="training images of a class, or all")
    parser.add_argument("--backbone", default="MobileNetV2")
    parser.add_argument("--image-size", type=int, default=160)
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    stored = results.read_log(options.log)
    key = ("data", "backbone", "size", "each", "seed", "variant")
    done = {tuple(one[name] for name in key) for one in stored}
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
                    stored.append(found)
                    results.append(options.log, found)
                    print(trials([found]).splitlines()[-1], flush=True)
    for table in (trials(stored), *summary(stored).values(), *returned(stored).values()):
        print(f"{table}\n")
    if options.log == log:
        pages.write_page("fine_tuning")
        pages.write_page("experiments")


if __name__ == "__main__":
    main()
