"""AlexNet: its shapes, and its weights from torchvision's files."""

import os
import pickle
import subprocess
import sys

import keras
import numpy as np
import pytest
from safetensors.numpy import save_file

import kerastune_recipes
from kerastune_recipes import AlexNet, Recipe
from kerastune_recipes.backbones.build import build
from kerastune_recipes.errors import BackboneError

# The state dict of torchvision's AlexNet: outputs, inputs, height, width; the bias has one number for each output.
CONVOLUTIONS = {
    "features.0": (64, 3, 11, 11),
    "features.3": (192, 64, 5, 5),
    "features.6": (384, 192, 3, 3),
    "features.8": (256, 384, 3, 3),
    "features.10": (256, 256, 3, 3),
}
DENSE = {"classifier.1": (4096, 256 * 6 * 6), "classifier.4": (4096, 4096), "classifier.6": (10, 4096)}


def state_dict(weights=CONVOLUTIONS, seed=0):
    """Random weights that keep activations near one."""
    random = np.random.default_rng(seed)
    state = {}
    for name, shape in weights.items():
        spread = np.sqrt(2 / np.prod(shape[1:]))
        state[f"{name}.weight"] = random.standard_normal(shape, np.float32) * np.float32(spread)
        state[f"{name}.bias"] = random.standard_normal(shape[0], np.float32) * np.float32(0.1)
    return state


@pytest.fixture(scope="module")
def whole():
    """All weights of a network with ten classes."""
    return state_dict(CONVOLUTIONS | DENSE)


@pytest.fixture
def file(tmp_path):
    """A file with the weights without the classifier."""
    path = tmp_path / "alexnet.safetensors"
    save_file(state_dict(), path)
    return path


def image(size=224, seed=1):
    return np.random.default_rng(seed).normal(size=(2, size, size, 3)).astype("float32")


# The network


def test_shapes_are_those_of_the_paper():
    network = AlexNet(input_shape=(224, 224, 3))

    shapes = {layer.name: tuple(layer.output.shape[1:]) for layer in network.layers[1:]}
    assert shapes["conv1"] == (55, 55, 64)
    assert shapes["pool1"] == (27, 27, 64)
    assert shapes["pool2"] == (13, 13, 192)
    assert shapes["pool5"] == shapes["pool"] == (6, 6, 256)
    assert network.output_shape == (None, 1000)
    # torchvision's own count.
    assert network.count_params() == 61_100_840


@pytest.mark.parametrize(("pooling", "shape"), [(None, (None, 6, 6, 256)), ("avg", (None, 256)), ("max", (None, 256))])
def test_without_top(pooling, shape):
    assert AlexNet(include_top=False, input_shape=(224, 224, 3), pooling=pooling).output_shape == shape


def test_without_top_images_may_be_of_any_size():
    network = AlexNet(include_top=False)

    assert network.input_shape == (None, None, None, 3)
    assert network(image(63)).shape == (2, 1, 1, 256)


def test_it_builds_on_a_tensor():
    pixels = keras.Input((96, 96, 3), name="pixels")
    network = AlexNet(include_top=False, input_tensor=keras.layers.Rescaling(2.0)(pixels), pooling="avg", name="mine")

    assert network.name == "mine"
    assert network.inputs[0] is pixels
    assert network(image(96)).shape == (2, 256)


def test_the_package_imports_it_on_first_use():
    code = "import sys, kerastune_recipes as k; print('keras' in sys.modules); k.AlexNet; print('keras' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.split() == ["False", "True"], run.stderr
    assert "AlexNet" in kerastune_recipes.__all__


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"input_shape": (62, 224, 3)}, r"AlexNet needs images of at least 63 pixels a side; received \(62, 224, 3\)"),
        ({"input_shape": (224, 224, 1)}, r"needs an input_shape of \(height, width, 3\); received \(224, 224, 1\)"),
        ({"input_shape": (None, None, 3)}, r"need a fixed image size; .* or pass include_top=False"),
        ({"include_top": False, "pooling": "mean"}, 'pooling must be None, "avg" or "max"; received \'mean\''),
        ({"classes": 0}, "classes must be at least 1; received 0"),
        ({"weights": "imagenet"}, 'None or the path of torchvision\'s state dict .*; received "imagenet"'),
        ({"weights": "no/alexnet.pth"}, 'There is no weights file "no/alexnet.pth" for AlexNet'),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, problem):
    with pytest.raises(BackboneError, match=problem):
        AlexNet(**arguments)


