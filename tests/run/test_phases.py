"""Phases one after the other: each is saved when it is complete, and none is run twice."""

import numpy as np
import pytest

from kerastune_recipes.data.split_images import VALIDATION
from kerastune_recipes.evaluation import metrics
from kerastune_recipes.planning.plan import PhasePlan, SolvePlan
from kerastune_recipes.run import phases
from kerastune_recipes.run.checkpoint import Checkpoint
from kerastune_recipes.run.phases import Division
from kerastune_recipes.training import gate
from kerastune_recipes.training.gate import AFTER, Decision

SOLVE = PhasePlan(name="head", solve=SolvePlan(head="logistic_regression", strengths=(1.0,), folds=0))


class Folder(Checkpoint):
    """A checkpoint that needs no request."""

    resumes = True

    def begin(self):
        self.folder.mkdir(parents=True, exist_ok=True)


def run(context, plans, checkpoint):
    return phases.run([Division(context, checkpoint)], plans, checkpoint)


def test_a_completed_phase_is_loaded_instead_of_run(context, fit_plan, tmp_path):
    plans = [SOLVE, PhasePlan(name="fit", fit=fit_plan())]
    start = context.network.model.get_weights()
    first = run(context, plans[:1], Folder(tmp_path / "checkpoints"))
    context.network.set_weights(start)
    resumed = run(context, plans, Folder(tmp_path / "checkpoints"))
    assert [done.outcome.name for done in resumed] == ["head", "fit"]
    assert resumed[0].outcome == first[0].outcome
    np.testing.assert_array_equal(resumed[0].probabilities, first[0].probabilities)
    for one, other in zip(resumed[1].weights[0], context.network.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_figures_of_a_phase_are_of_cross_fitted_predictions(context, fit_plan):
    solved, fitted = run(context, [SOLVE, PhasePlan(name="fit", fit=fit_plan())], Checkpoint(None))
    labels = context.images[VALIDATION].labels
    np.testing.assert_array_equal(solved.probabilities, solved.cross_fitted)
    assert fitted.outcome.validation == metrics.summary(fitted.cross_fitted, labels)


def test_a_discarded_phase_has_the_figures_of_the_model_before(context, fit_plan):
    context.plan = context.plan.model_copy(update={"keep": "best_on_validation"})
    nothing = PhasePlan(name="fit", fit=fit_plan(learning_rate=1e-12))
    solved, fitted = run(context, [SOLVE, nothing], Checkpoint(None))
    assert fitted.outcome.discarded
    assert fitted.outcome.validation == solved.outcome.validation


@pytest.fixture
def folds(context, tmp_path):
    """Two folds of the training images, and the checkpoint of the whole run."""

    def build():
        whole = Folder(tmp_path / "checkpoints")
        halves = np.arange(12) % 2
        return whole, [
            Division(
                context.on_fold(np.flatnonzero(halves != half), np.flatnonzero(halves == half)),
                Folder(whole.folder / f"fold_{half}", whole=whole, is_fold=True),
                f"fold {half + 1} of 2",
            )
            for half in (0, 1)
        ]

    return build


def test_the_images_of_other_folds_decide_what_is_kept_in_a_fold(folds, fit_plan, monkeypatch):
    judged = []
    choose = gate.choose

    def watched(candidates, judges, fold, before=None):
        judged.append((len(judges), fold.tolist()))
        return choose(candidates, judges, fold, before)

    monkeypatch.setattr(gate, "choose", watched)
    whole, divisions = folds()
    _, fitted = phases.run(divisions, [SOLVE, PhasePlan(name="fit", fit=fit_plan())], whole)
    assert judged == [(12, [0] * 6 + [1] * 6)]
    np.testing.assert_array_equal(fitted.probabilities, fitted.cross_fitted)
    assert len(fitted.outcome.choices["accuracy_by_fold"]) == 2
    assert fitted.outcome.choices["interpolation"] in gate.SHARES


def test_folds_resume_after_the_last_phase_that_all_of_them_completed(folds, fit_plan, context):
    plans = [SOLVE, PhasePlan(name="fit", fit=fit_plan())]
    start = context.network.model.get_weights()
    whole, divisions = folds()
    first = phases.run(divisions, plans, whole)
    context.network.set_weights(start)
    whole, divisions = folds()
    (whole.folder / "phase_2").unlink()
    again = phases.run(divisions, plans, whole)
    assert again[1].outcome.validation == first[1].outcome.validation
    for of_division, of_first in zip(again[1].weights, first[1].weights, strict=True):
        for one, other in zip(of_division, of_first, strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_refit_takes_decisions_by_name(context, fit_plan):
    decided = {"fit": Decision(AFTER, temperature=3.0)}
    (outcome,) = phases.refit(context, [PhasePlan(name="fit", fit=fit_plan())], Checkpoint(None), decided)
    assert outcome.choices["temperature"] == 3.0
    assert outcome.validation == {}
