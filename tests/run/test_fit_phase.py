"""A phase that trains: how much of it is kept, and what happens when training diverges."""

import numpy as np
import pytest

from kerastune_recipes.data.split_images import VALIDATION
from kerastune_recipes.errors import OutOfMemoryWarning, WorkError
from kerastune_recipes.planning.plan import PhasePlan
from kerastune_recipes.reporting.outcome import Outcome
from kerastune_recipes.run.fit_phase import apply_temperature, decision_of, fit, notes
from kerastune_recipes.training import gate
from kerastune_recipes.training.gate import Candidate, Decision


def test_without_an_earlier_model_all_of_the_training_is_kept(context, fit_plan):
    outcome, probabilities = fit(context, "fit", fit_plan(), None, None, None)
    assert decision_of(outcome).candidate == gate.AFTER
    np.testing.assert_allclose(context.predict(VALIDATION), probabilities, atol=1e-5)
    assert (outcome.steps, len(outcome.rows)) == (2, 1)


def test_a_phase_that_ruins_a_good_model_is_discarded(context, fit_plan):
    before = context.network.model.get_weights()
    certain = np.eye(3, dtype=np.float32)[context.images[VALIDATION].labels] * 0.94 + 0.02
    outcome, probabilities = fit(context, "fit", fit_plan(), None, certain, None)
    assert decision_of(outcome).candidate == gate.BEFORE
    np.testing.assert_allclose(probabilities, certain, atol=1e-6)
    for one, other in zip(before, context.network.model.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_a_phase_in_parts_says_so(context, fit_plan, memory_for):
    memory_for(2)
    with pytest.warns(OutOfMemoryWarning):
        outcome, _ = fit(context, "fit", fit_plan(), None, None, None)
    assert (outcome.batch_parts, outcome.choices["batch_parts"], outcome.steps) == (2, 2, 2)


def test_notes_of_phases_in_parts(fit_plan):
    def phase(**changes):
        return PhasePlan(name="fit", fit=fit_plan(**changes))

    def outcome(**choices):
        return Outcome("fit", "fit", 1.0, 2, 3, 4, {}, choices, ())

    assert notes([phase()], [outcome()]) == []
    begin = (
        "Phase fit: the device had no memory for a whole batch and trained each in 4 parts, whose gradients were "
        "summed; the result differs by rounding and the masks of dropout"
    )
    assert notes([phase()], [outcome(batch_parts=4)]) == [f"{begin} only."]
    assert notes([phase(batch_norm="trained")], [outcome(batch_parts=4)]) == [
        f"{begin}, and trained BatchNormalization had the statistics of the parts instead of those of the batch."
    ]


def test_a_refit_repeats_the_decision_and_is_not_judged(context, fit_plan):
    decided = Decision(Candidate(0.5), temperature=2.0)
    outcome, probabilities = fit(context, "fit", fit_plan(), None, None, decided)
    assert decision_of(outcome) == decided
    assert probabilities.shape == (0, 3)
    assert outcome.validation == {}


def test_training_that_diverges_returns_to_the_model_before(context, fit_plan):
    before = context.network.model.get_weights()
    plan = fit_plan(learning_rate=1e30, clip_norm=None, steps=6)
    earlier = np.full((6, 3), 1 / 3, np.float32)
    outcome, probabilities = fit(context, "fit", plan, None, earlier, None)
    assert "run again with a smaller one" in outcome.choices["diverged"]
    np.testing.assert_array_equal(probabilities, earlier)
    for one, other in zip(before, context.network.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_training_that_diverges_without_a_model_before_is_an_error(context, fit_plan):
    with pytest.raises(WorkError, match="Phase fit: the loss became"):
        fit(context, "fit", fit_plan(learning_rate=1e30, clip_norm=None, steps=6), None, None, None)


def test_a_temperature_divides_the_logits(context):
    before = context.predict(VALIDATION)
    apply_temperature(context, 2.0)
    softened = np.sqrt(before)
    np.testing.assert_allclose(context.predict(VALIDATION), softened / softened.sum(axis=1, keepdims=True), atol=1e-5)
