"""What a run returns: figures, predictions, text, and the files of its folder."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from kerastune_recipes import yaml_files
from kerastune_recipes.devices.facts import HardwareFacts
from kerastune_recipes.errors import DataError, OutputError
from kerastune_recipes.evaluation import metrics, saved_model
from kerastune_recipes.evaluation.predict import predict
from kerastune_recipes.reporting.outcome import Outcome, Selection
from kerastune_recipes.reporting.report import Cost, Report, RunFacts, Split

PROBABILITIES = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], np.float32)
VALIDATION = Split(PROBABILITIES, np.array([0, 1, 1]))
TEST = Split(PROBABILITIES, np.array([0, 1, 0]))


@pytest.fixture
def report(assembled, data_facts):
    """Return a function that makes the report of a run of two phases, with these splits."""
    plan, _, network = assembled(classes=("ants", "bees"))

    def make(**splits):
        rows = ({"epoch": 1, "step": 2, "loss": 0.7, "learning_rate": 0.01},)
        scores = {"accuracy": 0.9, "log_loss": 0.3}
        choices = {
            "head": "logistic_regression", "class_balance": "none", "strength": 0.1, "judged_by": "a hold-out",
            "features_computed": 50,
        }  # fmt: skip
        outcomes = [
            Outcome("only", "solve", 1.0, 0, 30, 700, scores, choices, ()),
            Outcome("fine_tuning", "fit", 2.0, 2, 700, 30, scores, {"interpolation": 1.0}, rows),
        ]
        return Report.of_run(
            network.model,
            RunFacts(plan, data_facts, HardwareFacts("jax"), 7, "the plan in words"),
            Selection(outcomes, 1, PROBABILITIES, refitted="none"),
            {"validation": VALIDATION, **splits},
            Cost(total=5.0, one_forward_pass=0.5, phases=3.0),
        )

    return make


def test_figures_come_from_the_predictions(report):
    made = report(test=TEST)
    assert made.metrics == {
        "validation": metrics.summary(VALIDATION.probabilities, VALIDATION.labels),
        "test": metrics.summary(TEST.probabilities, TEST.labels),
    }
    assert made.record["chosen_phase"] == "fine_tuning"
    assert made.record["seed"] == 7
    assert made.record["cost"]["forward_equivalents"] == 6.0
    assert "jax" in made.record["versions"]
    assert json.loads(json.dumps(made.record)) == made.record


def test_groups_are_counted_where_they_are_known(report):
    groups = np.array([4, 4, 1])
    figures = report(test=Split(TEST.probabilities, TEST.labels, groups)).metrics
    assert figures["test"] == metrics.summary(TEST.probabilities, TEST.labels, groups)
    assert figures["test"]["groups"] == 2
    assert "groups" not in figures["validation"]


def test_without_a_test_split_its_metrics_are_none(report):
    assert report().metrics["test"] is None


def test_history_names_the_phase_of_each_epoch(report):
    assert [(row["phase"], row["epoch"]) for row in report().history] == [("fine_tuning", 1)]


def test_predictions_keep_the_names_of_files(report, pictures, tmp_path):
    made, (images, _) = report(), pictures(2)
    for number, pixels in enumerate(images):
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    predictions = made.predictions(tmp_path)
    assert predictions.names == (str(tmp_path / "0.png"), str(tmp_path / "1.png"))
    assert set(predictions.classes) <= {"ants", "bees"}
    np.testing.assert_allclose(predictions.probabilities, made.predict(images), atol=1e-6)


def test_images_are_predicted_in_the_range_that_the_run_was_given(report, pictures, data_facts):
    made, (images, _) = report(), pictures(2)
    with pytest.raises(DataError, match="so the images seem scaled to 0..1"):
        made.predict(images / 255)
    stated = replace(made, record={**made.record, "data": {**made.record["data"], "pixel_range": [0, 1]}})
    for predicted in (stated.predict(images / 255), stated.predict(images, pixel_range=(0, 255))):
        np.testing.assert_allclose(predicted, made.predict(images), atol=1e-6)


def test_predictions_are_those_of_the_model(report, pictures):
    made, (images, _) = report(), pictures(2)
    predicted = made.predict(images, tta=2, flip="horizontal")
    np.testing.assert_allclose(predicted, predict(made.model, images, 2, "horizontal"), atol=1e-6)


def test_a_report_prints_as_text(report):
    assert str(report()).splitlines()[0] == "test on photos: DemoNet, 2 classes, 50 training images"


def test_the_folder_holds_report_plan_and_model(report, tmp_path):
    made = report(test=TEST)
    made.save(tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "plan.yaml", "report.json", "report.html", "model.keras", "labels.txt", "history.csv",
    }  # fmt: skip
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == made.record
    assert yaml_files.read(tmp_path / "out" / "plan.yaml") == made.plan.to_data()
    assert "the plan in words" in (tmp_path / "out" / "report.html").read_text()
    (row,) = csv.DictReader((tmp_path / "out" / "history.csv").open())
    assert (row["phase"], row["loss"], row["val_loss"]) == ("fine_tuning", "0.7", "")
    assert saved_model.load(tmp_path / "out").class_names == ("ants", "bees")


def test_a_folder_that_cannot_be_written(report, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file: the report cannot be written: "):
        report().save(tmp_path / "file")
