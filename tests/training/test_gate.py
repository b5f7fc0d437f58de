"""The gate keeps a fit phase as far as held-out images support it."""

import numpy as np
import pytest

from kerastune_recipes.evaluation.judges import Judges
from kerastune_recipes.training import gate

LABELS = np.arange(40) % 2
HALF = gate.Candidate(0.5)


def predictions(accuracy: float, confidence: float, seed: int = 0) -> np.ndarray:
    """Return probabilities (40, 2) of this accuracy, all with the same confidence."""
    right = np.random.default_rng(seed).permutation(40) < 40 * accuracy
    predicted = np.where(right, LABELS, 1 - LABELS)
    return np.where(np.eye(2, dtype=bool)[predicted], confidence, 1 - confidence)


def assessed(candidates, labels=LABELS, balanced=False, groups=None):
    judges = Judges.of(labels, balanced, groups)
    return gate.choose(candidates, judges, np.arange(len(labels)) // 2 % 5)


def chosen(candidates, labels=LABELS):
    return assessed(candidates, labels).decision.candidate


def test_a_better_model_is_kept():
    assert chosen({gate.BEFORE: predictions(0.6, 0.6), gate.AFTER: predictions(0.95, 0.9)}) == gate.AFTER


def test_a_worse_model_is_discarded():
    before = predictions(0.95, 0.95)
    assessment = assessed({gate.BEFORE: before, gate.AFTER: predictions(0.6, 0.9)})
    assert assessment.decision == gate.Decision(gate.BEFORE, temperature=1.0)
    np.testing.assert_allclose(assessment.probabilities, before, atol=1e-6)


def test_the_best_interpolation_is_kept():
    candidates = {gate.BEFORE: predictions(0.6, 0.6), HALF: predictions(1.0, 0.9), gate.AFTER: predictions(0.8, 0.8)}
    assessment = assessed(candidates)
    assert assessment.decision.candidate == HALF
    assert assessment.log_losses[HALF] < assessment.log_losses[gate.AFTER] < assessment.log_losses[gate.BEFORE]


def test_a_gain_below_the_evidence_is_not_enough():
    assessment = assessed({gate.BEFORE: predictions(0.9, 0.84), gate.AFTER: predictions(0.9, 0.9)})
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


def test_a_phase_that_does_nothing_is_discarded_however_badly_the_model_before_is_calibrated():
    for seed in range(20):
        same = predictions(0.8, 0.99, seed)
        assert chosen({gate.BEFORE: same, HALF: same, gate.AFTER: same, gate.SOLVED_AGAIN: same}) == gate.BEFORE


def test_the_figures_of_a_fold_do_not_profit_from_its_own_labels():
    """Each of two candidates is right in one fold only: the other fold chooses the wrong one."""
    fold = np.repeat([0, 1], 20)
    right = np.where(np.eye(2)[LABELS] == 1, 0.9, 0.1)
    first, second = (np.where((fold == number)[:, None], right, 0.5) for number in (0, 1))
    assessment = gate.choose({HALF: first, gate.AFTER: second}, Judges.of(LABELS, False), fold)
    assert [one.candidate for one in assessment.decisions] == [gate.AFTER, HALF]
    np.testing.assert_allclose(assessment.cross_fitted, 0.5)
    assert assessment.probabilities.max() > 0.6


def test_where_the_model_before_wins_a_fold_its_own_cross_fitted_figures_stand():
    before, own = predictions(0.9, 0.9), np.full((40, 2), 0.5)
    assessment = gate.choose(
        {gate.BEFORE: before, gate.AFTER: predictions(0.6, 0.9)}, Judges.of(LABELS, False), LABELS, own
    )
    np.testing.assert_allclose(assessment.cross_fitted, own)
    np.testing.assert_allclose(assessment.probabilities, before, atol=1e-6)


def test_balanced_judges_keep_a_phase_that_recognises_the_rare_class():
    labels = np.repeat([0, 1], [36, 4])
    common = np.tile([0.9, 0.1], (40, 1))  # never sees the rare class
    rare = np.where(labels[:, None] == 1, [0.1, 0.9], [0.7, 0.3])
    candidates = {gate.BEFORE: common, gate.AFTER: rare}
    assert assessed(candidates, labels, balanced=True).decision.candidate == gate.AFTER


def test_ten_copies_of_four_images_are_four_images():
    labels, original = np.repeat([0, 1, 0, 1], 10), np.repeat(np.arange(4), 10)
    after = np.where(np.eye(2)[labels] == 1, 0.6, 0.4)
    after[original == 3] = [0.6, 0.4]  # three are recognised, one is not
    candidates = {gate.BEFORE: np.full((40, 2), 0.5), gate.AFTER: after}
    assert assessed(candidates, labels).decision.candidate == gate.AFTER
    assert assessed(candidates, labels, groups=original).decision.candidate == gate.BEFORE


def test_without_an_earlier_model_the_trained_one_is_kept():
    assert chosen({gate.AFTER: predictions(0.5, 0.99)}) == gate.AFTER


def test_an_overconfident_model_is_calibrated():
    assessment = assessed({gate.AFTER: predictions(0.8, 0.999)})
    assert assessment.decision.temperature == pytest.approx(np.log(0.999 / 0.001) / np.log(0.8 / 0.2), rel=0.2)
    assert assessment.ece == pytest.approx(0.199, abs=1e-6)
    assert assessment.probabilities.max() == pytest.approx(0.8, abs=0.04)


def test_weights_are_interpolated_and_generator_states_are_not():
    before, after = [np.zeros((2, 2)), np.array([7], np.uint32)], [np.ones((2, 2)), np.array([9], np.uint32)]
    mixed, state = gate.interpolate(before, after, 0.25)
    np.testing.assert_array_equal(mixed, np.full((2, 2), 0.25))
    np.testing.assert_array_equal(state, [9])


def test_candidates_are_written_to_the_report_by_their_share():
    assert [str(one) for one in (gate.BEFORE, HALF, gate.SOLVED_AGAIN)] == ["0", "0.5", "1, head solved again"]
