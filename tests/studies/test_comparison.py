"""A comparison of finished runs: its figures, the images that judge them, its table and its files."""

import copy
import json
from dataclasses import replace

import numpy as np
import pytest

from kerastune_recipes.errors import DataError, OutputError, RecipeError
from kerastune_recipes.evaluation import metrics
from kerastune_recipes.planning.plan import Plan
from kerastune_recipes.studies.comparison import Comparison, Failure, JudgedFigures, JudgedRun


@pytest.fixture
def judged(assembled):
    """Return a function that makes a run that predicts exactly these images correctly."""
    plan, *_ = assembled(classes=("ants", "bees"))
    plan = Plan.from_data({**plan.to_data(), "features": {"taps": ["stage3"], "views": 2}}, "test")

    def make(correct, images=None, by="test", computed=24, seconds=5.0, groups=None):
        labels = np.arange(len(correct)) % 2
        named = np.where(correct, labels, 1 - labels)
        record = {
            "data": {"train": 10, "validation": 4},
            "phases": [
                {"name": "solved", "kind": "solve", "trainable_parameters": 30, "features_computed": computed},
                {"name": "fitted", "kind": "fit", "trainable_parameters": 700},
            ],
            "cost": {
                "seconds_total": 20.0,
                "seconds_in_phases": seconds,
                "seconds_one_forward_pass": 1.4,
                "forward_equivalents": seconds / 1.4,
            },
        }
        names = images or [str(index) for index in range(len(correct))]
        groups = None if groups is None else np.array(groups)
        return JudgedRun(record, plan, by, np.eye(2)[named] * 0.8 + 0.1, labels, names, groups)

    return make


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda record: record.pop("cost"), "report.json: cost: this key is missing."),
        (lambda record: record.update(phases=[]), "report.json: phases: expected a list of at least 1; received []."),
        (
            lambda record: record["phases"][0].update(kind="<b>"),
            'phases.solved.kind: expected "solve" or "fit"; received',
        ),
        (lambda record: record["phases"][1].update(trainable_parameters="many"), "expected a valid integer; received"),
        (lambda record: record["data"].update(train=0), "data.train: expected greater than or equal to 1; received 0."),
        (lambda record: record["cost"].update(seconds_total=float("nan")), "seconds_total: expected a finite number"),
        (lambda record: record["cost"].update(seconds_total=None), "seconds_total: expected a valid number; received"),
    ],
)
def test_a_damaged_report_is_refused_in_a_sentence(judged, change, problem):
    record = copy.deepcopy(judged([1, 0]).record)
    JudgedFigures.from_data(record, "report.json")
    change(record)
    with pytest.raises(RecipeError) as caught:
        JudgedFigures.from_data(record, "report.json")
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"probabilities": np.ones((2, 3))},
        {"probabilities": np.ones(2)},
        {"labels": np.array([0, 2])},
        {"labels": np.array([], int), "probabilities": np.ones((0, 2)), "images": []},
        {"images": ["1"]},
        {"by": "luck"},
        {"groups": np.array([1])},
        {"groups": np.array([1.0, 2.0])},
    ],
    ids=["classes", "shape", "labels", "none", "names", "judge", "groups", "numbers"],
)
def test_predictions_that_do_not_belong_together_are_refused(judged, change):
    with pytest.raises(ValueError, match="predictions, labels, names, groups and classes do not belong together"):
        replace(judged([1, 0]), **change)


def test_each_recipe_is_compared_with_the_first(judged):
    """Two seeds on the same four images; the second recipe gets one more image right with the second seed."""
    comparison = Comparison.of_runs(
        "photos",
        {
            "first": {0: judged([1, 1, 0, 0]), 1: judged([1, 1, 0, 0])},
            "second": {0: judged([1, 1, 0, 0]), 1: judged([1, 1, 1, 0])},
        },
    )
    first, second = comparison.results
    assert (comparison.judged, comparison.images, comparison.seeds) == ("test", 4, (0, 1))
    assert (first.accuracy, first.accuracy_by_seed) == (0.5, (0.5, 0.5))
    assert first.against_first is None
    assert (second.accuracy, second.accuracy_by_seed) == (0.625, (0.5, 0.75))
    assert second.against_first.difference == pytest.approx(0.125)
    assert (second.against_first.better, second.against_first.worse, second.against_first.p_value) == (1, 0, 1)
    assert first.log_loss == pytest.approx(-(np.log(0.9) + np.log(0.1)) / 2)
    assert first.trainable_parameters == 700


def test_images_of_several_hold_outs_are_counted_once(judged):
    """Each seed held out two images; one of them twice."""
    comparison = Comparison.of_runs(
        "photos",
        {
            recipe: {
                0: judged(correct, ["a", "b"], by="validation"),
                1: judged(correct, ["c", "b"], by="validation"),
            }
            for recipe, correct in (("first", [0, 1]), ("second", [1, 1]))
        },
    )
    assert (comparison.judged, comparison.images) == ("validation", 3)
    assert [result.accuracy for result in comparison.results] == [0.5, 1]
    assert comparison.results[1].against_first.better == 2


