"""The gate: a phase is kept as far as held-out images speak for it."""

import numpy as np
import pytest

from kerastune_recipes.training import gate

LABELS = np.arange(40) % 2
HALF = gate.Candidate(0.5)


def sure(share_right: float, confidence: float, seed: int = 0) -> np.ndarray:
    """Return probabilities (40, 2) that name the right class this often, all as sure of themselves."""
    right = np.random.default_rng(seed).permutation(40) < 40 * share_right
    told = np.where(right, LABELS, 1 - LABELS)
    return np.where(np.eye(2, dtype=bool)[told], confidence, 1 - confidence)


def test_a_better_model_is_kept():
    assert (
        gate.choose({gate.BEFORE: sure(0.6, 0.6), gate.AFTER: sure(0.95, 0.9)}, LABELS).decision.candidate == gate.AFTER
    )


def test_a_worse_model_is_not():
    assessment = gate.choose({gate.BEFORE: sure(0.95, 0.95), gate.AFTER: sure(0.6, 0.9)}, LABELS)
    assert assessment.decision == gate.Decision(gate.BEFORE, temperature=1.0)
    np.testing.assert_allclose(assessment.probabilities, sure(0.95, 0.95), atol=1e-6)


def test_of_models_between_the_best_is_kept():
    candidates = {gate.BEFORE: sure(0.6, 0.6), HALF: sure(1.0, 0.9), gate.AFTER: sure(0.8, 0.8)}
    assessment = gate.choose(candidates, LABELS)
    assert assessment.decision.candidate == HALF
    assert assessment.log_losses[HALF] < assessment.log_losses[gate.AFTER] < assessment.log_losses[gate.BEFORE]


def test_what_may_be_chance_does_not_win():
    """All together are likelier by less than a factor of e."""
    before, after = sure(0.9, 0.84), sure(0.9, 0.9)
    assessment = gate.choose({gate.BEFORE: before, gate.AFTER: after}, LABELS)
    gained = 40 * (assessment.log_losses[gate.BEFORE] - assessment.log_losses[gate.AFTER])
    assert 0 < gained < gate.EVIDENCE
    assert assessment.decision.candidate == gate.BEFORE


def test_four_images_tell_nothing():
    """All are told right and surer than before, which four images are in one case of sixteen by luck."""
    before, after = np.full((40, 2), 0.5), np.where(np.eye(2)[LABELS] == 1, 0.9, 0.1)
    assert gate.choose({gate.BEFORE: before, gate.AFTER: after}, LABELS).decision.candidate == gate.AFTER
    before, after = sure(1.0, 0.8)[:4], sure(1.0, 0.9)[:4]
    assert gate.choose({gate.BEFORE: before, gate.AFTER: after}, LABELS[:4]).decision.candidate == gate.BEFORE


def test_the_head_solved_again_is_kept_where_nothing_speaks_against_it():
    """It stands where the others are as good, or a little better, and a phase is kept at all."""
    again = {gate.BEFORE: sure(0.6, 0.6), gate.SOLVED_AGAIN: sure(0.9, 0.9)}
    assert gate.choose({**again, gate.AFTER: sure(0.9, 0.9)}, LABELS).decision.candidate == gate.SOLVED_AGAIN
    assert gate.choose({**again, HALF: sure(1.0, 0.9)}, LABELS).decision.candidate == HALF
    assert gate.choose({**again, gate.BEFORE: sure(0.9, 0.9)}, LABELS).decision.candidate == gate.BEFORE


def test_without_a_model_before_the_model_after_is_kept():
    assert gate.choose({gate.AFTER: sure(0.5, 0.99)}, LABELS).decision.candidate == gate.AFTER


def test_too_sure_a_model_is_calibrated():
    assessment = gate.choose({gate.AFTER: sure(0.8, 0.999)}, LABELS)
    assert assessment.decision.temperature == pytest.approx(np.log(0.999 / 0.001) / np.log(0.8 / 0.2), rel=0.1)
    assert assessment.ece == pytest.approx(0.199, abs=1e-6)
    assert assessment.probabilities.max() == pytest.approx(0.8, abs=0.02)


def test_between_models_lie_models():
    before, after = [np.zeros((2, 2)), np.array([7], np.uint32)], [np.ones((2, 2)), np.array([9], np.uint32)]
    mixed, state = gate.between(before, after, 0.25)
    np.testing.assert_array_equal(mixed, np.full((2, 2), 0.25))
    np.testing.assert_array_equal(state, [9])
