"""The pretrained classifier of a backbone: its files, and that it fits the backbone's output."""

import json
from pathlib import Path
from types import SimpleNamespace

import h5py
import keras
import numpy as np
import pytest
from scipy.special import softmax

from kerastune_recipes.backbones.pretrained_classifier import classifier_facts, load_classifier
from kerastune_recipes.backbones.table import BACKBONES, find
from kerastune_recipes.demo import network as demo
from kerastune_recipes.errors import BackboneError

pytestmark = pytest.mark.slow

KERAS_HOME = Path(__file__).parents[3] / "shared" / "keras_home"

# The smallest network of every family whose classifier is a single layer.
SMALLEST = (
    "ResNet50",
    "ResNet50V2",
    "DenseNet121",
    "InceptionV3",
    "InceptionResNetV2",
    "Xception",
    "MobileNet_0.25",
    "MobileNetV2_0.35",
    "NASNetMobile",
    "EfficientNetB0",
    "EfficientNetV2B0",
    "DemoNet",
)


@pytest.fixture
def home(monkeypatch, tmp_path):
    """Return an empty Keras home without internet, and the list of files that Keras tries to download."""
    requested = []

    def fail(origin, filename, *_):
        requested.append(Path(filename).name)
        raise OSError("Network is unreachable")

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(keras.src.backend.config, "_KERAS_DIR", str(tmp_path))
    monkeypatch.setattr(keras.src.utils.file_utils, "urlretrieve", fail)
    monkeypatch.setattr(keras.src.applications.imagenet_utils, "CLASS_INDEX", None)
    (tmp_path / "models").mkdir()
    return SimpleNamespace(models=tmp_path / "models", requested=requested)


def write_names(file):
    names = {index: [f"n{index:08d}", f"thing_{index}"] for index in range(1000)}
    names[309] = ["n02206856", "bee"]
    file.write_text(json.dumps(names))


# Against what Keras builds


@pytest.mark.parametrize("name", SMALLEST)
def test_the_classifier_is_one_layer_on_the_average_of_the_output(name):
    backbone = find(name)
    constructor = getattr(demo if name == "DemoNet" else keras.applications, backbone.constructor)
    size = backbone.minimum_size
    arguments = {"weights": None, "input_shape": (size, size, 3), **backbone.arguments}
    whole, bare = constructor(classes=3, **arguments), constructor(include_top=False, **arguments)
    *weights, kernel, bias = whole.get_weights()
    bare.set_weights(weights)
    images = np.random.default_rng(0).uniform(-1, 1, (2, size, size, 3)).astype("float32")
    averages = np.asarray(bare(images)).mean(axis=(1, 2))
    logits = averages @ kernel.reshape(-1, 3) + bias
    np.testing.assert_allclose(whole(images), softmax(logits, axis=1), atol=1e-5)
    assert [layer.name for layer in whole.layers if layer.weights][-1] == backbone.classifier


def test_every_family_is_checked():
    families = {backbone.family for backbone in BACKBONES.values() if backbone.classifier}
    assert {find(name).family for name in SMALLEST} == families


@pytest.mark.parametrize("name", ["ResNet50V2", "MobileNet_0.25", "MobileNetV2_0.50"])
def test_the_table_knows_which_file_keras_downloads(name, home):
    with pytest.raises(BackboneError, match=find(name).classifier_file):
        load_classifier(name)
    assert home.requested == [find(name).classifier_file]


# Facts


def test_names_come_from_the_file_in_the_keras_home(home):
    write_names(home.models / "imagenet_class_index.json")
    facts = classifier_facts("MobileNetV2", "imagenet")
    assert (facts.classes, facts.names[309], facts.ids[309]) == (1000, "bee", "n02206856")
    assert (facts.problem, facts.names_problem) == ("", "")
    assert facts.label(309) == "bee (309)"
    assert not home.requested


def test_downloaded_names_are_in_the_order_of_their_indices(home, monkeypatch):
    served = home.models / "served.json"
    write_names(served)
    monkeypatch.setattr(keras.src.applications.imagenet_utils.file_utils, "get_file", lambda *_, **__: str(served))
    facts = classifier_facts("MobileNetV2", "imagenet")
    assert facts.names[308:311] == ("thing_308", "bee", "thing_310")
    assert facts.ids[999] == "n00000999"


