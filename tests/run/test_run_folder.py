"""The run folder: when a run may be written to it, and reading a finished one back."""

import keras
import numpy as np
import pytest

from kerastune_recipes import yaml_files
from kerastune_recipes.errors import OutputError
from kerastune_recipes.evaluation import saved_model
from kerastune_recipes.run import run_folder
from kerastune_recipes.spec import catalog
from kerastune_recipes.studies import study_folder

RECIPE = catalog.load("small_similar")


@pytest.fixture
def finished(tmp_path):
    """A folder with a model of two classes."""
    image = keras.Input((None, None, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(image)
    keras.Model(image, keras.layers.Dense(2, "softmax")(pooled)).save(tmp_path / "model.keras")
    (tmp_path / "labels.txt").write_text("ants\nbees\n")
    return tmp_path


def test_asking_makes_and_removes_nothing(tmp_path):
    assert run_folder.prepare(tmp_path / "new", resume=False, overwrite=False) == tmp_path / "new"
    assert not (tmp_path / "new").exists()
    (tmp_path / "report.json").touch()
    assert run_folder.prepare(tmp_path, resume=False, overwrite=True) == tmp_path
    assert (tmp_path / "report.json").exists()
    assert run_folder.prepare(None, resume=False, overwrite=False) is None


def test_an_empty_folder_will_do(tmp_path):
    assert run_folder.prepare(tmp_path, resume=False, overwrite=False) == tmp_path


def test_beginning_removes_what_an_older_run_wrote_and_nothing_else(tmp_path):
    for name in (*run_folder.FILES, "notes.txt"):
        (tmp_path / name).touch()
    run_folder.write_recipe(tmp_path, RECIPE)
    assert {path.name for path in tmp_path.iterdir()} == {"recipe.yaml", "notes.txt"}
    assert catalog.parse(yaml_files.read(tmp_path / "recipe.yaml"), "recipe.yaml") == RECIPE


def test_work_of_several_runs_goes_on_in_a_folder_with_the_same_request(tmp_path):
    request = {"recipes": {"one": "digest"}, "images": "digest"}
    for _ in range(2):
        study_folder.check_same(tmp_path / "out", "comparison", request)
        study_folder.write_request(tmp_path / "out", request)
    with pytest.raises(OutputError, match="out: the comparison in this folder was made with other images; give the"):
        study_folder.check_same(tmp_path / "out", "comparison", {**request, "images": "other"})


def test_work_of_several_runs_takes_no_folder_of_something_else(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(OutputError, match="this folder exists, is not empty and holds no search; name another"):
        study_folder.check_same(tmp_path, "search", {})
    with pytest.raises(OutputError, match=r"notes\.txt: this is a file; name a folder"):
        study_folder.check_same(tmp_path / "notes.txt", "search", {})
    with pytest.raises(OutputError, match="the folder cannot be written"):
        study_folder.write_request(tmp_path / "notes.txt" / "out", {})


def test_a_finished_run_is_read_back(finished):
    saved = saved_model.load(finished)
    assert saved.class_names == ("ants", "bees")
    assert saved.model.predict_on_batch(np.zeros((1, 4, 5, 3))).shape == (1, 2)


def test_labels_that_do_not_fit_the_model(finished):
    (finished / "labels.txt").write_text("ants\nbees\nwasps\n")
    with pytest.raises(OutputError, match=r"labels\.txt: there are 3 labels, and the model beside it has 2 classes"):
        saved_model.load(finished)


def test_a_damaged_model(finished):
    content = (finished / "model.keras").read_bytes()
    (finished / "model.keras").write_bytes(content[: len(content) // 2])
    with pytest.raises(OutputError, match=r"model\.keras: this model cannot be loaded: .*\.$"):
        saved_model.load(finished)
