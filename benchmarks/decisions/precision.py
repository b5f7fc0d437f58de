"""What half precision gives: images a second in float32 and in 16 bits, taking turns in one process.

    python benchmarks/precision.py [--backbones MobileNetV2 ...] [--size 96] [--batch 8] [--rounds 3]

Random weights and noise for images: neither changes the time. Run it under another backend, or on a GPU, by
KERAS_BACKEND=jax or torch, there with --size 224 --batch 256. The table is printed; --write keeps it in
benchmarks/precision.md, which also says what was concluded.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from reporting import machine, spread, versions

from kerastune_recipes import Recipe
from kerastune_recipes.devices import hardware
from kerastune_recipes.devices.facts import Precision
from kerastune_recipes.model import forward
from kerastune_recipes.model.freeze import freeze
from kerastune_recipes.model.network import assemble
from kerastune_recipes.planning import layer_patterns
from kerastune_recipes.run.prepare import prepare
from kerastune_recipes.training import losses, optimizers

CLASSES = 4
# Long enough for the clock, short enough to take turns.
SECONDS = 0.5
PAGE = Path(__file__).with_suffix(".md")
TABLE = "<!-- The table below is written by the script. -->"


def work(backbone: str, precision: Precision, images: np.ndarray) -> dict[str, Callable[[], object]]:
    """Return a feature pass and a training step of all layers, each of all images at once, ready to be timed."""
    labels = np.arange(len(images)) % CLASSES
    recipe = Recipe.from_name(
        "large_similar",
        backbone=backbone,
        precision=precision,
        **{"backbone.weights": "none", "backbone.image_size": images.shape[1]},
    )
    prepared = prepare(recipe.name, recipe.content, (np.repeat(images, 2, axis=0), np.repeat(labels, 2)), seed=0)
    plan = prepared.plan
    network = assemble(plan, prepared.facts, *prepared.networks)
    fit = plan.phases[-1].fit
    assert fit is not None  # the recipe ends in fine-tuning
    groups = layer_patterns.group_layers(fit.trainable, prepared.facts.up_to(plan.features.taps), "trainable")
    network.core.compile(
        optimizer=optimizers.build(fit, freeze(network, groups, fit.batch_norm), precision),
        loss=losses.build(fit),
        jit_compile=plan.jit_compile,
        auto_scale_loss=False,
    )
    targets = np.eye(CLASSES, dtype=np.float32)[labels]
    return {
        "features": lambda: forward.predict(network.extractor, images),
        "training": lambda: network.core.train_on_batch(images, targets),
    }


def rates(doings: Sequence[Callable[[], object]], images: int, rounds: int) -> list[list[float]]:
    """Return the images a second of each, round by round; they take turns, so that what else runs slows all alike."""
    for doing in doings:
        doing()  # traces, compiles
    often = [max(1, round(SECONDS / _seconds(doing))) for doing in doings]
    found: list[list[float]] = [[] for _ in doings]
    for _ in range(rounds):
        for doing, count, rate in zip(doings, often, found, strict=True):
            rate.append(count * images / _seconds(doing, count))
    return found


def _seconds(doing: Callable[[], object], count: int = 1) -> float:
    began = time.perf_counter()
    for _ in range(count):
        doing()
    return time.perf_counter() - began


def main() -> None:
    """Measure each backbone, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbones", nargs="+", default=["MobileNetV2", "ResNet50", "VGG16"])
    parser.add_argument("--precision", choices=["bfloat16", "float16"], default="bfloat16")
    parser.add_argument("--size", type=int, default=96, help="height and width, pixels")
    parser.add_argument("--batch", type=int, default=8, help="images")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true", help=f"keep the table in {PAGE.name}")
    options = parser.parse_args()
    images = np.random.default_rng(0).integers(0, 256, (options.batch, options.size, options.size, 3), dtype=np.uint8)
    rows = []
    for backbone in options.backbones:
        each = [work(backbone, precision, images) for precision in ("float32", options.precision)]
        for what in each[0]:
            whole, half = rates([doings[what] for doings in each], len(images), options.rounds)
            ratios = [ours / theirs for ours, theirs in zip(half, whole, strict=True)]
            rows.append(
                f"| {backbone} | {what} | {statistics.median(whole):.3g} | {statistics.median(half):.3g} "
                f"| {spread(ratios, '{:.2f}'.format)} |"
            )
            print(rows[-1], flush=True)
    at_hand = hardware.inspect()
    table = "\n".join(
        [
            f"{options.size} px, batch {options.batch}, {options.rounds} rounds; {at_hand.backend} on "
            f"{at_hand.devices} {at_hand.device}; {machine()}; {versions(at_hand.backend)}.",
            "",
            f"| backbone | images a second | float32 | {options.precision} | ratio |",
            "|---|---|---|---|---|",
            *rows,
            "",
        ]
    )
    print(f"\n{table}")
    if options.write:
        words, _, _ = PAGE.read_text(encoding="utf-8").partition(TABLE)
        PAGE.write_text(f"{words}{TABLE}\n\n{table}", encoding="utf-8")


if __name__ == "__main__":
    main()
