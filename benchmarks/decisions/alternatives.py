"""Methods of fine-tuning that the package does not have, in a loop of plain Keras, and the same loop without them.

    KERAS_HOME=... python -m benchmarks.decisions.alternatives DATA_FOLDER... [--ways plain cotuning ...] [--seeds 2]

As in fine_tuning.py some training images of each class are trained on and others judge; no test image is read. The loop
equals a fit phase: from the head solved on all stages, BatchNorm frozen, SGD with Nesterov momentum, clipped gradients,
warmup and cosine, light augmentation. After it the network is judged as it was trained and with its head solved again,
both with the best temperature for the judging images. Each trial is one line of results/alternatives.jsonl, and is not
run again; at the end docs/experiments.md is written.
"""

import argparse
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pandas as pd
from scipy.special import softmax

from benchmarks.lib import pages, results
from benchmarks.lib.images import LIKE_IMAGENET, divided
from benchmarks.tables.alternatives import by_network
from kerastune_recipes import Recipe
from kerastune_recipes.backbones.pretrained_classifier import load_classifier
from kerastune_recipes.data import decoding
from kerastune_recipes.data.sources.open import open_dataset
from kerastune_recipes.heads import solve
from kerastune_recipes.heads.calibration import Calibrator
from kerastune_recipes.heads.rows import LabelledFeatures
from kerastune_recipes.planning.augmentation_presets import preset
from kerastune_recipes.planning.plan import FitPlan, Plan, SolvePlan
from kerastune_recipes.training import augmentation
from kerastune_recipes.training.batches import LabelledBatches

EPOCHS, BATCH, WARMUP = 10, 32, 0.1


@dataclass(frozen=True)
class Candidate:
    """How one loop differs from the plain one.

    Args:
        cotuning: Weight of the loss of the pretrained classifier (You et al. 2020; 2.3 in their code); 0 for none.
        mixing: A layer that mixes images, after light augmentation.
        mixed: Share of the epochs in which it does.
        small: Share of the image size in the first half of the epochs (Howard's progressive resizing).
    """

    cotuning: float = 0.0
    mixing: str = ""
    mixed: float = 1.0
    small: float = 1.0


WAYS = {
    "plain": Candidate(),
    "cotuning": Candidate(cotuning=2.3),
    "weak_cotuning": Candidate(cotuning=0.5),
    "faint_cotuning": Candidate(cotuning=0.1),
    "cutmix": Candidate(mixing="CutMix"),
    "cutmix_70%": Candidate(mixing="CutMix", mixed=0.7),
    "mixup_70%": Candidate(mixing="MixUp", mixed=0.7),
    "growing_images": Candidate(small=0.75),
}
# These need the classifier that the network was pretrained with.
NEED_CLASSIFIER = ("cotuning", "weak_cotuning", "faint_cotuning")


@dataclass(frozen=True)
class Images:
    """Images uint8 (n, s, s, 3) by size, for each size in the training, and labels int (n,)."""

    at: dict[int, np.ndarray]
    labels: np.ndarray


class WithPretrainedClasses(keras.utils.PyDataset):
    """Batches whose second labels (b, c) are the mean output of the pretrained classifier for an image's class."""

    def __init__(self, batches: LabelledBatches, by_class: np.ndarray):
        super().__init__()
        self.batches, self.by_class = batches, by_class

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        images, labels = self.batches[index]
        return images, (labels, labels @ self.by_class)

    def on_epoch_end(self) -> None:
        self.batches.on_epoch_end()


def solved(data: Path, images: pd.DataFrame, backbone: str, size: int, seed: int) -> tuple[keras.Model, Plan]:
    """Return the model with the solved head of the recipe for a set, and the plan of the whole recipe."""
    name = "large_similar" if data.name in LIKE_IMAGENET else "large_dissimilar"
    at = {"backbone.name": backbone, "backbone.image_size": size}
    plan = Recipe.from_name(name, **at).plan(images, seed=seed)
    alone = Recipe.from_name(name, **at, phases=[Recipe.from_name(name).content.to_data()["phases"][0]])
    return alone.run(images, seed=seed, verbose=False).model, plan


