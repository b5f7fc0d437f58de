"""By which rule held-out images should keep a phase, on phases that were trained.

    KERAS_HOME=... python benchmarks/gate.py DATA_FOLDER... --kept FOLDER [--backbones MobileNet_0.25 MobileNetV2]

A data folder holds train/ with a folder for each class; nothing else is read. As in fine_tuning.py some images of each
class are trained on, by `small_similar` or `small_dissimilar`, and the rest judges every way that the gate knows. Of
these images as many are drawn again and again as a run would hold out; a rule chooses by them, and the others tell what
it chose. What the judges were told is kept in a folder, and not trained again. The page is benchmarks/gate.md.
"""

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pandas as pd
from fine_tuning import LIKE_IMAGENET, divided
from reporting import versions

from kerastune_recipes import Recipe, gate
from kerastune_recipes.solvers.calibration import Judge

BEFORE = str(gate.BEFORE)
DRAWS = 200
# Of all images the share that a run holds out, against what it trains on.
HELD = 0.25
# From a gain of this on, nats, a choice counts as harm.
HARM = 0.02


def kept(gains: np.ndarray) -> dict[str, bool]:
    """Return by which rules a phase would be kept whose best way gains this much on each image (n,), nats."""
    count, total, mean = len(gains), gains.sum(), gains.mean()
    error = gains.std(ddof=1) / np.sqrt(count)
    return {
        "always": True,
        "any gain": bool(total > 0),
        "one standard error": bool(mean > error),
        **{f"{nats:g} nats": bool(total > nats) for nats in (1, 2, 3)},
        f"one standard error and {gate.EVIDENCE:g} nats": bool(mean > error and total > gate.EVIDENCE),
    }


def told(data: Path, each: str, backbone: str, size: int, seed: int, folder: Path) -> dict[str, np.ndarray]:
    """Return what the judges are told of a phase: probabilities (n, k) by way, and the labels (n,)."""
    file = folder / f"{data.name}_{each}_{backbone}_{seed}.npz"
    if not file.is_file():
        name = "small_similar" if data.name in LIKE_IMAGENET else "small_dissimilar"
        changes = {"backbone.name": backbone, "backbone.image_size": size, "refit": "none"}
        with mock.patch.object(gate, "judge", wraps=gate.judge) as judge:
            Recipe.from_name(name, **changes).run(divided(data, each, seed), seed=seed, verbose=False)
        candidates, labels = judge.call_args.args
        np.savez(file, labels=labels, **{str(way): probabilities for way, probabilities in candidates.items()})
    with np.load(file) as found:
        return dict(found)


def chosen(logits: Mapping[str, np.ndarray], labels: np.ndarray, held: np.ndarray) -> pd.DataFrame:
    """Return what each rule chooses by some images (n,), True for these, and what that gains on the others."""
    chooser, judge = (Judge(labels[part], np.ones(part.sum()), offsets=False) for part in (held, ~held))
    losses, outcome = {}, {}
    for way, raw in logits.items():
        temperature = 1.0 if way == BEFORE else chooser(raw[held])[0].temperature
        losses[way] = chooser.losses(raw[held] / temperature)
        cooled = raw[~held] / temperature
        outcome[way] = judge.losses(cooled).mean(), (cooled.argmax(axis=1) == labels[~held]).mean()
    best = min((way for way in losses if way != BEFORE), key=lambda way: losses[way].mean())
    rows = []
    for rule, keeps in kept(losses[BEFORE] - losses[best]).items():
        nats, right = np.subtract(outcome[best if keeps else BEFORE], outcome[BEFORE])
        rows.append({"rule": rule, "kept": keeps, "nats": -nats, "points": 100 * right, "harm": nats > HARM})
    return pd.DataFrame(rows)


def main() -> None:
    """Train what is missing, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--kept", type=Path, required=True, help="folder for what the judges are told")
    parser.add_argument("--each", nargs="+", default=["10", "30"], help="training images of a class")
    parser.add_argument("--backbones", nargs="+", default=["MobileNet_0.25", "MobileNetV2"])
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    options.kept.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    found = []
    for backbone in options.backbones:
        for each in options.each:
            for data in options.data:
                for seed in range(options.seeds):
                    seen = told(data, each, backbone, options.image_size, seed, options.kept)
                    labels = seen.pop("labels")
                    logits = {way: np.log(np.maximum(probabilities, 1e-30)) for way, probabilities in seen.items()}
                    trained = (divided(data, each, seed)["split"] == "train").sum()
                    count = min(round(HELD * trained), len(labels) // 2)
                    for _ in range(DRAWS):
                        held = np.zeros(len(labels), bool)
                        held[random.choice(len(labels), count, replace=False)] = True
                        found.append(chosen(logits, labels, held).assign(backbone=backbone, each=each, data=data.name))
    means = (
        pd.concat(found).groupby(["backbone", "each", "rule"], sort=False)[["kept", "nats", "points", "harm"]].mean()
    )
    rows = [
        f"| {one.backbone} | {one.each} | {one.rule} | {one.kept:.0%} | {one.nats:+.3f} | {one.points:+.2f} "
        f"| {one.harm:.0%} |"
        for one in means.reset_index().itertuples()
    ]
    names = " ".join(data.name for data in options.data)
    text = [
        "# By which rule held-out images should keep a phase",
        f"Phases of `small_similar` and `small_dissimilar` at {options.image_size} px, {options.seeds} seeds, with 10 "
        "or 30 training images a class where there are so many, judged by some 60 to 600 other training images. As "
        "many of these as a run would hold out are drawn 200 times; a rule chooses by them between the model before "
        "the phase and the best of the others, each with the temperature found on them. The rest tells what that gains "
        "over the model before: nats of log loss, points of accuracy, means over the sets; and how often the choice "
        f"is worse than the model before by {HARM} nats. {versions()}. Made by:",
        f"    python benchmarks/gate.py {names} --kept FOLDER",
        "\n".join(
            [
                "| network | images a class | kept, if it gains | kept | nats gained | points gained | harm |",
                "|---|---|---|---|---|---|---|",
                *rows,
            ]
        ),
    ]
    Path(__file__).with_suffix(".md").write_text("\n\n".join(text) + "\n", encoding="utf-8")
    print(text[-1])


if __name__ == "__main__":
    main()
