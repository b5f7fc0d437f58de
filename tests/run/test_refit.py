"""The selected model is refitted on all images, held-out ones included."""

import keras
import numpy as np
import pytest
from stripes import stripes

from kerastune_recipes import Plan, Recipe
from kerastune_recipes.run import refit, selection
from kerastune_recipes.training import gate

DEMO = {"backbone.name": "DemoNet", "backbone.weights": "demo"}
SOLVED = {**DEMO, "phases": [{"name": "head", "solve": {}}]}
FITTED = {
    **DEMO,
    "phases.fine_tuning.fit.duration": "2 epochs",
    "phases.fine_tuning.fit.batch_size": 8,
    "keep": "last",
}


def head(report):
    return report.model.get_layer("head").get_weights()[0]


def run(ds, **changes):
    return Recipe.from_name("small_similar", **changes).run(ds, verbose=False)


def test_a_refitted_head_is_solved_on_all_images():
    refitted = run(stripes(), **SOLVED)
    # Folds judge by cross-validation instead of by a hold-out, and learn from all images too.
    everything = Recipe.from_name("small_similar", **SOLVED).run(stripes(), folds=5, verbose=False)
    scores = [report.predict(stripes(30, seed=1)[0]) for report in (refitted, everything)]
    np.testing.assert_allclose(*scores, atol=0.05)
    assert refitted.record["refitted"]
    assert "kept: head, refitted on all 30 images" in str(refitted)


@pytest.mark.parametrize("head", ["logistic_regression", "naive_bayes"])
def test_strength_and_temperature_stay(head):
    phases = [{"name": "head", "solve": {"head": head}}]
    kept, refitted = (
        run(stripes(), **DEMO, phases=phases, refit=refit).record["phases"][0] for refit in ("none", "heads")
    )
    assert refitted["strength"] == kept["strength"]
    # Naive Bayes has an offset for each class beside its temperature; folds find both again.
    assert (refitted["temperature"] == kept["temperature"]) == (head == "logistic_regression")


def test_a_refitted_head_uses_one_tap_where_the_recipe_says_so():
    report = run(stripes(), **DEMO, phases=[{"name": "head", "solve": {"taps": "best"}}])
    kernel = head(report)
    used = np.flatnonzero(np.abs(kernel).sum(axis=1))
    assert 0 < len(used) < len(kernel)
    assert report.record["refitted"]


def test_a_refitted_head_costs_no_forward_pass():
    images, labels = stripes()
    report = Recipe.from_name("small_similar", **SOLVED).run((images, labels), verbose=False, cache=False)
    assert report.record["phases"][0]["features_computed"] == 30


def test_the_validation_figures_are_of_images_not_seen():
    kept, refitted = (run(stripes(), **SOLVED, refit=refit) for refit in ("none", "heads"))
    assert kept.metrics["validation"] == refitted.metrics["validation"]
    assert not np.array_equal(head(kept), head(refitted))
    assert not kept.record["refitted"]


def test_validation_images_of_the_user_are_not_trained_on():
    (images, labels), held = stripes(), stripes(9, seed=1)
    given = run({"train": (images, labels), "validation": held}, **SOLVED)
    assert given.plan.refit == "none"
    assert not given.record["refitted"]


def test_a_head_solved_again_after_training_is_refitted_too():
    """At this rate training ruins the head and hardly changes the features."""
    fit = {"trainable": [["head", 1.0], ["backbone", 1e-6]], "learning_rate": 10.0, "duration": "2 epochs"}
    phases = [{"name": "flat", "solve": {"regularization": 1e9}}, {"name": "ruined", "fit": {**fit, "clip_norm": None}}]
    # The head that is solved again is less regularised than the first.
    plan = Recipe.from_name("small_similar", **DEMO, phases=phases).plan(stripes(60)).to_data()
    plan["phases"][1]["fit"]["solve_again"]["strengths"] = [1.0]
    report = Recipe("own", Plan.from_data(plan, "own")).run(stripes(60), verbose=False)
    _, fitted = report.record["phases"]
    assert list(fitted["log_loss_by_interpolation"]) == ["0", "0.25", "0.5", "0.75", "1", "1, head solved again"]
    assert fitted["head_solved_again"]
    assert report.record["refitted"]
    assert "head solved again on the trained features" in str(report)


