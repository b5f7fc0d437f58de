"""The model of a finished run, written to its folder and read back."""

import keras
import numpy as np
import pytest

from kerastune_recipes.errors import OutputError
from kerastune_recipes.evaluation import saved_model


@pytest.fixture
def finished(tmp_path):
    """A folder with a model of two classes."""
    image = keras.Input((None, None, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(image)
    saved_model.save_model(tmp_path, keras.Model(image, keras.layers.Dense(2, "softmax")(pooled)))
    saved_model.save_labels(tmp_path, ("ants", "bees"))
    return tmp_path


def test_the_files_are_plain(finished):
    assert {path.name for path in finished.iterdir()} == {"model.keras", "labels.txt"}
    assert (finished / "labels.txt").read_text() == "ants\nbees\n"


def test_a_finished_run_is_read_back(finished):
    saved = saved_model.load(finished)
    assert saved.class_names == ("ants", "bees")
    assert saved.model.predict_on_batch(np.zeros((1, 4, 5, 3))).shape == (1, 2)


def test_labels_that_do_not_fit_the_model(finished):
    (finished / "labels.txt").write_text("ants\nbees\nwasps\n")
    with pytest.raises(OutputError, match=r"labels\.txt: there are 3 labels, but the model beside it has 2 classes"):
        saved_model.load(finished)


def test_a_damaged_model(finished):
    content = (finished / "model.keras").read_bytes()
    (finished / "model.keras").write_bytes(content[: len(content) // 2])
    with pytest.raises(OutputError, match=r"model\.keras: this model cannot be loaded: .*\.$"):
        saved_model.load(finished)


def test_a_folder_without_a_run_is_refused(finished):
    (finished / "model.keras").unlink()
    with pytest.raises(OutputError, match=r"this is not the folder of a finished run; model\.keras is missing"):
        saved_model.load(finished)
