"""The assembled model: inputs, taps, pooling, ensembles, saving, and the version of its weights."""

import subprocess
import sys

import keras
import numpy as np
import pytest
from scipy.special import softmax

from kerastune_recipes import Recipe
from kerastune_recipes.backbones import build as networks
from kerastune_recipes.data import images
from kerastune_recipes.model.network import assemble
from kerastune_recipes.planning.plan import Plan
from kerastune_recipes.run.options import RunOptions
from kerastune_recipes.run.prepare import prepare
from kerastune_recipes.training.fit import FitOptions, fit


def test_raw_images_of_any_size_to_probabilities(assembled):
    _, _, network = assembled()
    for height, width in ((32, 32), (50, 71), (9, 200)):
        probabilities = network.model.predict_on_batch(np.full((2, height, width, 3), 128, np.uint8))
        assert probabilities.shape == (2, 3)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)


def test_bytes_and_floats_get_the_same_predictions(assembled, pictures):
    _, _, network = assembled()
    pixels, _ = pictures(2)
    np.testing.assert_array_equal(
        network.model.predict_on_batch(pixels), network.model.predict_on_batch(pixels.astype(np.float32))
    )


def test_the_model_resizes_like_the_input_pipeline(assembled, pictures):
    """They differ by the rounding of pixels only."""
    _, _, network = assembled()
    (photo,), _ = pictures(1, size=90)
    resized = network.model.get_layer("resize")(photo[None].astype(np.float32))
    assert np.abs(np.array(resized)[0] - images.resize(photo, 32)).max() <= 1.0


def test_calling_the_model_runs_inference(assembled):
    """The resizing layer once switched to training mode, which updated the statistics of BatchNormalization."""
    _, _, network = assembled()
    images = np.random.default_rng(0).integers(0, 256, (2, 40, 60, 3), dtype=np.uint8)
    before = network.model.get_weights()
    np.testing.assert_allclose(network.model(images), network.model.predict(images, verbose=0), atol=1e-5)
    for one, other in zip(before, network.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_features_of_an_ensemble_are_concatenated(pictures):
    demo = {"backbone.name": "DemoNet", "backbone.weights": "demo"}
    recipe = Recipe.from_name("features_ensemble", **demo, ensemble=[{"name": "VGG16", "weights": "none"}])
    prepared = prepare(recipe.name, recipe.content, pictures(30), RunOptions())
    network = assemble(prepared.plan, prepared.facts, *prepared.networks)
    pixels, _ = pictures(2)
    each = [member.extractor.predict_on_batch(pixels) for member in network.members]
    assert [features.shape for features in each] == [(2, 288), (2, 64 + 128 + 256 + 512 + 512)]
    np.testing.assert_allclose(network.extractor.predict_on_batch(pixels), np.concatenate(each, axis=1), rtol=1e-5)
    assert network.head.kernel.shape[0] == network.extractor.output_shape[-1]


def test_core_and_model_share_their_weights(assembled, pictures):
    _, _, network = assembled()
    pixels, _ = pictures(2)
    np.testing.assert_allclose(network.core.predict_on_batch(pixels), network.model.predict_on_batch(pixels), atol=1e-6)
    assert all(one is other for one, other in zip(network.core.weights, network.model.weights, strict=True))


def test_features_of_all_taps_are_concatenated(assembled, pictures):
    _, facts, network = assembled(taps="all")
    features = network.extractor.predict_on_batch(pictures(2)[0])
    assert features.shape == (2, sum(tap.shape[-1] for tap in facts.taps))


def test_layers_after_the_last_tap_are_dropped(assembled):
    _, _, whole = assembled("ResNet50")
    _, _, early = assembled("ResNet50", taps=("stage1",))
    assert early.backbone.count_params() < 0.02 * whole.backbone.count_params()


@pytest.mark.parametrize(("pooling", "features"), [("avg", 128), ("max", 128), ("flatten", 4 * 4 * 128)])
def test_pooling(pooling, features, assembled):
    _, facts, network = assembled(pooling=pooling)
    height, width, channels = facts.taps[-1].shape
    assert network.extractor.output_shape[-1] == (channels if pooling != "flatten" else height * width * channels)


def test_dropout_only_on_request(assembled):
    _, _, plain = assembled()
    _, _, dropping = assembled(dropout=0.3)
    assert "dropout" not in [layer.name for layer in plain.model.layers]
    assert dropping.model.get_layer("dropout").rate == 0.3


@pytest.mark.slow  # a process of its own
@pytest.mark.parametrize("name", ["VGG16", "ConvNeXtTiny", "DemoNet"])
def test_loads_in_a_process_without_this_package(name, assembled, pictures, tmp_path):
    _, _, network = assembled(name, taps="all")
    pixels, _ = pictures(2, size=40)
    network.model.save(tmp_path / "model.keras")
    np.save(tmp_path / "pixels.npy", pixels)
    script = (
        "import sys; sys.modules['kerastune_recipes'] = None\n"
        "import keras, numpy as np\n"
        f"model = keras.saving.load_model(r'{tmp_path / 'model.keras'}')\n"
        f"np.save(r'{tmp_path / 'out.npy'}', model.predict(np.load(r'{tmp_path / 'pixels.npy'}'), verbose=0))\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path)
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), network.model.predict(pixels, verbose=0), atol=1e-5)


