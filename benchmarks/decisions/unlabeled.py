"""Few labels and many unlabelled images: self-training and co-training against the supervised head.

    KERAS_HOME=... python benchmarks/unlabeled.py DATA_FOLDER... [--seeds 3] [--labels 4]

A data folder holds train/ and test/ with a folder for each class. Of the training images some of each class keep their
label, by seed; the others are unlabelled. Everything is judged by cross-validation of the labelled images, and measured
on the test images. The tables are printed and written to benchmarks/unlabeled.md.
"""

import argparse
from pathlib import Path

import pandas as pd
from reporting import machine, spread, versions

from kerastune_recipes import Recipe

BACKBONES = ("MobileNetV2", "MobileNet_0.25")
SIZE = 160
NOTES = """\
{labels} labelled images of each class, the other training images without labels; {size} px, ImageNet weights, all
stages. Seeds decide which images keep their labels. The supervised head is that of the same features, solved on the
labelled images alone. *Gain* is against it, seed by seed, in points of test accuracy; *kept* says in how many seeds
cross-validation of the labelled images kept what was learnt from unlabelled ones. One test image is {one}."""
RULE = """\
## One standard error

What was learnt from unlabelled images is kept where it gains more than one standard error of log loss in
cross-validation. Seen on training images alone: 4 labelled ones of a class, 60% of the others unlabelled, the rest to
judge by; four sets, five seeds, the four ways above, so 80 cells, in an experiment that is no part of this script.

| kept where it gains | points of accuracy | nats of log loss | changed | below the supervised head, the worst |
|---|---|---|---|---|
| anything | +3.7 | -0.141 | 62 | 9, -5.2 points |
| one standard error | +2.7 | -0.096 | 46 | 5, -2.0 points |
| two | +1.2 | -0.034 | 24 | 2, -1.9 points |
"""


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


def measure(data: Path, labels: int, seed: int) -> dict[str, tuple[float, bool]]:
    """Return by title the test accuracy, and whether unlabelled images had a part in it."""
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


def section(name: str, rounds: list[dict[str, tuple[float, bool]]]) -> str:
    """Return the table of one data set."""
    rows = []
    for title, (_, against) in recipes().items():
        accuracy = spread([100 * found[title][0] for found in rounds], "{:.1f}".format)
        if against is None:
            rows.append(f"| {title} | {accuracy} | | |")
            continue
        gains = spread([100 * (found[title][0] - found[against][0]) for found in rounds], "{:+.1f}".format)
        kept = sum(found[title][1] for found in rounds)
        rows.append(f"| {title} | {accuracy} | {gains} | {kept} of {len(rounds)} |")
    return "\n".join([f"## {name}", "", "| | test accuracy | gain | kept |", "|---|---|---|---|", *rows])


def main() -> None:
    """Measure, and write the page anew after each data set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--labels", type=int, default=4, help="of each class")
    options = parser.parse_args()
    names = " ".join(data.name for data in options.data)
    command = f"python benchmarks/unlabeled.py {names} --seeds {options.seeds} --labels {options.labels}"
    tests = [f"{100 / len(listed(data / 'test')):.1f} points on {data.name}" for data in options.data]
    sections = []
    for data in options.data:
        sections.append(section(data.name, [measure(data, options.labels, seed) for seed in range(options.seeds)]))
        notes = NOTES.format(labels=options.labels, size=SIZE, one=", ".join(tests))
        head = ["# Few labels, many unlabelled images", "", notes, "", "Medians over the seeds, lowest and highest in"]
        head += [f"brackets. {machine()}; {versions()}. Made by:", "", f"    {command}", ""]
        text = "\n".join([*head, "\n\n".join([*sections, RULE])])
        (Path(__file__).parent / "unlabeled.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