def augment(data: Path, size: int, seed: int, *more: str) -> augmentation.Augment:
    """Return light augmentation for a set, followed by more layers."""
    layers = [
        *preset("light", "horizontal" if data.name in LIKE_IMAGENET else "none"),
        *({"layer": one} for one in more),
    ]
    return augmentation.build(layers, size, seed)


def courses(data: Path, images: Images, way: Candidate, size: int, seed: int) -> list[tuple[int, int, LabelledBatches]]:
    """Return the parts of a training in their order: image size, epochs, batches."""
    classes = int(images.labels.max()) + 1
    small = round(size * way.small)
    mixed = round(EPOCHS * way.mixed) if way.mixing else 0
    parts = []
    for begin in range(EPOCHS):
        at = small if begin < EPOCHS // 2 else size
        parts.append((at, begin < mixed))
    found: list[tuple[int, int, LabelledBatches]] = []
    for at, mixes in dict.fromkeys(parts):
        more = (way.mixing,) if mixes else ()
        batches = LabelledBatches(
            images.at[at], images.labels, classes, BATCH, seed=seed + len(found), augment=augment(data, at, seed, *more)
        )
        found.append((at, parts.count((at, mixes)), batches))
    return found


def train(
    models: dict[int, keras.Model],
    parts: Sequence[tuple[int, int, LabelledBatches]],
    fit: FitPlan,
    backbone: str,
    cotuning: float,
    images: Images,
) -> keras.Model:
    """Train, and return the model of the last part."""
    per_epoch = len(parts[0][2])
    steps, done, before = EPOCHS * per_epoch, 0, None
    warmup = max(1, round(WARMUP * steps))
    for size, epochs, batches in parts:
        model = models[size]
        if before is not None and before is not model:
            model.set_weights(before.get_weights())
        for layer in _flat(model):
            layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
        course = keras.optimizers.schedules.CosineDecay(
            0.0, steps - warmup, warmup_target=fit.learning_rate, warmup_steps=warmup
        )
        optimizer = keras.optimizers.SGD(course, momentum=0.9, nesterov=True, global_clipnorm=fit.clip_norm)
        trained, given, weights = model, batches, None
        loss: Any = "categorical_crossentropy"
        if cotuning:
            trained, by_class = _two_headed(model, backbone, images)
            given, loss, weights = WithPretrainedClasses(batches, by_class), [loss, loss], [1.0, cotuning]
        trained.compile(optimizer=optimizer, loss=loss, loss_weights=weights, jit_compile=False)
        optimizer.build(trained.trainable_variables)
        optimizer.iterations.assign(done)
        trained.fit(given, epochs=epochs, verbose=0, shuffle=False)
        done, before = done + epochs * per_epoch, model
    return model


def _flat(model: keras.Model) -> list[keras.layers.Layer]:
    return [inner for layer in model.layers for inner in (_flat(layer) if isinstance(layer, keras.Model) else [layer])]


def _features(model: keras.Model) -> tuple[Any, Any]:
    """Return the features of all stages, and the features of the last stage."""
    whole = model.get_layer("features")
    return whole.output, whole.input[-1]


def _two_headed(model: keras.Model, backbone: str, images: Images) -> tuple[keras.Model, np.ndarray]:
    """Return the model with the pretrained classifier beside its head, and its mean output for each class (k, c)."""
    classifier = load_classifier(backbone)
    head = keras.layers.Dense(len(classifier.bias), activation="softmax", name="pretrained")
    output = head(_features(model)[1])
    head.set_weights([classifier.kernel, classifier.bias])
    (pixels,) = images.at.values()
    predicted = keras.Model(model.input, output).predict(pixels, batch_size=BATCH, verbose=0)
    means = np.stack([predicted[images.labels == label].mean(axis=0) for label in range(int(images.labels.max()) + 1)])
    return keras.Model(model.input, [model.output, output]), means.astype(np.float32)


