"""The model of a finished run, written to its folder and read back."""

import json

import keras
import numpy as np
import pytest
from model_files import members, rewrite

from kerastune_recipes.errors import OutputError
from kerastune_recipes.evaluation import saved_model


def network(size=8, name="resize", classes=2):
    image = keras.Input((None, None, 3))
    resized = keras.layers.Resizing(size, size, name=name)(image)
    pooled = keras.layers.GlobalAveragePooling2D()(resized)
    return keras.Model(image, keras.layers.Dense(classes, "softmax")(pooled))


@pytest.fixture
def finished(tmp_path):
    """A folder with a model of two classes."""
    saved_model.save_model(tmp_path, network())
    saved_model.save_labels(tmp_path, ("ants", "bees"))
    return tmp_path


def problem(folder) -> str:
    with pytest.raises(OutputError) as caught:
        saved_model.load(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_files_are_plain(finished):
    assert {path.name for path in finished.iterdir()} == {"model.keras", "labels.txt"}
    assert (finished / "labels.txt").read_text() == "ants\nbees\n"


def test_a_finished_run_is_read_back(finished):
    saved = saved_model.load(finished)
    assert saved.class_names == ("ants", "bees")
    assert saved.model.predict_on_batch(np.zeros((1, 4, 5, 3))).shape == (1, 2)


def test_the_range_of_pixels_comes_from_the_report(finished):
    report = finished / "report.json"
    for data, expected in (({"pixel_range": [0, 4095]}, (0, 4095)), ({"pixel_range": None}, None), ({}, None)):
        report.write_text(json.dumps({"data": data}))
        assert saved_model.load(finished).pixel_range == expected
    for content in ("soup", "[]", "{}", '{"data": 3}', '{"data": {"pixel_range": [1]}}', "[" * 100_000):
        report.write_text(content)
        assert problem(finished) == f"{report}: this report is damaged; restore the file that the run wrote."


@pytest.mark.parametrize(
    "names", [(" ants ", "bees"), ("ants\u00a0", "bees\u3000"), ("a#b", "'c'"), ("نمل", "می‌خواهم")]
)
def test_names_are_read_back_exactly(finished, names):
    saved_model.save_labels(finished, names)
    assert saved_model.load(finished).class_names == names


def test_a_file_without_its_last_line_feed_is_read(finished):
    (finished / "labels.txt").write_text("ants\nbees")
    assert saved_model.load(finished).class_names == ("ants", "bees")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"ants\nbees\nwasps\n", "there are 3 labels, but the model beside it has 2 classes; restore the file"),
        (b"", 'class names that are blank: ""; restore the file that the run wrote.'),
        (b"ants\n\n", 'class names that are blank: ""; restore the file that the run wrote.'),
        (b"ants\r\nbees\r\n", r'class names with control characters or line breaks: "ants\r", "bees\r"; restore'),
        (b"ants\x0bbees\nwasps\n", r'class names with control characters or line breaks: "ants\x0bbees"; restore'),
        ("ants\u2028bees\nwasps\n".encode(), r'line breaks: "ants\u2028bees"; restore'),
        (b"ants\x1b[2J\nbees\n", r'line breaks: "ants\x1b[2J"; restore'),
        (b"ants\nants\n", 'class names that occur more than once: "ants"; restore the file that the run wrote.'),
        (b"\xff\xfea\x00", "this file cannot be read: 'utf-8' codec can't decode byte 0xff in position 0"),
        (b"a" * 1001 + b"\nbees\n", 'class names of more than 1,000 characters: "aaa'),
    ],
)
def test_damaged_labels_are_refused_in_a_sentence(finished, content, what):
    (finished / "labels.txt").write_bytes(content)
    assert what in problem(finished)


def test_labels_of_hundreds_of_megabytes_are_not_read(finished):
    with open(finished / "labels.txt", "w") as file:
        file.truncate(200 * 2**20)
    assert problem(finished).endswith("labels.txt: this is too long for labels; restore the file that the run wrote.")


def test_a_link_to_a_file_is_followed(finished):
    """Tools for large files keep a link in place of a file."""
    (finished / "labels.txt").rename(finished / "elsewhere.txt")
    (finished / "labels.txt").symlink_to("elsewhere.txt")
    assert saved_model.load(finished).class_names == ("ants", "bees")


@pytest.mark.parametrize("target", ["nowhere.txt", ".", "/dev/zero"])
def test_a_link_to_anything_else_is_refused(finished, target):
    (finished / "labels.txt").unlink()
    (finished / "labels.txt").symlink_to(target)
    assert problem(finished).endswith("this is not the folder of a finished run; labels.txt is missing.")


def test_a_damaged_model(finished):
    content = (finished / "model.keras").read_bytes()
    (finished / "model.keras").write_bytes(content[: len(content) // 2])
    assert "model.keras: this model cannot be loaded: File is not a zip file" in problem(finished)


def test_a_model_with_other_weights(finished):
    network(classes=3).save(finished / "other.keras")
    weights = members(finished / "other.keras")["model.weights.h5"]
    rewrite(finished / "model.keras", {"model.weights.h5": weights})
    assert "model.keras: this model cannot be loaded: " in problem(finished)


@pytest.mark.parametrize(
    "model",
    [
        lambda: network(name="resizing"),
        lambda: network(size=5000),
        lambda: keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]),
        lambda: keras.layers.Dense(2),
    ],
    ids=["no layer of that name", "large images", "no images", "no model"],
)
def test_a_model_that_no_run_wrote(finished, model):
    keras.saving.save_model(model(), finished / "model.keras")
    assert "model.keras: this is a model, but not one that a run wrote: it does not resize images" in problem(finished)


def test_a_folder_without_a_run_is_refused(finished):
    (finished / "model.keras").unlink()
    assert problem(finished).endswith("this is not the folder of a finished run; model.keras is missing.")