def keep(monkeypatch, kept):
    """Let the gate keep a candidate, and the run the last phase."""
    choose = gate.choose

    def chosen(candidates, judges, fold, before=None):
        return choose({kept: candidates[kept]}, judges, fold)

    monkeypatch.setattr(gate, "choose", chosen)
    monkeypatch.setattr(selection, "choose_phase", lambda done, *others: (len(done) - 1, done[-1].cross_fitted))


@pytest.mark.parametrize("kept", [gate.AFTER, gate.Candidate(0.5)])
def test_a_trained_head_that_the_gate_kept_is_not_replaced(kept, monkeypatch):
    keep(monkeypatch, kept)
    trained, refitted = (
        run(stripes(), **{**FITTED, "keep": "best_on_validation"}, refit=refit) for refit in ("none", "heads")
    )
    assert not refitted.record["refitted"]
    np.testing.assert_array_equal(head(refitted), head(trained))


def test_a_head_solved_again_is_refitted_on_all_images_and_judged_by_those_not_trained_on(monkeypatch):
    keep(monkeypatch, gate.SOLVED_AGAIN)
    given = []
    solve_again = refit.solve_again

    def watched(context, plan, unseen):
        given.append(unseen)
        return solve_again(context, plan, unseen)

    monkeypatch.setattr(refit, "solve_again", watched)
    trained, refitted = (
        run(stripes(), **{**FITTED, "keep": "best_on_validation"}, refit=how) for how in ("none", "heads")
    )
    assert refitted.record["returned_model"] == "fine_tuning, trained on 24 images, its head refitted on all 30"
    assert refitted.metrics["validation"] == trained.metrics["validation"]
    assert not np.array_equal(head(refitted), head(trained))
    (unseen,) = given
    assert unseen.tolist() == [False] * 24 + [True] * 6


@pytest.mark.parametrize("how", ["heads", "all"])
def test_fit_phases_are_refitted_only_with_refit_all(how, tmp_path):
    recipe = Recipe.from_name("small_similar", **FITTED, refit=how)
    report = recipe.run(stripes(), out=tmp_path / "run", verbose=False)
    assert report.record["refitted"] == (how == "all")
    _, fitted = report.record["phases"]
    assert fitted["steps"] == report.plan.phases[1].fit.steps
    assert set(fitted["validation"]) >= {"accuracy", "log_loss"}


def test_a_refit_does_not_train_a_discarded_phase_again(monkeypatch):
    choose, began, kept = gate.choose, [], iter([gate.BEFORE, gate.AFTER])

    class Count(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            began.append(1)

    def chosen(candidates, judges, fold, before=None):
        one = next(kept)
        return choose({one: candidates[one]}, judges, fold)

    monkeypatch.setattr(gate, "choose", chosen)
    monkeypatch.setattr(selection, "choose_phase", lambda done, *others: (len(done) - 1, done[-1].cross_fitted))
    fit = {"trainable": [["head", 1.0], ["backbone", "frozen"]], "duration": "1 step", "batch_size": 8}
    phases = [{"name": "head", "solve": {}}, {"name": "first", "fit": fit}, {"name": "second", "fit": fit}]
    recipe = Recipe.from_name("small_similar", **DEMO, phases=phases, refit="all")
    report = recipe.run(stripes(), callbacks=[Count()], verbose=False)
    assert [phase.get("interpolation") for phase in report.record["phases"]] == [None, 0, 1]
    assert len(began) == 2 + 1


def test_an_interrupted_refit_resumes(tmp_path):
    recipe = Recipe.from_name("small_similar", **FITTED, refit="all")
    whole = recipe.run(stripes(), verbose=False)

    began = []

    class Stop(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            began.append(1)
            if len(began) == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        recipe.run(stripes(), out=tmp_path / "run", callbacks=[Stop()], verbose=False)
    resumed = recipe.run(stripes(), out=tmp_path / "run", resume=True, verbose=False)
    np.testing.assert_array_equal(head(resumed), head(whole))
