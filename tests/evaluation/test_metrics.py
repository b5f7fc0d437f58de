"""Metrics whose values can be worked out by hand."""

import math

import numpy as np
import pytest

from kerastune_recipes.evaluation import metrics

# Four images of class 0, one of class 1, none of class 2.
LABELS = np.array([0, 0, 0, 0, 1])
PROBABILITIES = np.array(
    [
        [0.9, 0.1, 0.0],
        [0.9, 0.1, 0.0],
        [0.5, 0.25, 0.25],
        [0.25, 0.5, 0.25],  # wrong
        [0.5, 0.25, 0.25],  # wrong
    ]
)


def test_accuracy_counts_the_most_probable_class():
    assert metrics.accuracy(PROBABILITIES, LABELS) == 3 / 5


def test_balanced_accuracy_is_the_mean_recall_of_the_classes_present():
    assert metrics.balanced_accuracy(PROBABILITIES, LABELS) == (3 / 4 + 0 / 1) / 2


def test_log_loss_is_the_mean_negative_logarithm():
    expected = -(2 * math.log(0.9) + math.log(0.5) + math.log(0.25) + math.log(0.25)) / 5
    assert metrics.log_loss(PROBABILITIES, LABELS) == pytest.approx(expected, abs=1e-12)


def test_log_loss_of_an_impossible_class_is_finite():
    assert metrics.log_loss(np.array([[1.0, 0.0]]), np.array([1])) == pytest.approx(-math.log(1e-7))


def test_ece_weighs_each_bins_gap_by_its_images():
    # 0.9 falls into (13/15, 14/15]: two images, both correct; 0.5 into (7/15, 8/15]: three images, one correct.
    assert metrics.calibration_bins(PROBABILITIES, LABELS) == (
        (3, pytest.approx(0.5), pytest.approx(1 / 3)),
        (2, pytest.approx(0.9), pytest.approx(1.0)),
    )
    assert metrics.ece(PROBABILITIES, LABELS) == pytest.approx((3 * (0.5 - 1 / 3) + 2 * (1 - 0.9)) / 5)


def test_ece_is_none_when_confidence_is_accuracy_and_all_when_it_is_the_opposite():
    sure = np.array([[1.0, 0.0], [1.0, 0.0]])
    assert metrics.ece(sure, np.array([0, 0])) == 0
    assert metrics.ece(sure, np.array([1, 1])) == 1
    assert metrics.ece(np.array([[0.5, 0.5], [0.5, 0.5]]), np.array([0, 1])) == 0


def test_wilson_interval():
    # z = 1.96: (0.5 + z²/20 -+ z sqrt(0.025 + z²/400)) / (1 + z²/10)
    assert metrics.wilson_interval(5, 10) == (pytest.approx(0.236593, abs=1e-6), pytest.approx(0.763407, abs=1e-6))
    assert metrics.wilson_interval(90, 100) == (pytest.approx(0.825634, abs=1e-6), pytest.approx(0.944771, abs=1e-6))


def test_wilson_interval_stays_within_0_and_1_at_the_ends():
    low, high = metrics.wilson_interval(10, 10)
    assert low == pytest.approx(0.722467, abs=1e-6)
    assert high == pytest.approx(1, abs=1e-12)
    assert high <= 1
    assert metrics.wilson_interval(0, 10)[0] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("correct", "images"), [(0, 0), (3, 2), (-1, 2)])
def test_impossible_counts_have_no_interval(correct, images):
    with pytest.raises(ValueError, match=f"received {correct} of {images}"):
        metrics.wilson_interval(correct, images)


def test_confusion_matrix_has_classes_in_rows_and_predictions_in_columns():
    assert metrics.confusion_matrix(PROBABILITIES, LABELS).tolist() == [[3, 1, 0], [1, 0, 0], [0, 0, 0]]


def test_recalls_of_a_class_without_images_are_unknown():
    np.testing.assert_array_equal(metrics.recalls(np.array([[3, 1, 0], [1, 0, 0], [0, 0, 0]])), [0.75, 0.0, np.nan])


def test_summary_holds_plain_numbers_for_json():
    summary = metrics.summary(PROBABILITIES.astype("float32"), LABELS)
    assert list(summary) == ["accuracy", "accuracy_ci95", "balanced_accuracy", "log_loss", "ece"]
    assert summary["accuracy"] == 0.6
    assert summary["accuracy_ci95"] == list(metrics.wilson_interval(3, 5))
    assert summary["balanced_accuracy"] == 0.375
    assert {type(value) for value in summary.values()} == {float, list}
    assert {type(bound) for bound in summary["accuracy_ci95"]} == {float}


def test_groups_widen_the_interval_and_are_counted():
    """Four of six pairs of photos are right, so six animals were judged and not twelve photos."""
    labels, groups = np.zeros(12, int), np.array([7, 7, 3, 3, 1, 1, 9, 9, 0, 0, 5, 5])
    probabilities = np.repeat(np.eye(2)[[0, 0, 0, 0, 1, 1]], 2, axis=0)
    summary = metrics.summary(probabilities, labels, groups)
    assert (summary["accuracy"], summary["groups"]) == (pytest.approx(8 / 12), 6)
    assert summary["accuracy_ci95"] == pytest.approx(metrics.wilson_interval(4, 6))
    assert type(summary["groups"]) is int


def test_groups_of_one_image_change_nothing():
    alone = metrics.summary(PROBABILITIES, LABELS, np.arange(5))
    assert alone == {**metrics.summary(PROBABILITIES, LABELS), "groups": 5}


@pytest.mark.parametrize("images", range(1, 60))
def test_all_images_right_is_no_impossible_count(images):
    groups = np.arange(images) % 7
    low, high = metrics.summary(np.tile([1.0, 0.0], (images, 1)), np.zeros(images, int), groups)["accuracy_ci95"]
    assert 0 < low < high <= 1


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        (np.ones((2, 2)), np.array([0]), r"received \(2, 2\) and \(1,\)"),
        (np.ones((0, 2)), np.array([], int), r"at least one image"),
        (np.ones((1, 2)), np.array([2]), r"class numbers in 0..1; received int64 in 2..2"),
        (np.ones((1, 2)), np.array([1.0]), r"received float64"),
    ],
)
def test_wrong_shapes_and_labels_are_refused(probabilities, labels, message):
    with pytest.raises(ValueError, match=message):
        metrics.summary(probabilities, labels)