def judged(model: keras.Model, plan: SolvePlan, size: int, images: Images, held: Images) -> dict[str, float]:
    """Return accuracy and log loss with the best temperature, as trained and with the head solved again."""
    looks = keras.Model(model.input, [model.output, _features(model)[0]])
    probabilities, features = looks.predict(held.at[size], batch_size=BATCH, verbose=0)
    _, seen = looks.predict(images.at[size], batch_size=BATCH, verbose=0)
    again = solve.solve(plan, LabelledFeatures(seen[None], images.labels), seed=0).probabilities(features)
    calibrator, found = Calibrator(held.labels, np.ones(len(held.labels)), offsets=False), {}
    for name, each in (("as_trained", probabilities), ("solved_again", again)):
        logits = np.log(np.maximum(each, 1e-30))
        calibrated = softmax(logits / calibrator.fit(logits)[0].temperature, axis=1)
        found[f"{name}_log_loss"] = float(calibrator.losses(np.log(np.maximum(calibrated, 1e-30))).mean())
        found[f"{name}_accuracy"] = float((each.argmax(axis=1) == held.labels).mean())
    return found


def trial(data: Path, each: str, seed: int, name: str, backbone: str, size: int) -> dict[str, Any]:
    """Train with one method, and return its figures on the judging images."""
    way, frame = WAYS[name], divided(data, each, seed)
    dataset = open_dataset(frame, seed=seed)
    sizes = sorted({size, round(size * way.small)})
    read = [
        Images({at: np.asarray(decoding.load(part, at)) for at in sizes}, part.labels)
        for part in (dataset.train, dataset.validation)
    ]
    models, plan = {}, None
    for at in sizes:
        models[at], plan = solved(data, frame, backbone, at, seed)
    assert plan is not None  # there is one size at least
    plan_of_head, fit = plan.phases[0].solve, plan.phases[1].fit
    assert plan_of_head is not None  # so are both recipes
    assert fit is not None
    keras.utils.set_random_seed(seed)
    begin = time.perf_counter()
    parts = courses(data, read[0], way, size, seed)
    model = train(models, parts, fit, backbone, way.cotuning, read[0])
    seconds = time.perf_counter() - begin
    cell = {"data": data.name, "backbone": backbone, "size": size, "each": each, "seed": seed, "way": name}
    return {**cell, **judged(model, plan_of_head, size, *read), "seconds": seconds}


def main() -> None:
    """Run the missing trials, and print the tables."""
    parser, log = argparse.ArgumentParser(description=__doc__.splitlines()[0]), results.FOLDER / "alternatives.jsonl"
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--each", nargs="+", default=["30"], help="training images of a class, or all")
    parser.add_argument("--backbone", default="MobileNetV2")
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--log", type=Path, default=log, help="file where trials are stored")
    options = parser.parse_args()
    trials = results.read_log(options.log)
    key = ("data", "backbone", "size", "each", "seed", "way")
    done = {tuple(one[name] for name in key) for one in trials}
    for seed in range(options.seeds):
        for each in options.each:
            for data in options.data:
                for way in options.ways:
                    cell = (data.name, options.backbone, options.image_size, each, seed, way)
                    if cell in done or (way in NEED_CLASSIFIER and options.backbone != "MobileNetV2"):
                        continue
                    trials.append(trial(data, each, seed, way, options.backbone, options.image_size))
                    results.append(options.log, trials[-1])
                    print(trials[-1], flush=True)
    print("\n\n".join(by_network(trials).values()))
    if options.log == log:
        pages.write_page("experiments")


if __name__ == "__main__":
    main()
