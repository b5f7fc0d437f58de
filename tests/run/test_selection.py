"""Which phase is chosen, by a hold-out or by cross-validation of all images."""

import keras
import numpy as np
import pytest
from stripes import stripes

from kerastune_recipes import Recipe
from kerastune_recipes.errors import DataError, RequestError
from kerastune_recipes.evaluation.judges import Judges
from kerastune_recipes.reporting.outcome import Outcome
from kerastune_recipes.run.phases import CompletedPhase
from kerastune_recipes.run.selection import choose_phase

QUICK = {
    "backbone.name": "DemoNet",
    "backbone.weights": "demo",
    "phases.fine_tuning.fit.duration": "2 epochs",
    "phases.fine_tuning.fit.batch_size": 8,
}
SOLVED = {
    **{key: QUICK[key] for key in ("backbone.name", "backbone.weights")},
    "phases": [{"name": "head", "solve": {}}],
}


def test_folds_of_solved_heads_pass_every_image_once():
    report = Recipe.from_name("small_similar", **SOLVED).run(stripes(), folds=5, verbose=False, cache=False)
    (phase,) = report.record["phases"]
    assert phase["features_computed"] == 30
    assert report.record["data"] | {"source": ""} == {
        "source": "", "train": 30, "validation": 0, "test": 0, "classes": ["0", "1", "2"], "folds": 5,
        "groups": None, "unlabeled": 0, "pixel_range": None,
    }  # fmt: skip
    assert report.splits["validation"].probabilities.shape == (30, 3)
    assert report.plan.folds == report.plan.phases[0].solve.folds == 5
    assert "on 5-fold cross-validation" in str(report)
    assert "refitted on all 30 images" in str(report)


def test_folds_that_cannot_hold_out_every_image_are_refused():
    """A class of a single group would be in no fold, and have no figures."""
    images, labels = stripes()
    groups = np.where(labels == 0, 99, np.arange(30))
    recipe = Recipe.from_name("small_similar", **SOLVED)
    with pytest.raises(DataError, match="fall into one fold, so none is left to train on: 0|one group: 0"):
        recipe.run((images, labels), folds=3, group_by=groups, verbose=False)


def test_random_labels_cannot_be_predicted():
    """Out-of-fold probabilities are of images not seen; the refitted model has seen all of them."""
    images, _ = stripes(60)
    labels = np.random.default_rng(0).permutation(np.arange(60) % 3)
    report = Recipe.from_name("small_similar", **SOLVED).run((images, labels), folds=4, verbose=False)
    assert report.record["validation"]["accuracy"] < 0.6


FITTED = Recipe.from_name("small_similar", **QUICK, keep="last")


class Count(keras.callbacks.Callback):
    """Counts how often training began, and presses Ctrl-C at the given count."""

    def __init__(self, interrupted=0):
        super().__init__()
        self.began, self.interrupted = 0, interrupted

    def on_train_begin(self, logs=None):
        self.began += 1
        if self.began == self.interrupted:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A cross-validation of fit phases: its folder, its report, and how often training began."""
    folder, count = tmp_path_factory.mktemp("folds") / "run", Count()
    return folder, FITTED.run(stripes(), folds=3, out=folder, callbacks=[count], verbose=False), count.began


def test_fit_phases_run_once_for_each_fold_and_once_on_all_images(whole):
    folder, report, began = whole
    assert began == 3 + 1
    assert [len(phase["accuracy_by_fold"]) for phase in report.record["phases"]] == [3, 3]
    assert report.record["chosen_phase"] == "fine_tuning"
    assert not (folder / "checkpoints").exists()


def test_an_interrupted_cross_validation_resumes(whole, tmp_path):
    _, report, _ = whole
    with pytest.raises(KeyboardInterrupt):
        FITTED.run(stripes(), folds=3, out=tmp_path / "run", callbacks=[Count(interrupted=2)], verbose=False)
    again = FITTED.run(stripes(), folds=3, out=tmp_path / "run", resume=True, verbose=False)
    np.testing.assert_array_equal(again.splits["validation"].probabilities, report.splits["validation"].probabilities)
    for one, other in zip(again.model.get_weights(), report.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_more_folds_than_images_of_a_class():
    with pytest.raises(RequestError, match=r"folds: 11 folds are more than the images of the smallest class \(10\)"):
        Recipe.from_name("small_similar", **SOLVED).plan(stripes(), folds=11)


def test_a_plan_states_how_it_is_judged(tmp_path):
    recipe = Recipe.from_name("small_similar", **SOLVED)
    recipe.run(stripes(), out=tmp_path / "run", verbose=False)
    with pytest.raises(RequestError, match="write folds: 5 in its file"):
        Recipe.from_file(tmp_path / "run" / "plan.yaml").plan(stripes(), folds=5)


LABELS = np.arange(20) % 2
JUDGES = Judges.of(LABELS, balanced=False)


def phase(name, certainty, **choices):
    """A phase that gives the right class this probability, of each image."""
    kind = "fit" if "interpolation" in choices else "solve"
    outcome = Outcome(name, kind, 1.0, 10, 100, 0, {}, choices, ())
    certainty = np.broadcast_to(certainty, len(LABELS))[:, None]
    probabilities = np.where(np.eye(2, dtype=bool)[LABELS], certainty, 1 - certainty).astype(np.float32)
    return CompletedPhase(outcome, ([],), probabilities, probabilities)


def test_the_phase_with_the_lowest_validation_loss_is_chosen():
    done = [phase("solved", 0.5), phase("fitted", 0.6, interpolation=0.5), phase("solved_again", 0.4)]
    assert choose_phase(done, JUDGES, LABELS, "best_on_validation")[0] == 1
    assert choose_phase(done, JUDGES, LABELS, "last")[0] == 2


def test_a_discarded_phase_is_never_chosen():
    """Its model is that of the phase before, but for the last digit; the head of that one can be refitted."""
    done = [phase("solved", 0.5), phase("fitted", 0.5000001, interpolation=0.0)]
    assert choose_phase(done, JUDGES, LABELS, "best_on_validation")[0] == 0


def test_the_phase_of_an_image_is_chosen_by_the_images_of_other_folds():
    fold = np.repeat([0, 1], 10)
    done = [phase("first", np.where(fold == 0, 0.9, 0.5)), phase("second", np.where(fold == 1, 0.8, 0.5))]
    chosen, probabilities = choose_phase(done, JUDGES, fold, "best_on_validation")
    assert chosen == 0
    np.testing.assert_allclose(probabilities, 0.5)


def test_balanced_judges_choose_the_phase_that_recognises_the_rare_class():
    labels = np.repeat([0, 1], [18, 2])
    judges = Judges.of(labels, balanced=True)
    common, rare = (
        CompletedPhase(Outcome(name, "solve", 1.0, 0, 1, 0, {}, {}, ()), ([],), rows, rows)
        for name, rows in (
            ("common", np.tile([0.95, 0.05], (20, 1))),
            ("rare", np.where(labels[:, None] == 1, [0.1, 0.9], [0.6, 0.4])),
        )
    )
    assert choose_phase([common, rare], judges, labels * 0, "best_on_validation")[0] == 1
    assert choose_phase([common, rare], Judges.of(labels, False), labels * 0, "best_on_validation")[0] == 0