def test_the_saved_model_holds_no_code_of_ours(assembled):
    _, _, network = assembled(taps="all")
    assert "kerastune" not in network.model.to_json()
    assert keras.models.model_from_json(network.model.to_json()).count_params() == network.model.count_params()


def test_new_weights_of_the_backbone_raise_the_version(assembled):
    _, _, network = assembled()
    version = network.weights_version
    network.set_weights([weight + 1 for weight in network.model.get_weights()])
    assert network.weights_version == version + 1
    network.weights_changed()
    assert network.weights_version == version + 2


def test_a_new_head_keeps_the_version(assembled):
    """Features do not depend on the head."""
    _, _, network = assembled()
    version = network.weights_version
    kernel, bias = (weight + 1 for weight in network.head.get_weights())
    network.put_head(kernel, bias)
    np.testing.assert_array_equal(network.head.kernel, kernel)
    assert network.weights_version == version


@pytest.fixture
def with_squares(assembled):
    """The facts of a network whose head sees squares too, and the network."""
    plan, facts, _ = assembled()
    bayes = {"head": "naive_bayes", "strengths": [1.0], "folds": 0}
    plan = Plan.from_data({**plan.to_data(), "phases": [{"name": "only", "solve": bayes}]}, "test")
    return facts, assemble(plan, facts, networks.build("DemoNet", "none", 32))


def test_a_head_on_squares_is_about_a_centre(with_squares, pictures):
    (_, network), (pixels, _) = with_squares, pictures(3)
    features = np.asarray(network.extractor.predict_on_batch(pixels), float)
    random, width = np.random.default_rng(0), features.shape[1]
    centre = features.mean(axis=0).astype(np.float32)
    kernel, bias = random.normal(size=(2 * width, 3)).astype(np.float32), np.array([0.1, 0.2, 0.3], np.float32)
    network.put_head(kernel, bias, centre)
    found = network.core.predict_on_batch(pixels)
    centred = features - centre
    expected = softmax(np.hstack([centred, np.square(centred)]) @ kernel + bias, axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    for one, other in zip(network.head_weights(), (kernel, bias, centre), strict=True):
        np.testing.assert_array_equal(one, other)
    # Another temperature keeps the centre; a head on the features alone has none.
    network.put_head(kernel / 2, bias / 2)
    np.testing.assert_array_equal(network.head_weights()[2], centre)
    network.put_head(kernel[:width], bias, np.zeros(0, np.float32))
    np.testing.assert_allclose(
        network.core.predict_on_batch(pixels), softmax(features @ kernel[:width] + bias, axis=1), atol=1e-4
    )


def test_the_centre_is_not_trained(with_squares, fit_plan, pictures):
    (facts, network), (pixels, labels) = with_squares, pictures(8)
    kernel, bias, _ = network.head_weights()
    centre = np.full(len(kernel) // 2, 0.5, np.float32)
    network.put_head(kernel, bias, centre)
    fit(network, facts, "only", fit_plan(batch_norm="trained"), (pixels, labels), None, FitOptions(seed=0))
    trained = network.head_weights()
    np.testing.assert_array_equal(trained[2], centre)
    assert (trained[0] != kernel).any()


def test_the_saved_model_keeps_the_centre(with_squares, pictures, tmp_path):
    (_, network), (pixels, _) = with_squares, pictures(2)
    kernel, bias, centre = network.head_weights()
    network.put_head(kernel, bias, centre + 0.5)
    network.model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert not loaded.get_layer("centred_features").trainable
    np.testing.assert_allclose(loaded.predict(pixels, verbose=0), network.model.predict(pixels, verbose=0), atol=1e-6)


def test_the_version_is_read_only(assembled):
    _, _, network = assembled()
    with pytest.raises(AttributeError):
        network.weights_version = 5
