"""What a model file may hold. A file that holds more is refused by us, and by Keras where it gets that far.

A marker shows whether code of a file ran: a file that its code would write.
"""

import json
import sys
import zipfile

import h5py
import keras
import numpy as np
import pytest
from keras.src.saving.serialization_lib import SafeModeScope
from model_files import members, rewrite

from kerastune_recipes.errors import OutputError
from kerastune_recipes.evaluation import model_file, saved_model


@pytest.fixture
def run(tmp_path):
    """The folder of a finished run."""
    image = keras.Input((None, None, 3))
    resized = keras.layers.Resizing(8, 8, name="resize")(image)
    pooled = keras.layers.GlobalAveragePooling2D()(resized)
    folder = tmp_path / "run"
    folder.mkdir()
    saved_model.save_model(folder, keras.Model(image, keras.layers.Dense(2, "softmax")(pooled)))
    saved_model.save_labels(folder, ("ants", "bees"))
    return folder


@pytest.fixture
def marker(tmp_path):
    """A file that code of a stranger would write."""
    return tmp_path / "marker"


@pytest.fixture
def marker_module(tmp_path, monkeypatch, marker):
    """The name of a module that writes the marker when it is imported."""
    (tmp_path / "marker_module.py").write_text(f"open({str(marker)!r}, 'w').close()\nclass Marker: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "marker_module"
    assert "marker_module" not in sys.modules


@pytest.fixture(params=["our check", "Keras alone", "Keras alone, safe mode switched off in this process"])
def check(request, monkeypatch):
    """Who checks the file: our check comes first, and Keras's safe mode holds without it."""
    if request.param != "our check":
        monkeypatch.setattr(model_file, "check", lambda file: None)
    if request.param.endswith("process"):
        with SafeModeScope(False):  # as keras.config.enable_unsafe_deserialization leaves it
            yield request.param
    else:
        yield request.param


def problem(run) -> str:
    with pytest.raises(OutputError) as caught:
        saved_model.load(run)
    assert "\n" not in str(caught.value)
    assert "safe_mode" not in str(caught.value)
    return str(caught.value)


def config_of(run) -> dict:
    return json.loads(members(run / "model.keras")["config.json"])


def with_layer(run, **described):
    """Let the layer that pools be described otherwise."""
    config = config_of(run)
    (layer,) = (each for each in config["config"]["layers"] if each["class_name"] == "GlobalAveragePooling2D")
    layer.update(described)
    rewrite(run / "model.keras", {"config.json": json.dumps(config)})


def test_a_model_of_a_run_passes(run, check):
    model_file.check(run / "model.keras")
    assert saved_model.load(run).class_names == ("ants", "bees")


def test_a_lambda_layer_does_not_run(run, marker, check):
    image = keras.Input((None, None, 3))
    writes = keras.layers.Lambda(lambda x, file=str(marker): (open(file, "w").close(), x)[1])
    keras.Model(image, writes(image)).save(run / "model.keras")
    marker.unlink()
    said = problem(run)
    if check == "our check":
        assert said.endswith("it holds code (Lambda, __lambda__), which a run never writes; do not trust it.")
    assert not marker.exists()


def test_a_function_that_is_no_keras_function_is_not_looked_up(run, check):
    function = {"module": "builtins", "class_name": "function", "config": "exec", "registered_name": "function"}
    with_layer(run, module="keras.layers", class_name="Activation", config={"name": "a", "activation": function})
    assert "model.keras: this model cannot be loaded: " in problem(run)


@pytest.mark.parametrize("kind", ["class", "function"])
def test_a_module_that_a_file_names_is_not_imported(run, marker, marker_module, check, kind):
    if kind == "class":
        with_layer(run, module=marker_module, class_name="Marker", registered_name="Marker")
    else:
        with_layer(run, module=marker_module, class_name="function", config="Marker", registered_name="Marker")
    said = problem(run)
    if check == "our check":
        assert 'model.keras: it names "marker_module.' in said
    assert not marker.exists()


@pytest.mark.parametrize(
    ("name", "argument"),
    [("TFSMLayer", "filepath"), ("TorchModuleWrapper", "module"), ("JaxLayer", "call_fn"), ("FlaxLayer", "module")],
)
def test_layers_that_bring_their_own_code_are_refused(run, name, argument):
    with_layer(run, module="keras.layers", class_name=name, config={argument: "nowhere"})
    assert problem(run).endswith(f"it holds code ({name}), which a run never writes; do not trust it.")


def test_a_class_of_the_users_own_network_must_be_registered(run):
    with_layer(run, module="my_layers", class_name="Pool", registered_name="mine>Pool")
    assert problem(run).endswith(
        'it names "my_layers.Pool", which is not Keras\'s; if it is part of your own network, import the module that '
        "registers it with keras.saving.register_keras_serializable first, else do not trust the file."
    )

    @keras.saving.register_keras_serializable("mine")
    class Pool(keras.layers.GlobalAveragePooling2D):
        pass

    assert saved_model.load(run).class_names == ("ants", "bees")
    keras.saving.get_custom_objects().pop("mine>Pool")


@pytest.mark.parametrize("config", ["", "{", "[]", "3", "null", '{"class_name": 3}', "[" * 100_000, "\udcff"])
def test_a_config_that_is_none(run, check, config):
    rewrite(run / "model.keras", {"config.json": config.encode("utf-8", "surrogateescape")})
    assert "model.keras: this model cannot be loaded: " in problem(run)


@pytest.mark.parametrize(
    "name",
    [
        "../outside",
        "assets/../../outside",
        "assets/..\\outside",
        "C:\\outside",
        "assets//outside",
        "run.py",
        "a\x1b[2J",
    ],
)
def test_members_that_leave_their_folder_or_do_not_belong(run, name):
    rewrite(run / "model.keras", {name: b"harmless"})
    assert "model.keras: a model file does not hold " in problem(run)
    assert not [path for path in run.parent.rglob("*") if path.name.endswith("outside")]


def test_an_absolute_member(run, tmp_path):
    rewrite(run / "model.keras", {str(tmp_path / "outside"): b"harmless"})
    assert f'a model file does not hold "{tmp_path.parent.parent}' in problem(run)
    assert not (tmp_path / "outside").exists()


def test_assets_are_members_too(run):
    rewrite(run / "model.keras", {"assets/": b"", "assets/vocabulary/words.txt": b"harmless"})
    model_file.check(run / "model.keras")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name(run):
    with zipfile.ZipFile(run / "model.keras", "a") as archive:
        archive.writestr("config.json", "{}")
    assert "it holds a file twice, so programs may read different models in it; do not trust it." in problem(run)


@pytest.mark.parametrize(("name", "size"), [("model.weights.h5", 32 * 2**20), ("config.json", 65 * 2**20)])
def test_members_that_unpack_to_far_more(run, name, size):
    rewrite(run / "model.keras", {name: b" " * size})
    assert problem(run).endswith(f'"{name}" in it would unpack to far more than it is; do not trust it.')


@pytest.mark.parametrize("name", ["config.json", "model.weights.h5"])
def test_a_missing_member(run, name):
    rewrite(run / "model.keras", {name: None})
    assert f"{name}" in problem(run)


def test_weights_do_not_come_from_another_file(run, tmp_path):
    with h5py.File(tmp_path / "secret.h5", "w") as secret:
        secret["vars/0"], secret["vars/1"] = np.ones((3, 2)), np.ones(2)
    weights = tmp_path / "weights.h5"
    weights.write_bytes(members(run / "model.keras")["model.weights.h5"])
    with h5py.File(weights, "r+") as file:
        del file["layers/dense/vars"]
        file["layers/dense/vars"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "vars")
    rewrite(run / "model.keras", {"model.weights.h5": weights.read_bytes()})
    assert "model.keras: this model cannot be loaded: " in problem(run)
