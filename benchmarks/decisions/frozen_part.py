"""Fine-tuning the last stage on the cached output of the frozen part: how many views are enough, and what it saves.

    KERAS_HOME=... python -m benchmarks.decisions.frozen_part views DATA_FOLDER... --image-size 96 --seeds 2
    python -m benchmarks.decisions.frozen_part time VGG16 ResNet50 --image-size 112 --images 64 --views 1 2 4

`views` fine-tunes the last stage as `small_similar` does the later half of the stages, from one solved head, once for
each number of views, and judges on the held-out part of the training images; nothing else is read. `time` trains random
weights on noise, in turn on fresh views and on cached ones. Writes results/frozen_part.jsonl and pages/frozen_part.md.
"""

import argparse
import math
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.lib import measure, pages, results
from benchmarks.lib.results import Row
from kerastune_recipes.data import decoding
from kerastune_recipes.evaluation import metrics
from kerastune_recipes.heads import solve
from kerastune_recipes.heads.rows import LabelledFeatures
from kerastune_recipes.model import forward
from kerastune_recipes.model.network import Network, assemble
from kerastune_recipes.planning import rules
from kerastune_recipes.run.options import RunOptions
from kerastune_recipes.run.prepare import Prepared, prepare
from kerastune_recipes.spec import catalog
from kerastune_recipes.training import fit as training

COUNTS: tuple[int | None, ...] = (1, 2, 4, 8, None)
LAST_STAGE = {"phases.fine_tuning.fit.trainable": [["head", 1.0], ["backbone/last_stage", 1.0], ["backbone", "frozen"]]}


# Training and validation images, with their labels.
Splits = tuple[training.LabelledImages, training.LabelledImages]


def decoded(prepared: Prepared) -> Splits:
    """Return training and validation images with their labels."""
    size = prepared.plan.backbone.image_size
    train, held = prepared.dataset.train, prepared.dataset.validation
    return (decoding.load(train, size), train.labels), (decoding.load(held, size), held.labels)


def fitted(prepared: Prepared, network: Network, images: Splits, views: int | None) -> tuple[float, float]:
    """Fine-tune, and return the wall seconds and the processor seconds it took."""
    plan = prepared.plan
    assert plan.phases[-1].fit is not None  # of small_similar
    fit = plan.phases[-1].fit.model_copy(update={"views": views})
    facts = prepared.facts.up_to(plan.features.taps)
    began = time.perf_counter(), time.process_time()
    training.fit(network, facts, "fine_tuning", fit, *images, training.FitOptions(seed=0))
    return time.perf_counter() - began[0], time.process_time() - began[1]


def views(folder: Path, backbone: str, size: int | str, seed: int) -> list[Row]:
    """Return accuracy and log loss on the held-out images for each number of views."""
    changes = {"backbone": backbone, "backbone.image_size": size, "phases.fine_tuning.fit.views": "fresh"}
    spec = catalog.load("small_similar", LAST_STAGE | changes)
    prepared = prepare("small_similar", spec, {"train": str(folder / "train")}, RunOptions(seed=seed))
    plan, images = prepared.plan, decoded(prepared)
    network = assemble(plan, prepared.facts, *prepared.networks)
    plan_of_head, fit = plan.phases[0].solve, plan.phases[1].fit
    assert plan_of_head is not None  # of small_similar
    assert fit is not None
    (pixels, labels), (held_pixels, held_labels) = images
    features = forward.predict(network.extractor, pixels)[None]
    solved = solve.solve(plan_of_head, LabelledFeatures(features, labels), seed)
    network.head.set_weights([solved.kernel, solved.bias])
    start = network.model.get_weights()
    epochs = math.ceil(fit.steps / math.ceil(len(labels) / fit.batch_size))
    found: list[Row] = []
    for count in COUNTS:
        if count is not None and count > epochs:
            continue
        network.model.set_weights(start)
        seconds, _ = fitted(prepared, network, images, count)
        scores = metrics.summary(forward.predict(network.core, held_pixels), held_labels)
        row = {"data": folder.name, "seed": seed, "images": len(labels), "image_size": plan.backbone.image_size}
        row |= {"epochs": epochs, "views": count, "accuracy": scores["accuracy"], "log_loss": scores["log_loss"]}
        found.append({**row, "seconds": seconds})
        print(found[-1], flush=True)
    return found


