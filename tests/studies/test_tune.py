"""Tuning on small data: what is searched, what trials see, what is written, how it goes on."""

import csv
import json
import shutil
import sys
from dataclasses import replace
from functools import partial

import pytest
from stripes import stripes

from kerastune_recipes import Recipe, yaml_files
from kerastune_recipes.data.sources.open import open_dataset
from kerastune_recipes.errors import OutputError, RecipeError, RequestError, WorkError
from kerastune_recipes.run import fit_phase
from kerastune_recipes.studies import tuned as tuned_module
from kerastune_recipes.studies.search_space import Trial

pytest.importorskip("keras_tuner", reason="KerasTuner is not installed")

DEMO = {"backbone.name": "DemoNet", "backbone.weights": "demo", "backbone.image_size": 32}
# Two steps of the head alone, whose rate and batch are open.
QUICK = {
    **DEMO,
    "phases.fine_tuning.fit.trainable": [["head", 1.0], ["backbone", "frozen"]],
    "phases.fine_tuning.fit.duration": "2 steps",
    "phases.fine_tuning.fit.augmentation": "none",
    "phases.fine_tuning.fit.views": 1,
    "keep": "last",
}
RATE, BATCH = "phases.fine_tuning.fit.learning_rate", "phases.fine_tuning.fit.batch_size"

stripes = partial(stripes, contrast=50)


@pytest.fixture(scope="module")
def recipe():
    return Recipe.from_name("small_similar", **QUICK)


@pytest.fixture
def ran(monkeypatch):
    """A list of the runs that are made: recipe and report."""
    made = []
    genuine = Recipe.run

    def run(recipe, *args, **options):
        report = genuine(recipe, *args, **options)
        made.append((recipe, report))
        return report

    monkeypatch.setattr(Recipe, "run", run)
    return made


@pytest.fixture(scope="module")
def search(recipe, tmp_path_factory):
    """Three trials on data whose test images cannot be read: what was found, the reports, the folder, the cache."""
    out, cache = tmp_path_factory.mktemp("search") / "out", tmp_path_factory.mktemp("search") / "cache"
    reports = []
    genuine = Recipe.run

    def run(recipe, *args, **options):
        reports.append(genuine(recipe, *args, **options))
        return reports[-1]

    def untouchable(*_):
        raise AssertionError("a test image was read")

    dataset = open_dataset({"train": stripes(), "test": stripes(6)})
    dataset = replace(dataset, test=replace(dataset.test, read=untouchable, content=untouchable))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Recipe, "run", run)
        patched.setenv("KERASTUNE_CACHE", str(cache))
        tuned = recipe.tune(dataset, trials=3, out=out, cache=False, verbose=False)
    return tuned, reports, out, cache


def test_the_first_trial_is_what_the_rules_choose(search, recipe):
    tuned, reports, _, _ = search
    assert [trial.number for trial in tuned.trials] == [1, 2, 3]
    assert tuned.trials[0].values == {RATE: 3e-3 * 24 / 32, BATCH: 24}
    assert reports[0].plan == recipe.plan(stripes())
    assert reports[1].plan != reports[0].plan


def test_trials_are_judged_by_the_model_they_keep_on_the_validation_images(search):
    tuned, reports, _, _ = search
    for trial, report in zip(tuned.trials, reports, strict=True):
        assert set(report.splits) == {"validation"}
        assert trial.log_loss == report.record["validation"]["log_loss"]
        assert trial.accuracy == report.record["validation"]["accuracy"]


def test_trials_share_features_also_without_the_lasting_cache(search):
    _, reports, _, cache = search
    assert [report.record["phases"][0]["features_computed"] for report in reports] == [30, 0, 0]
    assert not cache.exists()


def test_what_is_found_is_never_worse_than_the_rules_and_runs_like_any_recipe(search):
    tuned, *_ = search
    assert tuned.best.log_loss == min(trial.log_loss for trial in tuned.trials)
    assert tuned.recipe.name == "small_similar_tuned"
    assert tuned.recipe.content.phases[1].fit.learning_rate == tuned.best.values[RATE]
    assert tuned.recipe.content.phases[1].fit.duration == "2 steps"
    assert tuned.recipe.content.phases[0].solve.regularization == "auto"
    assert "phases.feature_extraction.solve.regularization" in tuned.left
    report = tuned.recipe.run(stripes(), verbose=False)
    assert report.record["validation"]["log_loss"] == pytest.approx(tuned.best.log_loss, rel=1e-3)


def test_what_was_found_is_written(search):
    tuned, _, out, _ = search
    assert {path.name for path in out.iterdir()} == {
        "recipe.yaml", "trials.csv", "request.json", "trials", "keras_tuner",
    }  # fmt: skip
    assert Recipe.from_file(out / "recipe.yaml").content == tuned.recipe.content
    assert (out / "recipe.yaml").read_text().startswith("# small_similar_tuned: with what 3 trials on ")
    rows = list(csv.DictReader((out / "trials.csv").open()))
    assert list(rows[0]) == ["trial", RATE, BATCH, "log_loss", "accuracy", "seconds", "problem"]
    assert [float(row["log_loss"]) for row in rows] == [trial.log_loss for trial in tuned.trials]
    plan = yaml_files.read(out / "trials" / "002" / "plan.yaml")
    assert plan["phases"][1]["fit"]["batch_size"] == tuned.trials[1].values[BATCH]
    assert not list(out.rglob("model.keras"))
    assert json.loads(json.dumps(tuned.record))["best"] == tuned.best.number


