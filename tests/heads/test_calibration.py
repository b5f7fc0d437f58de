"""Calibration: temperature and offsets that match held-out frequencies."""

import numpy as np
import pytest

from kerastune_recipes.heads.calibration import Calibrator


@pytest.fixture
def calibrated():
    """Calibrated logits, and labels drawn from their probabilities."""
    random = np.random.default_rng(0)
    logits = 2 * random.normal(size=(4000, 3))
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (random.random((4000, 1)) > shares.cumsum(axis=1)).sum(axis=1)
    return logits, labels


def calibrator(labels, offsets=False, weights=None):
    return Calibrator(labels, np.ones(len(labels)) if weights is None else weights, offsets)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_the_temperature_undoes_any_scale(scale, calibrated):
    logits, labels = calibrated
    calibration, loss = calibrator(labels).fit(scale * logits)
    assert calibration.temperature == pytest.approx(scale, rel=0.05)
    assert loss == pytest.approx(calibrator(labels).log_loss(logits), abs=1e-3)


def test_offsets_undo_a_bias_of_the_classes(calibrated):
    logits, labels = calibrated
    wrong = 5 * logits + [3.0, 0.0, -20.0]
    _, plain = calibrator(labels).fit(wrong)
    calibration, loss = calibrator(labels, offsets=True).fit(wrong)
    assert plain > 0.7
    assert loss == pytest.approx(calibrator(labels).log_loss(logits), abs=2e-3)
    assert calibration.offsets[2] - calibration.offsets[1] == pytest.approx(4, abs=0.2)


def test_the_temperature_is_bounded_where_every_image_is_correct():
    labels = np.arange(30) % 3
    calibration, loss = calibrator(labels).fit(np.eye(3)[labels])
    assert 0.05 < calibration.temperature < 0.5
    assert loss > 1e-4


@pytest.mark.parametrize("offsets", [False, True])
def test_logits_of_noise_are_flattened(offsets):
    labels = np.arange(300) % 3
    noise = np.random.default_rng(0).normal(size=(300, 3))
    calibration, loss = calibrator(labels, offsets).fit(noise)
    assert loss == pytest.approx(np.log(3), abs=0.01)
    assert np.ptp(calibration.logits(noise)) < 1


def test_sample_weights_shift_the_offsets(calibrated):
    logits, labels = calibrated
    rare = np.where(labels == 0, 0.1, 1.0)
    calibration, _ = calibrator(labels, offsets=True, weights=rare).fit(logits)
    np.testing.assert_allclose(calibration.offsets[0] - calibration.offsets[1:], np.log(0.1), atol=0.25)


def test_a_prior_keeps_the_temperature_of_a_few_images_near_one():
    """Four images that are all recognised would make any model as certain as they are."""
    raw, labels = np.log(np.array([[0.8, 0.2], [0.2, 0.8]] * 2)), np.array([0, 1, 0, 1])
    free, prior = (
        Calibrator(labels, np.ones(4), offsets=False, prior=prior).fit(raw)[0].temperature for prior in (None, 0.75)
    )
    assert free < 0.6 < prior < 1
    many = Calibrator(np.tile(labels, 500), np.ones(2000), offsets=False, prior=0.75).fit(np.tile(raw, (500, 1)))[0]
    assert many.temperature < 0.4
