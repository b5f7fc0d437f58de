"""Whether a check finds copies that were saved again, and labels that are wrong.

    KERAS_HOME=... python -m benchmarks.decisions.data_check DATA_FOLDER... [--seeds 3]

A data folder holds train/ with a folder for each class; nothing else is read. Copies: of a tenth of the images one is
added that is mirrored, made smaller (80%) and saved as JPEG of quality 70, or only one of these. Labels: a twentieth or
a tenth of the labels are changed to another class at random; MobileNet 0.25 at 96 px. Writes results/data_check.jsonl
and pages/data_check.md.
"""

import argparse
import io
import os
import random
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pandas as pd
from PIL import Image

from benchmarks.lib import measure, pages, results
from benchmarks.lib.results import Row
from kerastune_recipes import Recipe
from kerastune_recipes.checking import near_copies, traits
from kerastune_recipes.checking.check import check
from kerastune_recipes.data.sources.open import open_dataset

RATES = (0.05, 0.1)
SHARE = 0.1


def again(image: Image.Image) -> Image.Image:
    """Return an image saved as JPEG of quality 70."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=70)
    return Image.open(file).convert("RGB")


def smaller(image: Image.Image) -> Image.Image:
    """Return an image at 80% of its size."""
    return image.resize((max(1, round(0.8 * image.width)), max(1, round(0.8 * image.height))), Image.Resampling.BICUBIC)


def mirrored(image: Image.Image) -> Image.Image:
    """Return the mirror image."""
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "JPEG 70": again,
    "80%": smaller,
    "mirrored": mirrored,
    "all three": lambda image: again(mirrored(smaller(image))),
}


def copies(data: Path, change: str, seed: int) -> Row:
    """Return how many of the added copies are found, and how many other pairs."""
    files = sorted((data / "train").glob("*/*"))
    chosen = random.Random(seed).sample(files, round(SHARE * len(files)))
    with tempfile.TemporaryDirectory() as place:
        added = []
        for number, file in enumerate(chosen):
            path = Path(place) / f"copy_{number}.png"
            CHANGES[change](Image.open(file).convert("RGB")).save(path)
            added.append(path)
        table = pd.DataFrame(
            {
                "path": list(map(str, [*files, *added])),
                "label": [file.parent.name for file in [*files, *chosen]],
                "split": ["train"] * len(files) + ["test"] * len(added),
            }
        )
        dataset = open_dataset(table)
        assert dataset.test is not None  # the copies
        found = traits.read({"train": dataset.pooled().train, "test": dataset.test})
    names = [one.name for one in found]
    planted = {frozenset((str(file), str(path))) for file, path in zip(chosen, added, strict=True)}
    pairs = {frozenset((names[one.first], names[one.second])) for one in near_copies.find(found)}
    return {
        "planted": len(planted),
        "found": len(planted & pairs),
        # A pair of a copy with an image that has a true copy among the images follows from that one.
        "others": len([pair for pair in pairs - planted if not any("copy_" in name for name in pair)]),
        "images": len(files),
    }


def labels(data: Path, rate: float, seed: int) -> Row:
    """Return how many of the changed labels are found doubtful, and how many doubtful labels were changed."""
    files = sorted((data / "train").glob("*/*"))
    truth = np.array([file.parent.name for file in files])
    classes, chooser = np.unique(truth), np.random.default_rng(seed)
    wrong = chooser.choice(len(files), round(rate * len(files)), replace=False)
    given = truth.copy()
    for index in wrong:
        given[index] = chooser.choice(classes[classes != truth[index]])
    table = pd.DataFrame({"path": list(map(str, files)), "label": given})
    recipe = Recipe.from_name("small_similar", **{"backbone.name": "MobileNet_0.25", "backbone.image_size": 96})
    checked = check(table, recipe, seed=seed, verbose=False)
    doubtful = {picture.name for one in checked.findings if one.kind == "doubtful labels" for picture in one.pictures}
    planted = {str(files[index]) for index in wrong}
    return {"planted": len(planted), "doubtful": len(doubtful), "found": len(planted & doubtful), "images": len(files)}


def measured(data: list[Path], seeds: int) -> Iterator[Row]:
    """Yield the rows of all cells."""
    for folder in data:
        for seed in range(seeds):
            for change in CHANGES:
                yield {"part": "copies", "data": folder.name, "change": change, **copies(folder, change, seed)}
            for rate in RATES:
                yield {"part": "labels", "data": folder.name, "rate": rate, **labels(folder, rate, seed)}


def main() -> None:
    """Measure every cell, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    rows = []
    for row in measured(options.data, options.seeds):
        print(row, flush=True)
        rows.append(row)
    results.replace("data_check", results.RUNS, rows)
    names = " ".join(data.name for data in options.data)
    command = f"python -m benchmarks.decisions.data_check {names} --seeds {options.seeds}"
    results.replace("data_check", results.MADE, [measure.made(command)])
    print(pages.write_page("data_check"))


if __name__ == "__main__":
    main()
