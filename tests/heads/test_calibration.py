import numpy as np
import pytest

from kerastune_recipes.heads.calibration import Judge


@pytest.fixture
def honest():
    """Labels that are drawn by probabilities, and the logits of these."""
    random = np.random.default_rng(0)
    logits = 2 * random.normal(size=(4000, 3))
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (random.random((4000, 1)) > shares.cumsum(axis=1)).sum(axis=1)
    return logits, labels


def judge(labels, offsets=False, weights=None):
    return Judge(labels, np.ones(len(labels)) if weights is None else weights, offsets)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_a_temperature_undoes_any_scale(scale, honest):
    logits, labels = honest
    calibration, loss = judge(labels)(scale * logits)
    assert calibration.temperature == pytest.approx(scale, rel=0.05)
    assert loss == pytest.approx(judge(labels).log_loss(logits), abs=1e-3)


def test_offsets_undo_what_classes_were_given(honest):
    logits, labels = honest
    wrong = 5 * logits + [3.0, 0.0, -20.0]
    _, plain = judge(labels)(wrong)
    calibration, loss = judge(labels, offsets=True)(wrong)
    assert plain > 0.7
    assert loss == pytest.approx(judge(labels).log_loss(logits), abs=2e-3)
    assert calibration.offsets[2] - calibration.offsets[1] == pytest.approx(4, abs=0.2)


def test_what_is_always_right_is_not_sure_without_bound():
    labels = np.arange(30) % 3
    calibration, loss = judge(labels)(np.eye(3)[labels])
    assert 0.05 < calibration.temperature < 0.5
    assert loss > 1e-4


@pytest.mark.parametrize("offsets", [False, True])
def test_what_tells_nothing_is_made_to_say_so(offsets):
    labels = np.arange(300) % 3
    noise = np.random.default_rng(0).normal(size=(300, 3))
    calibration, loss = judge(labels, offsets)(noise)
    assert loss == pytest.approx(np.log(3), abs=0.01)
    assert np.ptp(calibration.logits(noise)) < 1


def test_images_weigh_what_they_weigh(honest):
    logits, labels = honest
    rare = np.where(labels == 0, 0.1, 1.0)
    calibration, _ = judge(labels, offsets=True, weights=rare)(logits)
    np.testing.assert_allclose(calibration.offsets[0] - calibration.offsets[1:], np.log(0.1), atol=0.25)
