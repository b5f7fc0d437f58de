"""What is kept learns from the held-out images too, in the end."""

import keras
import numpy as np
import pytest
from stripes import stripes

from kerastune_recipes import Plan, Recipe
from kerastune_recipes.run import selection
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


def test_a_refitted_head_is_that_of_all_images():
    refitted = run(stripes(), **SOLVED)
    # Folds judge by cross-validation instead of by a hold-out, and learn from all images too.
    everything = Recipe.from_name("small_similar", **SOLVED).run(stripes(), folds=5, verbose=False)
    scores = [report.predict(stripes(30, seed=1)[0]) for report in (refitted, everything)]
    np.testing.assert_allclose(*scores, atol=0.05)
    assert refitted.record["refitted"]
    assert "kept: head, refitted on all 30 images" in str(refitted)


@pytest.mark.parametrize("head", ["logistic_regression", "naive_bayes"])
def test_strength_and_what_was_found_with_it_stay(head):
    phases = [{"name": "head", "solve": {"head": head}}]
    kept, refitted = (
        run(stripes(), **DEMO, phases=phases, refit=refit).record["phases"][0] for refit in ("none", "heads")
    )
    assert refitted["strength"] == kept["strength"]
    # Naive Bayes has an offset for each class beside its temperature; they are found anew, by folds.
    assert (refitted["temperature"] == kept["temperature"]) == (head == "logistic_regression")


def test_a_refitted_head_looks_at_one_tap_where_that_is_wanted():
    report = run(stripes(), **DEMO, phases=[{"name": "head", "solve": {"taps": "best"}}])
    kernel = head(report)
    used = np.flatnonzero(np.abs(kernel).sum(axis=1))
    assert 0 < len(used) < len(kernel)
    assert report.record["refitted"]


def test_it_costs_no_forward_pass():
    images, labels = stripes()
    report = Recipe.from_name("small_similar", **SOLVED).run((images, labels), verbose=False, cache=False)
    assert report.record["phases"][0]["features_computed"] == 30


def test_the_validation_figures_are_those_of_images_not_seen():
    kept, refitted = (run(stripes(), **SOLVED, refit=refit) for refit in ("none", "heads"))
    assert kept.metrics["validation"] == refitted.metrics["validation"]
    assert not np.array_equal(head(kept), head(refitted))
    assert not kept.record["refitted"]


def test_validation_images_of_the_user_stay_out():
    (images, labels), held = stripes(), stripes(9, seed=1)
    given = run({"train": (images, labels), "validation": held}, **SOLVED)
    assert given.plan.refit == "none"
    assert not given.record["refitted"]


def test_a_head_solved_again_behind_training_is_refitted_too():
    """At this rate training tears the head apart, and the features under it hardly."""
    fit = {"trainable": [["head", 1.0], ["backbone", 1e-6]], "learning_rate": 10.0, "duration": "2 epochs"}
    phases = [{"name": "flat", "solve": {"regularization": 1e9}}, {"name": "torn", "fit": {**fit, "clip_norm": None}}]
    # The head that is solved again is not as flat as the one before.
    plan = Recipe.from_name("small_similar", **DEMO, phases=phases).plan(stripes(60)).to_data()
    plan["phases"][1]["fit"]["solve_again"]["strengths"] = [1.0]
    report = Recipe("own", Plan.from_data(plan, "own")).run(stripes(60), verbose=False)
    _, fitted = report.record["phases"]
    assert list(fitted["log_loss_by_interpolation"]) == ["0", "0.25", "0.5", "0.75", "1", "1, head solved again"]
    assert fitted["head_solved_again"]
    assert report.record["refitted"]
    assert "the head solved again behind it" in str(report)


@pytest.mark.parametrize("way", [gate.AFTER, gate.Way(0.5)])
def test_behind_a_phase_that_trained_the_head_is_solved_on_all_images(way, monkeypatch):
    judge = gate.judge
    monkeypatch.setattr(gate, "judge", lambda candidates, labels: judge({way: candidates[way]}, labels))
    monkeypatch.setattr(selection, "chosen", lambda outcomes, keep: len(outcomes) - 1)
    trained, refitted = (
        run(stripes(), **{**FITTED, "keep": "best_on_validation"}, refit=refit) for refit in ("none", "heads")
    )
    last = refitted.record["phases"][-1]
    assert refitted.record["refitted"]
    assert (last["interpolation"], last["head_solved_again"]) == (way.share, True)
    assert not trained.record["phases"][-1]["head_solved_again"]
    assert refitted.metrics["validation"] == trained.metrics["validation"]
    assert not np.array_equal(head(refitted), head(trained))


@pytest.mark.parametrize("refit", ["heads", "all"])
def test_phases_that_fit_are_refitted_only_where_that_is_said(refit, tmp_path):
    recipe = Recipe.from_name("small_similar", **FITTED, refit=refit)
    report = recipe.run(stripes(), out=tmp_path / "run", verbose=False)
    assert report.record["refitted"] == (refit == "all")
    _, fitted = report.record["phases"]
    assert fitted["steps"] == report.plan.phases[1].fit.steps
    assert set(fitted["validation"]) >= {"accuracy", "log_loss"}


def test_an_interrupted_refit_goes_on(tmp_path):
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
    np.testing.assert_allclose(head(resumed), head(whole), atol=1e-5)
