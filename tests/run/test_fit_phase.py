"""A phase that trains: how much of it is kept, and what happens when training diverges."""

import numpy as np
import pytest

from kerastune_recipes.data.split_images import VALIDATION
from kerastune_recipes.errors import OutOfMemoryWarning, WorkError
from kerastune_recipes.planning.plan import PhasePlan
from kerastune_recipes.reporting.outcome import Outcome
from kerastune_recipes.run.fit_phase import apply_temperature, as_choices, from_choices, keep, notes, train
from kerastune_recipes.training import gate
from kerastune_recipes.training.gate import Candidate, Decision


def test_without_an_earlier_model_only_the_trained_one_is_a_candidate(context, fit_plan):
    trained = train(context, "fit", fit_plan(), None, None)
    assert list(trained.candidates) == [gate.AFTER]
    np.testing.assert_allclose(context.predict(VALIDATION), trained.candidates[gate.AFTER], atol=1e-5)
    assert (trained.outcome.steps, len(trained.outcome.rows)) == (2, 1)


def test_every_interpolation_is_a_candidate_beside_the_model_before(context, fit_plan):
    earlier = context.predict(VALIDATION)
    trained = train(context, "fit", fit_plan(), None, earlier)
    assert [one.share for one in sorted(trained.candidates)] == list(gate.SHARES)
    np.testing.assert_array_equal(trained.candidates[gate.BEFORE], earlier)


def test_a_discarded_phase_leaves_the_weights_as_they_were(context, fit_plan):
    before = context.network.model.get_weights()
    trained = train(context, "fit", fit_plan(), None, context.predict(VALIDATION))
    keep(trained, Decision(gate.BEFORE, 1.0))
    for one, other in zip(before, context.network.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_is_kept_is_what_was_judged(context, fit_plan):
    trained = train(context, "fit", fit_plan(), None, context.predict(VALIDATION))
    keep(trained, Decision(Candidate(0.5), 1.0))
    np.testing.assert_allclose(context.predict(VALIDATION), trained.candidates[Candidate(0.5)], atol=1e-5)


def test_a_phase_in_parts_says_so(context, fit_plan, memory_for):
    memory_for(2)
    with pytest.warns(OutOfMemoryWarning):
        outcome = train(context, "fit", fit_plan(), None, None).outcome
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


def test_training_that_diverges_leaves_the_model_before(context, fit_plan):
    before = context.network.model.get_weights()
    plan = fit_plan(learning_rate=1e30, clip_norm=None, steps=6)
    earlier = np.full((6, 3), 1 / 3, np.float32)
    trained = train(context, "fit", plan, None, earlier)
    assert trained.diverged
    assert "run again with a smaller one" in trained.outcome.choices["diverged"]
    assert list(trained.candidates) == [gate.BEFORE]
    keep(trained, Decision(gate.BEFORE, 1.0))
    for one, other in zip(before, context.network.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_training_that_diverges_without_a_model_before_is_an_error(context, fit_plan):
    with pytest.raises(WorkError, match="Phase fit: the loss became"):
        train(context, "fit", fit_plan(learning_rate=1e30, clip_norm=None, steps=6), None, None)


def test_a_decision_is_read_back_from_the_report():
    decision = Decision(Candidate(0.5), temperature=2.0)
    assert from_choices(as_choices(decision)) == decision


def test_a_temperature_divides_the_logits(context):
    before = context.predict(VALIDATION)
    apply_temperature(context, 2.0)
    softened = np.sqrt(before)
    np.testing.assert_allclose(context.predict(VALIDATION), softened / softened.sum(axis=1, keepdims=True), atol=1e-5)
