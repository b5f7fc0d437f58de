"""Building backbones, loading their weights, and their preprocessing."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from kerastune_recipes.backbones import alexnet
from kerastune_recipes.backbones.build import build, preprocess
from kerastune_recipes.backbones.facts import Scaling
from kerastune_recipes.backbones.table import BACKBONES, find
from kerastune_recipes.demo import network as demo
from kerastune_recipes.errors import BackboneError

pytestmark = pytest.mark.slow

KERAS_HOME = Path(__file__).parents[3] / "shared" / "keras_home"

# The smallest network of every family, and the module of its functions.
SMALLEST = {
    "VGG16": keras.applications.vgg16,
    "ResNet50": keras.applications.resnet,
    "ResNet50V2": keras.applications.resnet_v2,
    "DenseNet121": keras.applications.densenet,
    "InceptionV3": keras.applications.inception_v3,
    "InceptionResNetV2": keras.applications.inception_resnet_v2,
    "Xception": keras.applications.xception,
    "MobileNet_0.25": keras.applications.mobilenet,
    "MobileNetV2_0.35": keras.applications.mobilenet_v2,
    "MobileNetV3Small": keras.applications.mobilenet_v3,
    "NASNetMobile": keras.applications.nasnet,
    "EfficientNetB0": keras.applications.efficientnet,
    "EfficientNetV2B0": keras.applications.efficientnet_v2,
    "ConvNeXtTiny": keras.applications.convnext,
    "AlexNet": alexnet,
    "DemoNet": demo,
}


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """Return an empty Keras home without internet, and the list of files that Keras tries to download."""
    requested = []

    def fail(origin, filename, *_):
        requested.append(Path(filename))
        raise OSError("Network is unreachable")

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(keras.src.backend.config, "_KERAS_DIR", str(tmp_path))
    monkeypatch.setattr(keras.src.utils.file_utils, "urlretrieve", fail)
    return SimpleNamespace(home=tmp_path, requested=requested)


# Preprocessing


def test_the_preprocessing_of_every_family_is_checked():
    assert {find(name).family for name in SMALLEST} == {backbone.family for backbone in BACKBONES.values()}


@pytest.mark.parametrize("name", SMALLEST)
def test_preprocessing_equals_that_of_keras_applications(name):
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 8, 8, 3)).astype("float32")
    image = keras.Input((8, 8, 3))
    ours = keras.Model(image, keras.layers.Identity()(preprocess(image, find(name).preprocessing)))

    expected = SMALLEST[name].preprocess_input(pixels.copy())

    # Single precision holds about seven digits, and caffe's values go up to 150.
    np.testing.assert_allclose(ours(pixels), expected, rtol=1e-6, atol=1e-4)


def test_preprocessing_may_be_numbers():
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 8, 8, 3)).astype("float32")
    image = keras.Input((8, 8, 3))
    scaling = Scaling(scale=1 / 255, offset=(0.0, 1.0, 2.0))

    ours = keras.Model(image, preprocess(image, scaling))

    np.testing.assert_allclose(ours(pixels), pixels / 255 + [0, 1, 2], rtol=1e-6)


def test_a_model_with_preprocessing_loads_without_this_package(tmp_path):
    image = keras.Input((32, 32, 3))
    network = build("DemoNet", "none", 32)
    names = ("identity", "caffe", "torch", "symmetric")
    inputs = [keras.Model(image, keras.layers.Identity()(preprocess(image, name)), name=name)(image) for name in names]
    model = keras.Model(image, [network(each) for each in inputs])
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    model.save(tmp_path / "model.keras")
    np.savez(tmp_path / "given.npz", pixels, *model(pixels))

    code = (
        "import sys, keras, numpy as np\n"
        "pixels, *expected = np.load('given.npz').values()\n"
        "received = keras.saving.load_model('model.keras')(pixels)\n"
        "print(all(np.allclose(*pair, atol=1e-5) for pair in zip(expected, received)))\n"
        "print('kerastune_recipes' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert run.stdout.split() == ["True", "False"], run.stderr


def test_preprocessing_keeps_full_precision_under_a_half_precision_policy():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        image = keras.Input((8, 8, 3), dtype="float32")
        assert preprocess(image, "caffe").dtype == "float32"
    finally:
        keras.config.set_dtype_policy(before)


# Building


def test_two_builds_have_the_same_layer_names():
    first, second = (build("MobileNetV3Small", "none", 32) for _ in range(2))

    assert [layer.name for layer in first.operations] == [layer.name for layer in second.operations]
    assert first.get_layer("activation_17").output is first.outputs[0]


def test_a_size_below_the_minimum_is_refused():
    with pytest.raises(
        BackboneError, match="InceptionV3 needs images of at least 75 pixels a side; received image_size 64"
    ):
        build("InceptionV3", "none", 64)


def test_all_problems_are_reported_at_once():
    with pytest.raises(BackboneError, match="2 problems") as raised:
        build("Xception", "demo", 32)
    assert raised.value.problems == (
        "Xception needs images of at least 71 pixels a side; received image_size 32.",
        'Xception has no weights "demo"; write "imagenet", "none" or the path of a weights file.',
    )


# Weights


def test_without_internet_the_error_names_the_file_and_what_to_do(offline, capfd):
    file = offline.home / "models" / "mobilenet_2_5_224_tf_no_top.h5"

    with pytest.raises(BackboneError) as raised:
        build("MobileNet_0.25", "imagenet", 96)

    assert str(raised.value) == (
        f'The ImageNet weights of MobileNet_0.25 are not at "{file}", where Keras looks for them, and could not be '
        "downloaded (Network is unreachable): connect to the internet once, put mobilenet_2_5_224_tf_no_top.h5 there, "
        "set KERAS_HOME to a folder that has it in models/, or use weights: PATH of such a file or weights: none."
    )
    assert offline.requested == [file]
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("name", ["VGG16", "ResNet50V2", "MobileNetV2_0.50", "MobileNetV3Small"])
def test_the_table_knows_which_file_keras_downloads(name, offline):
    with pytest.raises(BackboneError, match=find(name).weights_file):
        build(name, "imagenet", 64)
    assert offline.requested == [offline.home / "models" / find(name).weights_file]


@pytest.mark.skipif(not KERAS_HOME.is_dir(), reason="needs ImageNet weights in ../shared/keras_home")
@pytest.mark.parametrize("name", ["MobileNetV2", "MobileNet_0.25"])
def test_the_weights_trained_at_224_pixels_are_used_at_every_size(name, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(KERAS_HOME))
    network = build(name, "imagenet", 160)

    # Keras itself, with the same file.
    constructor = getattr(keras.applications, find(name).constructor)
    file = KERAS_HOME / "models" / find(name).weights_file
    expected = constructor(include_top=False, weights=file, input_shape=(224, 224, 3), **find(name).arguments)
    assert network.input_shape == (None, 160, 160, 3)
    for ours, theirs in zip(network.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_download_gives_the_weights_at_the_default_size(offline, monkeypatch, tmp_path):
    # Weights that Keras downloads at 224 pixels are used at 64.
    served = tmp_path / "served.weights.h5"
    pretrained = build("MobileNet_0.25", "none", 224)
    pretrained.save_weights(served)
    monkeypatch.setattr(keras.src.applications.mobilenet.file_utils, "get_file", lambda *_, **__: str(served))

    network = build("MobileNet_0.25", "imagenet", 64)

    for ours, theirs in zip(network.get_weights(), pretrained.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_efficientnet_from_a_file_is_what_keras_builds_for_imagenet(monkeypatch, tmp_path):
    file = tmp_path / "some.weights.h5"
    build("EfficientNetB0", "none", 32).save_weights(file)
    monkeypatch.setattr(keras.src.applications.efficientnet.file_utils, "get_file", lambda *_, **__: str(file))
    theirs = keras.applications.EfficientNetB0(include_top=False, weights="imagenet", input_shape=(32, 32, 3))
    ours = build("EfficientNetB0", str(file), 32)
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")

    np.testing.assert_allclose(ours(pixels), theirs(pixels), rtol=1e-5, atol=1e-6)


@pytest.mark.skipif(not demo.WEIGHTS_FILE.is_file(), reason="the demo weights are not trained yet")
def test_demo_weights_ship_with_the_package():
    network = build("DemoNet", "demo", 48)

    expected = demo.DemoNet(include_top=False, weights="demo", input_shape=(48, 48, 3))
    for ours, theirs in zip(network.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("ending", [".weights.h5", ".keras"])
def test_weights_come_from_a_file(tmp_path, ending):
    file = tmp_path / f"mine{ending}"
    saved = build("DemoNet", "none", 32)
    saved.save(file) if ending == ".keras" else saved.save_weights(file)

    network = build("DemoNet", str(file), 64)

    for ours, theirs in zip(network.get_weights(), saved.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_weights_file_of_another_network_is_refused(tmp_path):
    file = tmp_path / "other.weights.h5"
    build("MobileNet_0.25", "none", 32).save_weights(file)

    with pytest.raises(BackboneError, match=r'other.weights.h5" cannot be read, or does not belong to DemoNet without'):
        build("DemoNet", str(file), 32)


@pytest.mark.skipif(not KERAS_HOME.is_dir(), reason="needs ImageNet weights in ../shared/keras_home")
def test_a_weights_file_with_the_classifier_is_refused():
    file = KERAS_HOME / "models" / "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224.h5"
    with pytest.raises(BackboneError, match="does not belong to MobileNetV2 without its classifier"):
        build("MobileNetV2", str(file), 64)


def test_a_weights_file_with_missing_layers_is_refused(tmp_path):
    # Keras only warns, and does not change the other layers.
    file = tmp_path / "part.weights.h5"
    network = build("DemoNet", "none", 32)
    keras.Model(network.inputs, network.get_layer("stage2_out").output).save_weights(file)

    with pytest.raises(BackboneError, match=r'part.weights.h5" cannot be read, or does not belong to DemoNet'):
        build("DemoNet", str(file), 32)


def test_a_broken_weights_file_is_refused(tmp_path):
    file = tmp_path / "broken.h5"
    file.write_bytes(b"no such thing")
    with pytest.raises(BackboneError, match=r'broken.h5" cannot be read'):
        build("DemoNet", str(file), 32)


def test_alexnet_names_the_source_of_its_weights():
    with pytest.raises(BackboneError) as raised:
        build("AlexNet", "imagenet", 224)
    assert str(raised.value) == (
        'AlexNet has no weights "imagenet"; write "none" or the path of a weights file: torchvision\'s '
        "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth, which needs torch, or the same tensors as "
        ".safetensors, which does not."
    )


def test_a_misspelt_word_for_weights_suggests_the_nearest():
    with pytest.raises(
        BackboneError, match=r'There is no weights file "imagnet" for VGG16; .* Did you mean "imagenet"'
    ):
        build("VGG16", "imagnet", 224)


def test_a_weights_file_of_another_format_is_refused(tmp_path):
    file = tmp_path / "weights.pth"
    file.touch()
    with pytest.raises(BackboneError, match=r"must end in .weights.h5, .h5 or .keras"):
        build("DemoNet", str(file), 32)


# A user's own model


def test_an_own_model_is_returned_unchanged(own_model):
    network = own_model()
    assert build(network, "none", 32) is network


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (
            lambda own_model: keras.Sequential([keras.layers.Conv2D(4, 3)], name="own"),
            r"it is a Sequential.*keras.Model\(inputs, outputs\)",
        ),
        (lambda own_model: own_model(64), "set image_size to 64"),
        (
            lambda own_model: own_model(top=[keras.layers.GlobalAveragePooling2D()]),
            "without pooling or classifier; it has",
        ),
        (
            lambda own_model: keras.applications.MobileNet(weights=None, alpha=0.25, input_shape=(32, 32, 1)),
            "must have one input of shape",
        ),
    ],
)
def test_an_own_model_of_the_wrong_form_is_refused(make, problem, own_model):
    with pytest.raises(BackboneError, match=problem):
        build(make(own_model), "none", 32)
