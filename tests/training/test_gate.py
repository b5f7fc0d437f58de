"""The gate keeps a fit phase as far as held-out images support it."""

import numpy as np
import pytest

from kerastune_recipes.training import gate

LABELS = np.arange(40) % 2
HALF = gate.Candidate(0.5)


def predictions(accuracy: float, confidence: float, seed: int = 0) -> np.ndarray:
    """Return probabilities (40, 2) of this accuracy, all with the same confidence."""
    right = np.random.default_rng(seed).permutation(40) < 40 * accuracy
    predicted = np.where(right, LABELS, 1 - LABELS)
    return np.where(np.eye(2, dtype=bool)[predicted], confidence, 1 - confidence)


def chosen(candidates, labels=LABELS):
    return gate.choose(candidates, labels).decision.candidate


def test_a_better_model_is_kept():
    assert chosen({gate.BEFORE: predictions(0.6, 0.6), gate.AFTER: predictions(0.95, 0.9)}) == gate.AFTER


def test_a_worse_model_is_discarded():
    before = predictions(0.95, 0.95)
    assessment = gate.choose({gate.BEFORE: before, gate.AFTER: predictions(0.6, 0.9)}, LABELS)
    assert assessment.decision == gate.Decision(gate.BEFORE, temperature=1.0)
    np.testing.assert_allclose(assessment.probabilities, before, atol=1e-6)


def test_the_best_interpolation_is_kept():
    candidates = {gate.BEFORE: predictions(0.6, 0.6), HALF: predictions(1.0, 0.9), gate.AFTER: predictions(0.8, 0.8)}
    assessment = gate.choose(candidates, LABELS)
    assert assessment.decision.candidate == HALF
    assert assessment.log_losses[HALF] < assessment.log_losses[gate.AFTER] < assessment.log_losses[gate.BEFORE]


def test_a_gain_below_the_evidence_is_not_enough():
    assessment = gate.choose({gate.BEFORE: predictions(0.9, 0.84), gate.AFTER: predictions(0.9, 0.9)}, LABELS)
    gained = 40 * (assessment.log_losses[gate.BEFORE] - assessment.log_losses[gate.AFTER])
    assert 0 < gained < gate.EVIDENCE
    assert assessment.decision.candidate == gate.BEFORE


def test_four_images_are_too_few():
    """All are right, with more confidence than before: by chance in one case of sixteen."""
    before, after = np.full((40, 2), 0.5), np.where(np.eye(2)[LABELS] == 1, 0.9, 0.1)
    assert chosen({gate.BEFORE: before, gate.AFTER: after}) == gate.AFTER
    before, after = predictions(1.0, 0.8)[:4], predictions(1.0, 0.9)[:4]
    assert chosen({gate.BEFORE: before, gate.AFTER: after}, LABELS[:4]) == gate.BEFORE


def test_the_head_solved_again_wins_unless_another_is_clearly_better():
    candidates = {gate.BEFORE: predictions(0.6, 0.6), gate.SOLVED_AGAIN: predictions(0.9, 0.9)}
    assert chosen({**candidates, gate.AFTER: predictions(0.9, 0.9)}) == gate.SOLVED_AGAIN
    assert chosen({**candidates, HALF: predictions(1.0, 0.9)}) == HALF
    assert chosen({**candidates, gate.BEFORE: predictions(0.9, 0.9)}) == gate.BEFORE


def test_without_an_earlier_model_the_trained_one_is_kept():
    assert chosen({gate.AFTER: predictions(0.5, 0.99)}) == gate.AFTER


def test_an_overconfident_model_is_calibrated():
    assessment = gate.choose({gate.AFTER: predictions(0.8, 0.999)}, LABELS)
    assert assessment.decision.temperature == pytest.approx(np.log(0.999 / 0.001) / np.log(0.8 / 0.2), rel=0.1)
    assert assessment.ece == pytest.approx(0.199, abs=1e-6)
    assert assessment.probabilities.max() == pytest.approx(0.8, abs=0.02)


def test_weights_are_interpolated_and_generator_states_are_not():
    before, after = [np.zeros((2, 2)), np.array([7], np.uint32)], [np.ones((2, 2)), np.array([9], np.uint32)]
    mixed, state = gate.interpolate(before, after, 0.25)
    np.testing.assert_array_equal(mixed, np.full((2, 2), 0.25))
    np.testing.assert_array_equal(state, [9])


def test_candidates_are_written_to_the_report_by_their_share():
    assert [str(one) for one in (gate.BEFORE, HALF, gate.SOLVED_AGAIN)] == ["0", "0.5", "1, head solved again"]
