"""Phases one after the other: each is saved when it is complete, and none is run twice."""

import numpy as np

from kerastune_recipes.planning.plan import PhasePlan, SolvePlan
from kerastune_recipes.run import phases
from kerastune_recipes.run.checkpoint import Checkpoint
from kerastune_recipes.training.gate import AFTER, Decision

SOLVE = PhasePlan(name="head", solve=SolvePlan(head="logistic_regression", strengths=(1.0,), folds=0))


class Folder(Checkpoint):
    """A checkpoint that needs no request."""

    resumes = True

    def begin(self):
        self.folder.mkdir(exist_ok=True)


def test_a_completed_phase_is_loaded_instead_of_run(context, fit_plan, tmp_path):
    plans = [SOLVE, PhasePlan(name="fit", fit=fit_plan())]
    start = context.network.model.get_weights()
    first = phases.run(context, plans[:1], Folder(tmp_path / "checkpoints"))
    context.network.set_weights(start)
    resumed = phases.run(context, plans, Folder(tmp_path / "checkpoints"))
    assert [done.outcome.name for done in resumed] == ["head", "fit"]
    assert resumed[0].outcome == first[0].outcome
    np.testing.assert_array_equal(resumed[0].probabilities, first[0].probabilities)
    for one, other in zip(resumed[1].weights, context.network.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_refit_takes_decisions_by_name(context, fit_plan):
    decided = {"fit": Decision(AFTER, temperature=3.0)}
    (done,) = phases.run(context, [PhasePlan(name="fit", fit=fit_plan())], Checkpoint(None), decided)
    assert done.outcome.choices["temperature"] == 3.0
