"""A phase that solves a head: the head is in the network, and its figures are those of the model."""

import numpy as np
import pytest

from kerastune_recipes.data.split_images import VALIDATION
from kerastune_recipes.errors import PrecisionWarning
from kerastune_recipes.planning.plan import SolvePlan
from kerastune_recipes.run.solve_phase import solve

PLAN = SolvePlan(head="logistic_regression", strengths=(100.0, 1.0), folds=2)


def test_the_solved_head_is_in_the_network(context):
    outcome, probabilities = solve(context, "head", PLAN)
    np.testing.assert_allclose(context.predict(VALIDATION), probabilities, atol=1e-2)
    labels = context.images[VALIDATION].labels
    assert outcome.validation["accuracy"] == (probabilities.argmax(axis=1) == labels).mean()
    assert outcome.choices["strength"] in PLAN.strengths
    assert outcome.choices["features_computed"] == 18


def test_the_backbone_stays(context):
    before = [np.array(weight) for weight in context.network.backbone.get_weights()]
    outcome, _ = solve(context, "head", PLAN)
    for one, other in zip(before, context.network.backbone.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert outcome.trainable_parameters == context.network.head.count_params()
    assert (outcome.steps, outcome.rows) == (0, ())


def test_a_head_solved_before_comes_from_the_cache(context, monkeypatch):
    first, _ = solve(context, "head", PLAN)

    def unexpected(*_):
        raise AssertionError("the head was solved again")

    monkeypatch.setattr("kerastune_recipes.run.solve_phase.solve_head", unexpected)
    again, _ = solve(context, "head", PLAN)
    assert again.choices == first.choices


def test_a_head_near_the_solution_changes_only_the_way_there(context):
    from kerastune_recipes.heads.pretrained_prior import Start

    plain = SolvePlan(head="logistic_regression", strengths=(10.0,), folds=0)
    _, probabilities = solve(context, "head", plain)
    kernel, bias = context.network.head.get_weights()
    _, nearby = solve(context, "head", plain, Start(kernel, bias))
    np.testing.assert_allclose(nearby, probabilities, atol=1e-3)
    assert probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_a_layer_that_differs_from_the_head_is_in_the_choices_also_from_the_cache(context, monkeypatch):
    assert "layer_differs" not in solve(context, "head", PLAN)[0].choices
    beyond = {"largest_difference": 0.25, "changed_answers": 0.5}
    monkeypatch.setattr("kerastune_recipes.heads.solve.differences", lambda *_: beyond)
    other = PLAN.model_copy(update={"strengths": (10.0,)})
    assert solve(context, "head", other)[0].choices["layer_differs"] == beyond
    with pytest.warns(PrecisionWarning, match="by up to 0.25, and 50.0% of the training images"):
        assert solve(context, "head", other)[0].choices["layer_differs"] == beyond