# torchvision's weights, without torch


def test_a_convolution_equals_torchs(file):
    network = AlexNet(include_top=False, weights=file, input_shape=(63, 63, 3))
    pixels, state = image(63), state_dict()

    first = keras.Model(network.input, network.get_layer("conv1").output)(pixels)

    # As torch computes it: channels first, two zeros around, each output a sum over its patch.
    padded = np.pad(pixels.transpose(0, 3, 1, 2), ((0, 0), (0, 0), (2, 2), (2, 2)))
    patches = np.lib.stride_tricks.sliding_window_view(padded, (11, 11), axis=(2, 3))[:, :, ::4, ::4]
    expected = np.einsum("bchwyx,ocyx->bohw", patches, state["features.0.weight"])
    expected = np.maximum(expected + state["features.0.bias"][:, None, None], 0)
    np.testing.assert_allclose(np.transpose(first, (0, 3, 1, 2)), expected, atol=1e-4)


def test_the_first_dense_layer_flattens_the_map_in_torchs_order(whole, tmp_path):
    path = tmp_path / "whole.safetensors"
    save_file(whole, path)
    network = AlexNet(weights=path, classes=10, classifier_activation=None)
    path.unlink()  # it is large
    inner = keras.Model(network.input, [network.get_layer(name).output for name in ("pool5", "fc1", "fc2")])

    pooled, *hidden = (np.asarray(output) for output in inner(image()))
    logits = network(image())

    expected = pooled.transpose(0, 3, 1, 2).reshape(2, -1)
    for name, received in zip(DENSE, [*hidden, logits], strict=True):
        expected = expected @ whole[f"{name}.weight"].T + whole[f"{name}.bias"]
        expected = expected if name == "classifier.6" else np.maximum(expected, 0)
        np.testing.assert_allclose(received, expected, atol=1e-4)


def test_without_top_the_file_may_lack_the_classifier(file):
    network = AlexNet(include_top=False, weights=str(file))

    np.testing.assert_array_equal(network.get_layer("conv5").bias, state_dict()["features.10.bias"])


def test_half_precision_weights_are_converted(tmp_path):
    path = tmp_path / "half.safetensors"
    save_file({name: tensor.astype(np.float16) for name, tensor in state_dict().items()}, path)

    network = AlexNet(include_top=False, weights=path)

    assert network.get_layer("conv5").kernel.dtype == "float32"
    np.testing.assert_allclose(network.get_layer("conv5").bias, state_dict()["features.10.bias"], atol=1e-3)


def test_missing_tensors_and_wrong_shapes_are_reported_at_once(tmp_path):
    path = tmp_path / "odd.safetensors"
    state = state_dict(CONVOLUTIONS | {"features.6": (384, 192, 5, 5)})
    del state["features.0.bias"]
    save_file(state, path)

    with pytest.raises(BackboneError) as raised:
        AlexNet(include_top=False, weights=path)

    assert raised.value.problems == (
        f'The weights file "{path}" is not torchvision\'s AlexNet: it has no tensor "features.0.bias".',
        f'The tensor "features.6.weight" in "{path}" has the shape (384, 192, 5, 5), and the network needs '
        "(384, 192, 3, 3); give torchvision's AlexNet with the same number of classes.",
    )


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "broken.safetensors"
    path.write_bytes(b"no such thing")
    with pytest.raises(BackboneError, match=r'broken.safetensors" cannot be read as safetensors \('):
        AlexNet(include_top=False, weights=path)


