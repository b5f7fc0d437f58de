"""What half precision gives: images a second in float32 and in 16 bits, taking turns in one process.

    python -m benchmarks.decisions.precision [--backbones MobileNetV2 ...] [--size 96] [--batch 8] [--rounds 3]

Random weights and noise for images: neither changes the time. Run it under another backend, or on a GPU, by
KERAS_BACKEND=jax or torch, there with --size 224 --batch 256. The speeds are printed; --write stores them in
results/precision.jsonl and writes pages/precision.md.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Sequence

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from benchmarks.lib import measure, pages, results
from benchmarks.lib.results import Row
from kerastune_recipes import Recipe
from kerastune_recipes.devices import hardware
from kerastune_recipes.devices.facts import Precision
from kerastune_recipes.model import forward
from kerastune_recipes.model.freeze import freeze
from kerastune_recipes.model.network import assemble
from kerastune_recipes.planning import layer_patterns
from kerastune_recipes.run.options import RunOptions
from kerastune_recipes.run.prepare import prepare
from kerastune_recipes.training import losses, optimizers

CLASSES = 4
# Seconds for which the work repeats before the next takes its turn.
SECONDS = 0.5


def work(backbone: str, precision: Precision, images: np.ndarray) -> dict[str, Callable[[], object]]:
    """Return a feature pass and a training step of all layers, each of all images at once, ready to be timed."""
    labels = np.arange(len(images)) % CLASSES
    recipe = Recipe.from_name(
        "large_similar",
        backbone=backbone,
        precision=precision,
        **{"backbone.weights": "none", "backbone.image_size": images.shape[1]},
    )
    prepared = prepare(recipe.name, recipe.content, (np.repeat(images, 2, axis=0), np.repeat(labels, 2)), RunOptions())
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
    """Return the images a second of each, round by round; they take turns, so that other work slows all equally."""
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
    """Measure each backbone, and print the speeds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbones", nargs="+", default=["MobileNetV2", "ResNet50", "VGG16"])
    parser.add_argument("--precision", choices=["bfloat16", "float16"], default="bfloat16")
    parser.add_argument("--size", type=int, default=96, help="height and width, pixels")
    parser.add_argument("--batch", type=int, default=8, help="images")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="store the speeds and write the page")
    options = parser.parse_args()
    images = np.random.default_rng(0).integers(0, 256, (options.batch, options.size, options.size, 3), dtype=np.uint8)
    rows: list[Row] = []
    for backbone in options.backbones:
        each = [work(backbone, precision, images) for precision in ("float32", options.precision)]
        for what in each[0]:
            whole, half = rates([doings[what] for doings in each], len(images), options.rounds)
            ratios = [ours / theirs for ours, theirs in zip(half, whole, strict=True)]
            speeds = {"float32": statistics.median(whole), "half": statistics.median(half)}
            rows.append({"backbone": backbone, "work": what, **speeds, "ratio": measure.spread(ratios)})
            print(rows[-1], flush=True)
    if not options.write:
        return
    at_hand = hardware.inspect()
    setting = {key: getattr(options, key) for key in ("size", "batch", "rounds", "precision")}
    setting |= {"backend": at_hand.backend, "devices": f"{at_hand.devices} {at_hand.device}"}
    command = f"python -m benchmarks.decisions.precision --size {options.size} --batch {options.batch}"
    made = {**measure.made(f"{command} --rounds {options.rounds}"), **setting}
    results.replace("precision", "speed", rows)
    results.replace("precision", results.MADE, [made | {"versions": measure.versions(at_hand.backend)}])
    print(pages.write_page("precision"))


if __name__ == "__main__":
    main()
