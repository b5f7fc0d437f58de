"""Few labels and many unlabelled images: self-training and co-training against the supervised head.

    KERAS_HOME=... python -m benchmarks.decisions.unlabeled DATA_FOLDER... [--seeds 3] [--labels 4]

A data folder holds train/ and test/ with a folder for each class. Of the training images some of each class keep their
label, by seed; the others are unlabelled. Everything is judged by cross-validation of the labelled images, and measured
on the test images. Writes results/unlabeled.jsonl and pages/unlabeled.md.
"""

import argparse
from pathlib import Path

import pandas as pd

from benchmarks.lib import measure, pages, results
from benchmarks.lib.results import Row
from kerastune_recipes import Recipe

BACKBONES = ("MobileNetV2", "MobileNet_0.25")
SIZE = 160


def listed(folder: Path) -> pd.DataFrame:
    """Return paths and labels of the images in class folders."""
    found = [(str(path), path.parent.name) for path in sorted(folder.glob("*/*"))]
    return pd.DataFrame(found, columns=["path", "label"])


def few(images: pd.DataFrame, labels: int, seed: int) -> tuple[pd.DataFrame, list[str]]:
    """Return the images that keep their labels, and the paths of the others."""
    kept = images.groupby("label").sample(labels, random_state=seed)
    return kept, images.drop(kept.index)["path"].tolist()


def recipes() -> dict[str, tuple[Recipe, str | None]]:
    """Return by title the recipe, and the title of the supervised one it is compared with."""
    sized = {"backbone.image_size": SIZE}
    solved = {"phases": [{"name": "feature_extraction", "solve": {}}]}
    both = {**sized, "backbone.name": BACKBONES[0], "ensemble": [{"name": BACKBONES[1]}]}
    found: dict[str, tuple[Recipe, str | None]] = {}
    for name in BACKBONES:
        alone = {**sized, "backbone.name": name}
        found[f"supervised, {name}"] = (Recipe.from_name("small_similar", **alone, **solved), None)
        found[f"self_train, {name}"] = (Recipe.from_name("self_train", **alone), f"supervised, {name}")
    found["supervised, both"] = (Recipe.from_name("features_ensemble", **both), None)
    found["self_train, both"] = (Recipe.from_name("self_train", **both), "supervised, both")
    found["cotrain, both"] = (Recipe.from_name("cotrain", **both), "supervised, both")
    return found


def measured(data: Path, labels: int, seed: int) -> dict[str, tuple[float, bool]]:
    """Return by title the test accuracy, and whether the pseudo-labels were kept."""
    images, test = listed(data / "train"), listed(data / "test")
    kept, others = few(images, labels, seed)
    found = {}
    for title, (recipe, against) in recipes().items():
        pool = others if against else None
        report = recipe.run({"train": kept, "test": test}, folds=labels, seed=seed, verbose=False, unlabeled=pool)
        (phase,) = report.record["phases"]
        found[title] = (report.metrics["test"]["accuracy"], "rounds" in phase["judged_by"])
        print(data.name, seed, title, f"{found[title][0]:.1%}", phase["judged_by"], flush=True)
    return found


def rows(name: str, rounds: list[dict[str, tuple[float, bool]]]) -> list[Row]:
    """Return the figures of one data set over all seeds: accuracies and gains in percent and points."""
    lines = []
    for title, (_, against) in recipes().items():
        accuracy = measure.spread([100 * found[title][0] for found in rounds])
        line: Row = {"data": name, "title": title, "accuracy": accuracy}
        if against is not None:
            line["gain"] = measure.spread([100 * (found[title][0] - found[against][0]) for found in rounds])
            line |= {"kept": sum(found[title][1] for found in rounds), "seeds": len(rounds)}
        lines.append(line)
    return lines


def main() -> None:
    """Measure, and write the page after each data set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--labels", type=int, default=4, help="labelled images of each class")
    options = parser.parse_args()
    names = " ".join(data.name for data in options.data)
    command = f"python -m benchmarks.decisions.unlabeled {names} --seeds {options.seeds} --labels {options.labels}"
    tests = {data.name: len(listed(data / "test")) for data in options.data}
    setting = {"recipes": ["cotrain", "self_train"], "labels": options.labels, "test_images": tests}
    found: list[Row] = []
    for data in options.data:
        found += rows(data.name, [measured(data, options.labels, seed) for seed in range(options.seeds)])
        results.replace("unlabeled", "accuracy", found)
        results.replace("unlabeled", results.MADE, [{**measure.made(command), **setting}])
        text = pages.write_page("unlabeled")
    print(text)


if __name__ == "__main__":
    main()
