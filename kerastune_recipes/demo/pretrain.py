"""Pretrain DemoNet on letters of many scripts, without digits: python -m kerastune_recipes.demo.pretrain."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import h5py
import keras
import numpy as np

from kerastune_recipes.demo.distortions import PICTURE_SIZE, distort
from kerastune_recipes.demo.glyphs import alphabet, drawings, fonts
from kerastune_recipes.demo.network import CLASSIFIER_FILE, WEIGHTS_FILE, DemoNet, preprocess_input

# Every 20th drawing is held out, to measure the accuracy on fonts not seen for that letter.
HOLD_OUT_EVERY = 20
HELD_OUT_BATCHES = 16

# About ten minutes on two cores. The shipped classifier was trained on the shipped network afterwards, in 1000 steps.
BATCH_SIZE = 128
STEPS = 2200
# Usual values for AdamW on a small residual network with BatchNormalization.
PEAK_LEARNING_RATE = 3e-3
WARMUP_SHARE = 0.1
WEIGHT_DECAY = 0.02

SEED = 0

CLASSIFIER = "letter"


class Letters(keras.utils.PyDataset):
    """Batches of distorted letters; each depends only on the seed and its index.

    Args:
        images: Drawings, float32 (n, 64, 64).
        labels: Their classes, int64 (n,).
        batches: Number of batches.
        seed: Random seed.
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray, batches: int, seed: int):
        super().__init__()
        self.images, self.labels, self.batches, self.seed = images, labels, batches, seed
        # Every letter is equally likely, regardless of the number of its fonts.
        self.probabilities = 1 / np.bincount(labels)[labels]
        self.probabilities /= self.probabilities.sum()

    def __len__(self) -> int:
        return self.batches

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng((self.seed, index))
        chosen = rng.choice(len(self.labels), BATCH_SIZE, p=self.probabilities)
        return preprocess_input(distort(self.images[chosen], rng)), self.labels[chosen]


def train(
    images: np.ndarray, labels: np.ndarray, steps: int, seed: int, weights: str | None = None
) -> tuple[keras.Model, keras.Model]:
    """Train DemoNet to classify letters.

    Args:
        images: Drawings, float32 (n, 64, 64), 0..1.
        labels: Their classes, int64 (n,).
        steps: Number of optimizer updates.
        seed: Random seed.
        weights: None to train the whole network from random weights; "demo" to train only the classifier, on the
            shipped network.

    Returns:
        The network without top, with pooled output (b, 160); and the same network with the softmax over the letters.
    """
    keras.utils.set_random_seed(seed)
    backbone = DemoNet(include_top=False, weights=weights, input_shape=(PICTURE_SIZE, PICTURE_SIZE, 3), pooling="avg")
    backbone.trainable = weights is None
    scores = keras.layers.Dense(int(labels.max()) + 1, activation="softmax", name=CLASSIFIER)(backbone.output)
    reader = keras.Model(backbone.input, scores)
    warmup = round(WARMUP_SHARE * steps)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps - warmup, warmup_target=PEAK_LEARNING_RATE, warmup_steps=warmup
    )
    optimizer = keras.optimizers.AdamW(rate, weight_decay=WEIGHT_DECAY)
    reader.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    reader.fit(Letters(images, labels, steps, seed), shuffle=False, verbose=2)
    return backbone, reader


def save_half(model: keras.Model, path: Path) -> None:
    """Write the weights as compressed 16-bit floats, which halves the file; `load_weights` reads it like any other."""
    model.save_weights(path)
    with h5py.File(path) as file:
        contents: dict[str, np.ndarray] = {}
        file.visititems(
            lambda name, item: contents.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
        )
    # A new file, because HDF5 does not free the space of a deleted dataset.
    with h5py.File(path, "w") as file:
        for name, values in contents.items():
            file.create_dataset(name, data=values.astype(np.float16), compression="gzip", compression_opts=9)


def save_classifier(reader: keras.Model, characters: Sequence[str], path: Path) -> None:
    """Write the softmax layer over the letters: its weights as 16-bit floats, and the names of the letters."""
    kernel, bias = (values.astype(np.float16) for values in reader.get_layer(CLASSIFIER).get_weights())
    np.savez_compressed(path, kernel=kernel, bias=bias, names=np.array(characters))


def main() -> None:
    """Pretrain, write the weights, and print the accuracy on held-out drawings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=STEPS, help="optimizer updates (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=WEIGHTS_FILE.parent, help="folder to write to (default: this one)")
    parser.add_argument("--classifier-only", action="store_true", help="keep the network and retrain its classifier")
    arguments = parser.parse_args()

    characters = alphabet()
    images, labels = drawings(characters)
    held_out = np.arange(len(labels)) % HOLD_OUT_EVERY == 0
    print(f"{len(characters)} letters in {len(fonts())} fonts, {len(labels)} drawings, {held_out.sum()} held out")
    weights = "demo" if arguments.classifier_only else None
    backbone, reader = train(images[~held_out], labels[~held_out], arguments.steps, SEED, weights)
    # Another seed than for training, so that held-out drawings get other distortions.
    unseen = Letters(images[held_out], labels[held_out], HELD_OUT_BATCHES, SEED + 1)
    accuracy = reader.evaluate(unseen, verbose=0, return_dict=True)["accuracy"]
    print(f"accuracy on held-out drawings: {accuracy:.1%}; parameters: {backbone.count_params():,}")
    if not arguments.classifier_only:
        save_half(backbone, arguments.out / WEIGHTS_FILE.name)
    save_classifier(reader, characters, arguments.out / CLASSIFIER_FILE.name)


if __name__ == "__main__":
    main()