def test_images_of_a_group_count_together(judged):
    """Six animals with four photos each; the second recipe gets three animals right that the first does not."""
    groups = np.repeat([4, 9, 2, 0, 7, 3], 4)
    first, second = np.repeat([0, 0, 0, 1, 1, 0], 4), np.repeat([1, 1, 1, 1, 1, 0], 4)
    comparison = Comparison.of_runs(
        "photos", {"first": {0: judged(first, groups=groups)}, "second": {0: judged(second, groups=groups)}}
    )
    assert (comparison.images, comparison.groups) == (24, 6)
    assert comparison.results[0].accuracy_ci95 == pytest.approx(metrics.wilson_interval(2, 6))
    against = comparison.results[1].against_first
    assert (against.better, against.worse, against.p_value) == (12, 0, pytest.approx(2 / 8))
    alone = Comparison.of_runs("photos", {"first": {0: judged(first)}, "second": {0: judged(second)}})
    assert alone.groups is None
    assert alone.results[1].against_first.p_value < 0.001
    text = " ".join(str(comparison).split())
    assert "The images are in 6 groups. Images of a group resemble each other, so they count together" in text
    assert "95% intervals cover the choice of groups" in text
    assert "p: McNemar's exact test with groups as units, against first." in text
    assert "cannot be below" not in text
    assert "group" not in str(alone)
    assert comparison.record["groups"] == 6


def test_too_few_groups_are_named(judged):
    run = judged([1, 0, 1, 0, 1], groups=[0, 1, 2, 3, 4])
    text = " ".join(str(Comparison.of_runs("photos", {"first": {0: run}, "second": {0: run}})).split())
    assert "With 5 groups p cannot be below 0.062." in text


def test_groups_are_found_by_the_names_of_images(judged):
    """Each seed held out other images; a run that an earlier build saved has no groups."""
    runs = {
        0: judged([1, 1, 0], ["a", "b", "c"], by="validation", groups=[5, 5, 8]),
        1: judged([1, 1, 1], ["c", "b", "d"], by="validation", groups=[8, 5, 8]),
    }
    assert Comparison.of_runs("photos", {"first": runs}).groups == 2
    assert Comparison.of_runs("photos", {"first": runs | {1: replace(runs[1], groups=None)}}).groups is None
    older = {seed: replace(run, groups=None) for seed, run in runs.items()}
    assert Comparison.of_runs("photos", {"first": runs, "second": older}).groups == 2


def test_images_in_changing_order_cannot_be_compared(judged):
    with pytest.raises(DataError, match="the order of the images changes each time they are read"):
        Comparison.of_runs("data", {"a": {0: judged([1, 1], ["x", "y"])}, "b": {0: judged([1, 1], ["y", "x"])}})


def test_features_from_another_run_count_as_computed(judged):
    """10 training images in 2 views and 4 validation images are 24 rows; a forward pass is of 14."""
    alone, sharing = judged([1], computed=24, seconds=5.0), judged([1], computed=0, seconds=2.6)
    assert alone.cost.seconds == 5.0
    assert sharing.cost.seconds == pytest.approx(2.6 + 24 / 14 * 1.4)
    assert sharing.cost.forward_passes == pytest.approx(alone.cost.forward_passes)


def test_p_values_are_corrected_for_the_number_of_comparisons(judged):
    none, all_of_them = judged([0] * 6), judged([1] * 6)
    comparison = Comparison.of_runs("data", {"a": {0: none}, "b": {0: all_of_them}, "c": {0: all_of_them}})
    for result in comparison.results[1:]:
        assert result.against_first.p_value == pytest.approx(2 / 2**6)
        assert result.against_first.p_value_holm == pytest.approx(4 / 2**6)
    assert "corrected for 2 comparisons (Holm)" in str(comparison)


def test_the_table_names_images_seeds_and_failures(judged):
    runs = {"first": {0: judged([1, 1, 0, 0])}, "[second]": {0: judged([1, 1, 1, 0])}}
    table = str(Comparison.of_runs("photos [2]", runs, [Failure("third", "The loss became NaN.")]))
    assert table.splitlines()[0] == "Recipes on photos [2]"
    assert all(len(line) <= 120 for line in table.splitlines())
    text = " ".join(table.split())
    assert "50.0% (15.0 to 85.0)" in text
    assert "+25.0 (" in text
    assert "third failed: The loss became NaN." in text
    assert "Judged by 4 test images, which were not used for any choice; one seed." in text
    assert "They do not cover the choice of the seed; more seeds would show it." in text


@pytest.mark.parametrize(
    ("by", "words"), [("validation", "which also chose the phases"), ("out-of-fold", "not trained on it")]
)
def test_without_test_images_the_table_says_so(judged, by, words):
    assert words in str(Comparison.of_runs("photos", {"first": {0: judged([1, 0], by=by)}}))


def test_a_comparison_is_saved_as_json_page_and_figure(judged, tmp_path):
    comparison = Comparison.of_runs("photos", {"first": {0: judged([1, 0])}, "second": {0: judged([1, 1])}})
    comparison.save(tmp_path / "out")
    record = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert record == json.loads(json.dumps(comparison.record))
    assert [result["recipe"] for result in record["results"]] == ["first", "second"]
    assert "Accuracy against seconds" in (tmp_path / "out" / "comparison.html").read_text()
    assert (tmp_path / "out" / "comparison.svg").read_text().startswith("<svg")


def test_a_folder_that_cannot_be_written(judged, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file: the comparison cannot be written"):
        Comparison.of_runs("photos", {"first": {0: judged([1, 0])}}).save(tmp_path / "file")
