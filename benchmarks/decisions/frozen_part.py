"""Fine-tuning the last stage behind the frozen part: how many augmented views are enough, and what it saves.

    KERAS_HOME=... python benchmarks/frozen_part.py views DATA_FOLDER... --image-size 96 --seeds 2
    python benchmarks/frozen_part.py time VGG16 ResNet50 --image-size 112 --images 64 --views 1 2 4 --epochs 20

`views` fine-tunes the last stage as `small_similar` does the later half of the stages, from one solved head, once for
each number of views, and judges on the held out part of the training images; nothing else is read. `time` trains random
weights on noise, in turn fresh and behind the frozen part. Lines of a table are printed as they are found.
"""

import argparse
import math
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kerastune_recipes.data import decoding
from kerastune_recipes.evaluation import metrics
from kerastune_recipes.heads import solve as solve_module
from kerastune_recipes.heads.rows import LabelledFeatures
from kerastune_recipes.model import forward
from kerastune_recipes.model.network import Network, assemble
from kerastune_recipes.planning import rules
from kerastune_recipes.run.prepare import Prepared, prepare
from kerastune_recipes.spec import catalog
from kerastune_recipes.training import fit as training

COUNTS: tuple[int | None, ...] = (1, 2, 4, 8, None)
LAST_STAGE = {"phases.fine_tuning.fit.trainable": [["head", 1.0], ["backbone/last_stage", 1.0], ["backbone", "frozen"]]}


def decoded(prepared: Prepared) -> tuple[training.LabelledImages, training.LabelledImages]:
    """Return training and validation images with their labels."""
    size = prepared.plan.backbone.image_size
    train, held = prepared.dataset.train, prepared.dataset.validation
    return (decoding.load(train, size), train.labels), (decoding.load(held, size), held.labels)


def fitted(
    prepared: Prepared, network: Network, images: tuple[training.LabelledImages, training.LabelledImages], views: int | None
) -> tuple[float, float]:
    """Fine-tune, and return the seconds it took: by the wall, and of all processor cores together."""
    plan = prepared.plan
    assert plan.phases[-1].fit is not None  # of small_similar
    fit = plan.phases[-1].fit.model_copy(update={"views": views})
    facts = prepared.facts.up_to(plan.features.taps)
    began = time.perf_counter(), time.process_time()
    training.fit(network, facts, "fine_tuning", fit, *images, training.FitOptions(seed=0))
    return time.perf_counter() - began[0], time.process_time() - began[1]


def views(folder: Path, backbone: str, size: int | str, seed: int) -> None:
    """Print a line for each number of views."""
    changes = {"backbone": backbone, "backbone.image_size": size, "phases.fine_tuning.fit.views": "fresh"}
    spec = catalog.load("small_similar", LAST_STAGE | changes)
    prepared = prepare("small_similar", spec, {"train": str(folder / "train")}, seed=seed)
    plan, images = prepared.plan, decoded(prepared)
    network = assemble(plan, prepared.facts, *prepared.networks)
    solve, fit = plan.phases[0].solve, plan.phases[1].fit
    assert solve is not None  # of small_similar
    assert fit is not None
    (pixels, labels), (held_pixels, held_labels) = images
    found = forward.predict(network.extractor, pixels)[None]
    solved = solve_module.solve(solve, LabelledFeatures(found, labels), seed)
    network.head.set_weights([solved.kernel, solved.bias])
    start = network.model.get_weights()
    epochs = math.ceil(fit.steps / math.ceil(len(labels) / fit.batch_size))
    for count in COUNTS:
        if count is not None and count > epochs:
            continue
        network.model.set_weights(start)
        seconds, _ = fitted(prepared, network, images, count)
        scores = metrics.summary(forward.predict(network.core, held_pixels), held_labels)
        print(
            f"| {folder.name} | {seed} | {len(labels)} | {plan.backbone.image_size} | {epochs} "
            f"| {count or 'fresh'} | {scores['accuracy']:.1%} | {scores['log_loss']:.3f} | {seconds:.0f} |",
            flush=True,
        )


def timed(backbone: str, size: int, count: int, numbers: Sequence[int], epochs: int, repeats: int) -> None:
    """Print a line for each repeat and number of views, with the seconds of both ways and their ratio."""
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
    prepared = prepare("small_similar", catalog.load("small_similar", LAST_STAGE | changes), ds, seed=0)
    images = decoded(prepared)
    network = assemble(prepared.plan, prepared.facts, *prepared.networks)
    for _ in range(repeats):
        fresh = fitted(prepared, network, images, None)
        for number in numbers:
            behind = fitted(prepared, network, images, number)
            print(
                f"| {backbone} | {size} | {count} + {len(labels) - count} | {number} | {epochs} "
                f"| {fresh[0]:.0f} | {behind[0]:.0f} | {fresh[0] / behind[0]:.2f} "
                f"| {fresh[1]:.0f} | {behind[1]:.0f} | {fresh[1] / behind[1]:.2f} |",
                flush=True,
            )


def main() -> None:
    """Print one of the two tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    asked = commands.add_parser("views", help="how many are enough")
    asked.add_argument("data", nargs="+", type=Path)
    asked.add_argument("--backbone", default="MobileNetV2")
    asked.add_argument("--image-size", type=int, default="auto")
    asked.add_argument("--seeds", type=int, default=2)
    asked = commands.add_parser("time", help="what they save")
    asked.add_argument("backbones", nargs="+")
    asked.add_argument("--image-size", type=int, default=224)
    asked.add_argument("--images", type=int, default=64, help="to train on; a quarter as many to validate")
    asked.add_argument("--views", type=int, nargs="+", default=[1, 2, rules.VIEWS])
    asked.add_argument("--epochs", type=int, default=rules.MOST_EPOCHS)
    asked.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    if options.command == "views":
        print("| data | seed | images | image size | epochs | views | validation accuracy | log loss | seconds |")
        print("|---|---|---|---|---|---|---|---|---|")
        for seed in range(options.seeds):
            for folder in options.data:
                views(folder, options.backbone, options.image_size, seed)
    else:
        print(
            "| backbone | image size | images | views | epochs | s, fresh | s, behind | ratio "
            "| CPU s, fresh | behind | ratio |"
        )
        print("|---|---|---|---|---|---|---|---|---|---|---|")
        for backbone in options.backbones:
            timed(backbone, options.image_size, options.images, options.views, options.epochs, options.repeats)


if __name__ == "__main__":
    main()
