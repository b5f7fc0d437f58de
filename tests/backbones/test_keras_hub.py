"""Backbones of KerasHub, without downloads: small ones are built, saved as presets and loaded from their folder."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from kerastune_recipes import Recipe, yaml_files
from kerastune_recipes.backbones.facts import Scaling
from kerastune_recipes.backbones.keras_hub import load
from kerastune_recipes.errors import BackboneError

DEVIATION, MEAN = (0.229, 0.224, 0.225), (0.485, 0.456, 0.406)
TORCH = {
    "scale": [1 / 255 / deviation for deviation in DEVIATION],
    "offset": [-mean / deviation for mean, deviation in zip(MEAN, DEVIATION, strict=True)],
}


@pytest.fixture(scope="session")
def keras_hub():
    return pytest.importorskip("keras_hub", reason="needs keras-hub", exc_type=ImportError)


@pytest.fixture
def preset(keras_hub, tmp_path):
    """Return a function that saves a backbone and its image converter as a preset, and returns its name."""

    def save(backbone, converter="ResNetImageConverter", **scaling):
        folder = tmp_path / "preset"
        backbone.save_to_preset(str(folder))
        if converter:
            getattr(keras_hub.layers, converter)(image_size=(48, 48), **scaling).save_to_preset(str(folder))
        return f"hub:{folder}"

    return save


def resnet(keras_hub, pre_activation=False):
    return keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 64],
        stackwise_num_blocks=[1, 1],
        stackwise_num_strides=[1, 2],
        block_type="basic_block",
        use_pre_activation=pre_activation,
    )


# Loading


def test_a_preset_has_weights_and_a_preprocessing(keras_hub, preset):
    backbone = resnet(keras_hub)
    loaded = load(preset(backbone, **TORCH), "imagenet", "auto")

    assert (loaded.weights, loaded.preprocessing) == ("preset", "torch")
    assert (loaded.only_size, loaded.default_size) == (None, 48)
    for ours, theirs in zip(loaded.network.get_weights(), backbone.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(("weights", "dry"), [("none", False), ("preset", True)])
def test_weights_may_be_left_random(keras_hub, preset, weights, dry):
    backbone = resnet(keras_hub)
    loaded = load(preset(backbone, **TORCH), weights, "auto", dry)

    assert loaded.weights == weights
    assert np.any(loaded.network.get_layer("conv1_conv").kernel != backbone.get_layer("conv1_conv").kernel)


@pytest.mark.parametrize(
    ("scaling", "preprocessing"),
    [
        ({}, "identity"),
        ({"scale": 1 / 127.5, "offset": -1.0}, "symmetric"),
        ({"scale": 1 / 255}, Scaling(scale=1 / 255)),
        ({"scale": 1.0, "offset": [0.0, 1.0, 2.0]}, Scaling(scale=1.0, offset=(0.0, 1.0, 2.0))),
    ],
)
def test_scale_and_offset_are_a_preprocessing(keras_hub, preset, scaling, preprocessing):
    assert load(preset(resnet(keras_hub), **scaling), "preset", "auto").preprocessing == preprocessing


def test_a_preset_without_a_converter_needs_a_preprocessing(keras_hub, preset):
    name = preset(resnet(keras_hub), converter=None)

    assert load(name, "preset", "caffe").preprocessing == "caffe"
    with pytest.raises(
        BackboneError, match=r"has no image converter, so its preprocessing is unknown; set backbone.preprocessing\."
    ):
        load(name, "preset", "auto")


# Errors


@pytest.fixture
def stand_in(monkeypatch):
    """A KerasHub with one preset and without internet."""

    def from_preset(*_, **__):
        raise OSError("Network is unreachable")

    known = {"resnet_18_imagenet": {}}
    hub = SimpleNamespace(
        __version__="0.32.0",
        models=SimpleNamespace(Backbone=SimpleNamespace(presets=known, from_preset=from_preset)),
        layers=SimpleNamespace(ImageConverter=SimpleNamespace(from_preset=from_preset)),
    )
    monkeypatch.setitem(sys.modules, "keras_hub", hub)


def test_without_keras_hub_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    with pytest.raises(
        BackboneError, match=r"hub:resnet_18_imagenet needs KerasHub, which .* install it with: pip install keras-hub"
    ):
        load("hub:resnet_18_imagenet", "preset", "auto")


def test_without_internet_the_error_says_what_to_do(stand_in):
    with pytest.raises(BackboneError) as raised:
        load("hub:resnet_18_imagenet", "preset", "auto")
    assert str(raised.value) == (
        "hub:resnet_18_imagenet could not be downloaded (Network is unreachable): connect to the internet once, or "
        "give the folder of a saved preset, such as hub:FOLDER."
    )


def test_a_misspelt_preset_suggests_the_nearest(stand_in):
    with pytest.raises(BackboneError) as raised:
        load("hub:resnet_18_imagnet", "preset", "auto")
    assert str(raised.value) == (
        'KerasHub 0.32.0 has no preset "resnet_18_imagnet", and there is no folder of that name. Did you mean '
        '"resnet_18_imagenet"?'
    )


def test_other_weights_than_its_own_are_refused():
    with pytest.raises(BackboneError, match=r'has no weights "my.h5"; write "preset" for its own, or "none"\.'):
        load("hub:resnet_18_imagenet", "my.h5", "auto")


def test_a_folder_without_weights_is_refused(keras_hub, preset, tmp_path):
    name = preset(resnet(keras_hub), **TORCH)
    (tmp_path / "preset" / "model.weights.h5").unlink()
    with pytest.raises(BackboneError, match=r"hub:.*preset cannot be read \("):
        load(name, "preset", "auto")


def test_a_text_preset_is_refused(keras_hub, preset):
    bert = keras_hub.models.BertBackbone(
        vocabulary_size=8, num_layers=1, num_heads=1, hidden_dim=4, intermediate_dim=4, max_sequence_length=8
    )
    with pytest.raises(BackboneError, match=r"hub:.*preset cannot be loaded as an image backbone \(Unable to find"):
        load(preset(bert, converter=None), "preset", "auto")


# In a recipe


def shortened(name, **changes):
    return Recipe.from_name("small_similar", backbone=name, **{"phases.fine_tuning.fit.duration": "1 steps"} | changes)


def test_the_saved_model_is_plain_keras(keras_hub, preset, pictures, tmp_path):
    name = preset(resnet(keras_hub, pre_activation=True), scale=1 / 255)
    images, labels = pictures(24, size=48)
    report = shortened(name).run((images, labels), verbose=False)

    assert report.plan.backbone.to_data() == {
        "name": name,
        "weights": "preset",
        "image_size": 48,
        "preprocessing": {"scale": 1 / 255, "offset": 0.0},
    }
    assert report.plan.features.taps == ("stage1", "stage2", "stage3")
    report.model.save(tmp_path / "model.keras")
    np.savez(tmp_path / "given.npz", images, report.model.predict(images, verbose=0))
    code = (
        "import sys, numpy as np\n"
        "sys.modules['keras_hub'] = sys.modules['kerastune_recipes'] = None\n"
        "import keras\n"
        "images, expected = np.load('given.npz').values()\n"
        "print(np.allclose(keras.saving.load_model('model.keras').predict(images, verbose=0), expected, atol=1e-5))"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert run.stdout.split() == ["True"], run.stderr


def test_a_plan_with_a_preset_can_be_saved_and_run(keras_hub, preset, pictures, tmp_path):
    data = pictures(24, size=48)
    plan = shortened(preset(resnet(keras_hub), **TORCH)).plan(data)
    (tmp_path / "plan.yaml").write_text(yaml_files.dump(plan.to_data()))

    assert Recipe.from_file(tmp_path / "plan.yaml").run(data, verbose=False).plan == plan


def test_a_preset_with_a_fixed_size_sets_the_image_size(keras_hub, preset, pictures):
    vgg = keras_hub.models.VGGBackbone([1, 1], [4, 8], image_shape=(32, 32, 3))
    name = preset(vgg, converter="VGGImageConverter", **TORCH)

    assert shortened(name).plan(pictures(24)).backbone.image_size == 32
    with pytest.raises(BackboneError, match=r'"preset" cannot be a backbone at image_size 64.*set image_size to 32'):
        shortened(name, **{"backbone.image_size": 64}).plan(pictures(24))


def test_a_backbone_without_a_map_of_activations_is_refused(keras_hub, preset, pictures):
    vit = keras_hub.models.ViTBackbone(
        image_shape=(32, 32, 3), patch_size=(16, 16), num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=16
    )
    name = preset(vit, converter="ViTImageConverter", **TORCH)
    with pytest.raises(BackboneError, match=r"must have one output of shape \(batch, height, width, channels\)"):
        shortened(name).plan(pictures(24))


def test_batch_norm_within_layers_of_keras_hub_stays_frozen(keras_hub, preset, pictures):
    efficientnet = keras_hub.models.EfficientNetBackbone(
        stackwise_kernel_sizes=[3],
        stackwise_num_repeats=[1],
        stackwise_input_filters=[8],
        stackwise_output_filters=[8],
        stackwise_expansion_ratios=[2],
        stackwise_squeeze_and_excite_ratios=[0.25],
        stackwise_strides=[2],
        stackwise_block_types=["fused"],
        width_coefficient=1.0,
        depth_coefficient=1.0,
    )
    name = preset(efficientnet, converter="EfficientNetImageConverter", **TORCH)
    everything = {"phases.fine_tuning.fit.trainable": [["head", 1.0], ["backbone", 1.0]], "keep": "last"}
    report = shortened(name, **everything).run(pictures(24), verbose=False)

    trained = report.model.get_layer("backbone").weights
    moved = {
        weight.name for weight, before in zip(trained, efficientnet.weights, strict=True) if np.any(weight != before)
    }
    assert {"kernel"} <= moved
    assert not moved & {"moving_mean", "moving_variance", "gamma", "beta"}