def test_a_search_goes_on_with_more_trials(search, recipe, tmp_path, ran):
    tuned, *_ = search
    out = shutil.copytree(search[2], tmp_path / "out")
    assert recipe.tune(stripes(), trials=3, out=out, verbose=False).trials == tuned.trials
    assert ran == []
    more = recipe.tune(stripes(), trials=4, out=out, verbose=False)
    assert len(ran) == 1
    assert more.trials[:3] == tuned.trials


def test_an_interrupted_trial_goes_on(search, recipe, tmp_path, monkeypatch):
    out = shutil.copytree(search[2], tmp_path / "out")

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(fit_phase, "fit", interrupt)
        with pytest.raises(KeyboardInterrupt):
            recipe.tune(stripes(), trials=4, out=out, verbose=False)
    assert (out / "trials" / "004" / "journal" / "phase_1.json").is_file()
    tuned = recipe.tune(stripes(), trials=4, out=out, verbose=False)
    assert [trial.number for trial in tuned.trials] == [1, 2, 3, 4]
    assert not (out / "trials" / "004" / "journal").exists()


def test_a_folder_with_another_search_is_refused(search, recipe):
    _, _, out, _ = search
    other = Recipe.from_name("small_similar", **(QUICK | {"keep": "best_on_validation"}))
    for tuned, images, seed, what in (
        (other, stripes(), 0, "recipe"),
        (recipe, stripes(24), 0, "images"),
        (recipe, stripes(), 1, "images and other seed"),
    ):
        with pytest.raises(OutputError, match=f"the search in this folder was made with other {what}; give the same"):
            tuned.tune(images, trials=2, out=out, seed=seed, verbose=False)


def test_the_table_says_what_each_trial_changed(recipe):
    trials = (
        Trial(1, {RATE: 0.003, BATCH: 32}, 0.5, 0.8, 10.0),
        Trial(2, {RATE: 0.01, BATCH: 32}, 0.4, 0.85, 9.0),
        Trial(3, {RATE: 0.03, BATCH: 64}, None, None, None, "The loss became NaN."),
    )
    told = str(tuned_module.Tuned(recipe, trials, ("phases.feature_extraction.solve.regularization",), "photos"))
    lines = [" ".join(line.split()) for line in told.splitlines()]
    assert lines[2] == "1 0.5000 80.0% 10.0 nothing"
    assert lines[3] == "* 2 0.4000 85.0% 9.0 fine_tuning.learning_rate 0.01"
    assert lines[4] == "3 failed fine_tuning.learning_rate 0.03, fine_tuning.batch_size 64, The loss became NaN."
    assert "Best is trial 2: log loss 0.4000 on the validation images, 0.5000 by the rules." in " ".join(lines)
    assert lines[-1] == "Left to the rules: phases.feature_extraction.solve.regularization."


def test_values_that_do_not_work_are_told_and_the_rules_must(recipe, monkeypatch):
    genuine = Recipe.run
    count = []

    def run(recipe, *args, **options):
        count.append(1)
        if len(count) == 2:
            raise WorkError("The loss became NaN.")
        return genuine(recipe, *args, **options)

    monkeypatch.setattr(Recipe, "run", run)
    tuned = recipe.tune(stripes(), trials=2, verbose=False)
    assert tuned.trials[1].problem == "The loss became NaN."
    assert tuned.best.number == 1
    monkeypatch.setattr(Recipe, "run", lambda *_, **__: (_ for _ in ()).throw(WorkError("No luck.")))
    with pytest.raises(WorkError, match="No luck."):
        recipe.tune(stripes(), trials=2, verbose=False)


def test_what_there_is_nothing_to_search_in(recipe, tmp_path):
    solved = Recipe.from_name("small_similar", **DEMO, phases=[{"name": "head", "solve": {}}])
    with pytest.raises(RecipeError, match=r"nothing to search; its rules decide on .*head.solve.regularization"):
        solved.tune(stripes())
    (tmp_path / "plan.yaml").write_text(yaml_files.dump(recipe.plan(stripes()).to_data()))
    with pytest.raises(RecipeError, match="small_similar: a plan leaves nothing open; tune the recipe"):
        Recipe.from_file(tmp_path / "plan.yaml").tune(stripes())


@pytest.mark.parametrize("trials", [1, 0, True, 2.5])
def test_trials_are_counted(recipe, trials):
    with pytest.raises(RequestError, match="trials: a search takes a whole number of trials, 2 or more"):
        recipe.tune(stripes(), trials=trials)


def test_without_keras_tuner_it_says_what_to_install(recipe, monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_tuner", None)
    monkeypatch.delitem(sys.modules, "kerastune_recipes.studies.keras_tuner", raising=False)
    monkeypatch.delattr("kerastune_recipes.studies.keras_tuner", raising=False)
    with pytest.raises(RequestError, match=r'tuning needs KerasTuner, .*; pip install "kerastune-recipes\[tune\]"'):
        recipe.tune(stripes())