def test_missing_names_are_explained(home):
    facts = classifier_facts("MobileNetV2", "imagenet")
    assert (facts.problem, facts.classes, facts.names) == ("", 1000, ())
    assert facts.names_problem.startswith(
        f'The names of ImageNet\'s classes are not at "{home.models}/imagenet_class_index.json", where Keras looks for '
        "them, and could not be downloaded ("
    )
    assert facts.names_problem.endswith("or give indices from 0 to 999 in place of names and ids.")
    assert facts.label(309) == "309"


def test_damaged_names_are_explained(home):
    (home.models / "imagenet_class_index.json").write_text('{"0": ["n01440764", "tench"]}')
    assert (
        "delete the file so that Keras downloads it again" in classifier_facts("MobileNetV2", "imagenet").names_problem
    )


def test_demonet_knows_letters():
    facts = classifier_facts("DemoNet", "demo")
    assert facts.names[0] == "A"
    assert facts.classes == len(facts.names)
    assert not facts.ids


@pytest.mark.parametrize(
    ("name", "weights", "problem"),
    [
        ("VGG16", "imagenet", "the pretrained classifier of VGG16 is not a single layer on the averaged output"),
        ("ConvNeXtTiny", "imagenet", "use a backbone where it is, such as ResNet50, EfficientNetV2B0 or MobileNetV2"),
        ("ResNet50", "none", 'ResNet50 with weights "none" has no pretrained classifier; write weights: imagenet, or'),
        (
            "DemoNet",
            "mine.weights.h5",
            'DemoNet with weights "mine.weights.h5" has no pretrained classifier; write wei',
        ),
        ("own", "given", 'own with weights "given" has no pretrained classifier; use another head.'),
    ],
)
def test_a_network_without_a_usable_classifier_says_why(name, weights, problem):
    assert problem in classifier_facts(name, weights).problem


# Weights


@pytest.mark.parametrize("name", ["MobileNetV2", "MobileNet"])
def test_kernel_and_bias_come_from_the_file_in_the_keras_home(name, home):
    random = np.random.default_rng(0)
    kernel = random.normal(size=(1, 1, 4, 5) if name == "MobileNet" else (4, 5)).astype("float16")
    bias = random.normal(size=5).astype("float32")
    with h5py.File(home.models / find(name).classifier_file, "w") as file:
        layer = file.create_group(find(name).classifier)
        layer["here/kernel:0"], layer["here/bias:0"] = kernel, bias
        layer.attrs["weight_names"] = ["here/kernel:0", "here/bias:0"]
    classifier = load_classifier(name)
    np.testing.assert_array_equal(classifier.kernel, kernel.reshape(4, 5).astype("float32"))
    np.testing.assert_array_equal(classifier.bias, bias)
    assert classifier.kernel.dtype == "float32"


def test_kernel_and_bias_may_be_downloaded(home, monkeypatch):
    pretrained = keras.applications.MobileNet(weights=None, alpha=0.25)
    served = home.models / "served.weights.h5"
    pretrained.save_weights(served)
    monkeypatch.setattr(keras.src.applications.mobilenet.file_utils, "get_file", lambda *_, **__: str(served))
    classifier = load_classifier("MobileNet_0.25")
    kernel, bias = pretrained.get_layer("conv_preds").get_weights()
    np.testing.assert_array_equal(classifier.kernel, kernel[0, 0])
    np.testing.assert_array_equal(classifier.bias, bias)


def test_a_damaged_file_is_refused(home):
    (home.models / find("MobileNetV2").classifier_file).write_bytes(b"no such thing")
    with pytest.raises(BackboneError, match=r"with its classifier cannot be read from .*delete the file"):
        load_classifier("MobileNetV2")


def test_the_demo_classifier_ships_with_the_package():
    classifier = load_classifier("DemoNet")
    with np.load(demo.CLASSIFIER_FILE) as saved:
        np.testing.assert_array_equal(classifier.kernel, saved["kernel"].astype("float32"))


@pytest.mark.skipif(not KERAS_HOME.is_dir(), reason="needs ImageNet weights in ../shared/keras_home")
def test_the_real_classifier_equals_keras(monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(KERAS_HOME))
    file = KERAS_HOME / "models" / find("MobileNetV2").classifier_file
    kernel, bias = keras.applications.MobileNetV2(weights=file).get_layer("predictions").get_weights()
    classifier = load_classifier("MobileNetV2")
    np.testing.assert_array_equal(classifier.kernel, kernel)
    np.testing.assert_array_equal(classifier.bias, bias)
