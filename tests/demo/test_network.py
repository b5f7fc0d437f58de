"""DemoNet: its shape, its interface, and its pretrained weights."""

import keras
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from kerastune_recipes.demo.digits import digits
from kerastune_recipes.demo.distortions import distort
from kerastune_recipes.demo.glyphs import drawings
from kerastune_recipes.demo.network import CLASSIFIER_FILE, WEIGHTS_FILE, DemoNet, preprocess_input
from kerastune_recipes.errors import BackboneError

STAGE_ENDS = ["stem_relu", "stage1_out", "stage2_out", "stage3_out"]


def pooled_stages(network, x):
    """Return the mean over positions of the end of every stage: (n, 288)."""
    ends = [keras.layers.GlobalAveragePooling2D()(network.get_layer(name).output) for name in STAGE_ENDS]
    return keras.Model(network.input, keras.layers.Concatenate()(ends)).predict(preprocess_input(x), verbose=0)


def test_preprocessing_maps_raw_pixels_to_minus_one_to_one():
    assert preprocess_input(np.array([0, 127.5, 255])).tolist() == [-1, 0, 1]


def test_every_stage_halves_the_image():
    network = DemoNet(include_top=False, input_shape=(32, 48, 3))
    shapes = [network.get_layer(name).output.shape[1:] for name in STAGE_ENDS]
    assert shapes == [(32, 48, 32), (16, 24, 32), (8, 12, 64), (4, 6, 160)]


def test_without_top_any_size_from_16_pixels_works():
    network = DemoNet(include_top=False, pooling="avg")
    for height, width in [(16, 16), (33, 50)]:
        assert network(np.zeros((1, height, width, 3), "float32")).shape == (1, 160)


def test_with_top_the_output_is_a_probability_for_each_class():
    scores = DemoNet(classes=7).predict(np.zeros((2, 32, 32, 3), "float32"), verbose=0)
    assert scores.shape == (2, 7)
    assert scores.sum(axis=1) == pytest.approx([1, 1])


def test_all_layers_are_of_keras_so_that_it_loads_anywhere():
    assert all(type(layer).__module__.startswith("keras.") for layer in DemoNet().layers)


@pytest.mark.parametrize("pooling", [None, "avg", "max"])
def test_pretrained_weights_load_with_any_pooling(pooling):
    pretrained = DemoNet(include_top=False, weights="demo", pooling=pooling)
    random = DemoNet(include_top=False, pooling=pooling)
    for ours, theirs in zip(pretrained.weights, random.weights, strict=True):
        assert np.isfinite(ours).all()
        assert not np.allclose(ours, theirs)


def test_saved_weights_load_by_path(tmp_path):
    first = DemoNet(classes=3)
    first.save_weights(tmp_path / "mine.weights.h5")
    second = DemoNet(classes=3, weights=tmp_path / "mine.weights.h5")
    assert all(np.array_equal(a, b) for a, b in zip(first.weights, second.weights, strict=True))


def test_weights_and_classifier_are_smaller_than_a_megabyte_and_a_quarter():
    assert WEIGHTS_FILE.stat().st_size < 1_000_000
    assert CLASSIFIER_FILE.stat().st_size < 250_000


def test_the_classifier_recognises_letters():
    with np.load(CLASSIFIER_FILE) as classifier:
        names, kernel, bias = (classifier[name] for name in ("names", "kernel", "bias"))
    letters = [name for name in "ABCDEFGH" if name in names]
    images, labels = drawings(letters)
    network = DemoNet(include_top=False, weights="demo", pooling="avg")
    features = network.predict(preprocess_input(distort(images, np.random.default_rng(0))), verbose=0)
    named = names[(features @ kernel + bias).argmax(axis=1)]
    assert kernel.shape == (160, len(names))
    assert (named == np.array(letters)[labels]).mean() > 0.6


def test_on_a_hundred_digits_its_features_beat_raw_pixels_by_three_points():
    (x, y), (x_test, y_test) = digits(seed=0).values()
    network = DemoNet(include_top=False, weights="demo")
    features = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
    features.fit(pooled_stages(network, x), y)
    pixels = LogisticRegression(C=0.1, max_iter=500).fit(x[..., 0].reshape(len(x), -1) / 255, y)
    gain = features.score(pooled_stages(network, x_test), y_test) - pixels.score(
        x_test[..., 0].reshape(len(x_test), -1) / 255, y_test
    )
    assert gain > 0.03


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (8, 32, 3)}, r"at least 16 pixels a side; received \(8, 32, 3\)"),
        ({"input_shape": (32, 32, 1)}, r"input_shape of \(height, width, 3\); received \(32, 32, 1\)"),
        ({"pooling": "sum"}, 'pooling must be None, "avg" or "max"; received \'sum\''),
        ({"classes": 0}, "classes must be at least 1; received 0"),
        ({"weights": "demo"}, '"demo" have no classification head; pass include_top=False'),
        ({"weights": "none.weights.h5"}, 'path of a .weights.h5 file; received "none.weights.h5"'),
    ],
)
def test_an_argument_out_of_range_is_refused(arguments, message):
    with pytest.raises(BackboneError, match=message):
        DemoNet(**arguments)


def test_all_problems_are_reported_at_once():
    with pytest.raises(BackboneError, match="3 problems"):
        DemoNet(input_shape=(8, 8, 3), pooling="sum", classes=0)


def test_weights_of_another_network_are_refused(tmp_path):
    DemoNet(classes=3).save_weights(tmp_path / "three.weights.h5")
    with pytest.raises(BackboneError, match="do not fit DemoNet"):
        DemoNet(classes=4, weights=tmp_path / "three.weights.h5")