def test_without_torch_a_pth_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    path = tmp_path / "alexnet.pth"
    path.touch()
    with pytest.raises(BackboneError, match=r"needs torch, which is not installed: .* as a .safetensors file"):
        AlexNet(include_top=False, weights=path)


# torchvision's weights, with torch


def in_torch():
    """The network as torchvision builds it, with random weights and ten classes."""
    nn = pytest.importorskip("torch.nn", reason="needs torch, to compare with")

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = nn.Sequential(
                nn.Conv2d(3, 64, 11, stride=4, padding=2),
                nn.ReLU(),
                nn.MaxPool2d(3, stride=2),
                nn.Conv2d(64, 192, 5, padding=2),
                nn.ReLU(),
                nn.MaxPool2d(3, stride=2),
                nn.Conv2d(192, 384, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(384, 256, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(256, 256, 3, padding=1),
                nn.ReLU(),
                nn.MaxPool2d(3, stride=2),
            )
            self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
            self.classifier = nn.Sequential(
                nn.Dropout(),
                nn.Linear(256 * 6 * 6, 4096),
                nn.ReLU(),
                nn.Dropout(),
                nn.Linear(4096, 4096),
                nn.ReLU(),
                nn.Linear(4096, 10),
            )

        def forward(self, x):
            return self.classifier(self.avgpool(self.features(x)).flatten(1))

    return Network().eval()


def test_outputs_equal_torchs(whole, tmp_path):
    theirs = in_torch()
    import torch
    from safetensors.torch import save_file as save_torch

    theirs.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in whole.items()})
    for ending, save in ((".safetensors", save_torch), (".pth", torch.save)):
        path = tmp_path / f"alexnet{ending}"
        save(theirs.state_dict(), path)
        # 224: the pooling changes nothing; 63: it repeats one position; 300: it averages overlapping parts of 8 x 8.
        for size in (224, 63, 300) if ending == ".pth" else (224,):
            ours = AlexNet(weights=path, input_shape=(size, size, 3), classes=10, classifier_activation=None)
            with torch.no_grad():
                expected = theirs(torch.from_numpy(image(size).transpose(0, 3, 1, 2))).numpy()
            np.testing.assert_allclose(ours(image(size)), expected, atol=1e-4)
            assert np.abs(expected).max() > 0.1
        path.unlink()  # it is large


class Shell:
    """An object whose pickle runs code when it is loaded."""

    def __reduce__(self):
        return os.mkdir, ("harmed",)


@pytest.mark.parametrize("content", [Shell(), [1, 2]])
def test_a_pth_file_that_is_no_state_dict_is_refused_and_not_run(tmp_path, monkeypatch, content):
    torch = pytest.importorskip("torch", reason="needs torch, to read the file")
    monkeypatch.chdir(tmp_path)
    torch.save(content, "odd.pth", pickle_module=pickle)
    problem = "cannot be read as a state dict" if isinstance(content, Shell) else 'has no tensor "features.0.weight"'
    with pytest.raises(BackboneError, match=problem):
        AlexNet(include_top=False, weights="odd.pth")
    assert not (tmp_path / "harmed").exists()


# In a recipe


def test_it_can_be_built_as_a_backbone(file):
    network = build("AlexNet", str(file), 96)

    np.testing.assert_array_equal(network.get_layer("conv5").bias, state_dict()["features.10.bias"])


@pytest.mark.parametrize("weights", ["none", "alexnet.safetensors"])
def test_a_recipe_runs_on_it(weights, file, pictures, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    changes = {"backbone.weights": weights, "backbone.image_size": 64, "phases.fine_tuning.fit.duration": "1 steps"}
    recipe = Recipe.from_name("small_similar", backbone="AlexNet", **changes)

    report = recipe.run(pictures(24, size=64), verbose=False)

    assert report.plan.backbone.preprocessing == "torch"
    assert report.model.predict(pictures(2)[0], verbose=0).shape == (2, 3)
    loaded = np.asarray(report.model.get_layer("backbone").get_layer("conv1").bias) == state_dict()["features.0.bias"]
    assert loaded.all() == (weights != "none")