def timed(backbone: str, size: int, count: int, numbers: Sequence[int], epochs: int, repeats: int) -> list[Row]:
    """Return for each number of views the seconds of both ways and their ratios, repeat by repeat."""
    random = np.random.default_rng(0)
    pixels, labels = (
        random.integers(0, 256, (count * 5 // 4, size, size, 3), dtype=np.uint8),
        np.arange(count * 5 // 4) % 4,
    )
    changes = {
        "backbone.name": backbone,
        "backbone.weights": "none",
        "backbone.image_size": size,
        "phases.fine_tuning.fit.duration": f"{epochs} epochs",
    }
    ds = {"train": (pixels[:count], labels[:count]), "validation": (pixels[count:], labels[count:])}
    prepared = prepare("small_similar", catalog.load("small_similar", LAST_STAGE | changes), ds, RunOptions())
    images = decoded(prepared)
    network = assemble(prepared.plan, prepared.facts, *prepared.networks)
    keys = ("seconds_fresh", "seconds_behind", "ratios", "cpu_seconds_fresh", "cpu_seconds_behind", "cpu_ratios")
    rows: dict[int, Row] = {}
    for number in numbers:
        cell = {"image_size": size, "backbone": backbone, "images": count, "validation": len(labels) - count}
        rows[number] = {**cell, "views": number, "epochs": epochs, **{key: [] for key in keys}}
    for _ in range(repeats):
        fresh = fitted(prepared, network, images, None)
        for number, row in rows.items():
            cached = fitted(prepared, network, images, number)
            figures = (fresh[0], cached[0], fresh[0] / cached[0], fresh[1], cached[1], fresh[1] / cached[1])
            for key, figure in zip(keys, figures, strict=True):
                row[key].append(figure)
            print(row, flush=True)
    return list(rows.values())


def main() -> None:
    """Measure one of the two tables, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("views", help="how many are enough")
    command.add_argument("data", nargs="+", type=Path)
    command.add_argument("--backbone", default="MobileNetV2")
    command.add_argument("--image-size", type=int, default="auto")
    command.add_argument("--seeds", type=int, default=2)
    command = commands.add_parser("time", help="what they save")
    command.add_argument("backbones", nargs="+")
    command.add_argument("--image-size", type=int, default=224)
    command.add_argument("--images", type=int, default=64, help="to train on; a quarter as many to validate")
    command.add_argument("--views", type=int, nargs="+", default=[1, 2, rules.VIEWS])
    command.add_argument("--epochs", type=int, default=rules.MOST_EPOCHS)
    command.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    if options.command == "views":
        found = [
            row
            for seed in range(options.seeds)
            for folder in options.data
            for row in views(folder, options.backbone, options.image_size, seed)
        ]
        names = " ".join(folder.name for folder in options.data)
        text = f"python -m benchmarks.decisions.frozen_part views {names} --image-size {options.image_size}"
        results.replace("frozen_part", "views", found)
        results.replace("frozen_part", results.MADE, [measure.made(f"{text} --seeds {options.seeds}")])
    else:
        found = results.read("frozen_part", "time")
        for backbone in options.backbones:
            numbers, epochs, repeats = options.views, options.epochs, options.repeats
            found += timed(backbone, options.image_size, options.images, numbers, epochs, repeats)
        key = ("image_size", "backbone", "images", "views")
        # The last measurement of a setting takes the place of earlier ones.
        newest = {tuple(row[name] for name in key): row for row in found}
        results.replace("frozen_part", "time", newest.values())
    print(pages.write_page("frozen_part"))


if __name__ == "__main__":
    main()
