"""Pretraining: reproducible batches, and weights as 16-bit floats."""

import keras
import numpy as np

from kerastune_recipes.demo import pretrain
from kerastune_recipes.demo.glyphs import drawings


def test_a_batch_depends_only_on_seed_and_index():
    images, labels = drawings(["A", "b"])
    first, again, other = (pretrain.Letters(images, labels, 4, seed)[2] for seed in (0, 0, 1))
    assert first[0].shape == (pretrain.BATCH_SIZE, 32, 32, 3)
    assert np.array_equal(first[0], again[0])
    assert not np.array_equal(first[0], other[0])
    assert first[0].min() >= -1
    assert first[0].max() <= 1


def test_weights_saved_as_16_bit_floats_load_like_any_other(tmp_path):
    saved, loaded = (keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)]) for _ in range(2))
    pretrain.save_half(saved, tmp_path / "half.weights.h5")
    loaded.load_weights(tmp_path / "half.weights.h5")
    assert loaded.weights[0].dtype == "float32"
    assert np.array_equal(np.asarray(saved.weights[0]).astype("float16"), np.asarray(loaded.weights[0]))


def test_only_the_classifier_is_trained_on_the_shipped_network(tmp_path):
    images, labels = drawings(["A", "b"])
    shipped = pretrain.DemoNet(include_top=False, weights="demo", pooling="avg")
    backbone, reader = pretrain.train(images, labels, steps=3, seed=0, weights="demo")
    for ours, theirs in zip(backbone.weights, shipped.weights, strict=True):
        assert np.array_equal(ours, theirs)
    pretrain.save_classifier(reader, ["A", "b"], tmp_path / "classifier.npz")
    with np.load(tmp_path / "classifier.npz") as saved:
        assert saved["names"].tolist() == ["A", "b"]
        kernel, bias = reader.get_layer(pretrain.CLASSIFIER).get_weights()
        assert np.array_equal(saved["kernel"], kernel.astype("float16"))
        assert np.array_equal(saved["bias"], bias.astype("float16"))
