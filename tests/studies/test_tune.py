"""Tuning on small data: what trials see, how they are scored, what is written, how a search resumes."""

import csv
import json
import shutil
import sys
from dataclasses import replace
from functools import partial

import pytest
from stripes import stripes

from kerastune_recipes import Recipe, tune, yaml_files
from kerastune_recipes.data.sources.open import open_dataset
from kerastune_recipes.errors import OutputError, RecipeError, RequestError, WorkError
from kerastune_recipes.studies import study_folder

pytest.importorskip("keras_tuner", reason="KerasTuner is not installed")

DEMO = {"backbone.name": "DemoNet", "backbone.weights": "demo", "backbone.image_size": 32}
# Two steps of the head alone; learning rate and batch size are auto.
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
    """A list of the reports of all runs."""
    reports = []
    genuine = study_folder.run

    def run(*request):
        reports.append(genuine(*request))
        return reports[-1]

    monkeypatch.setattr(study_folder, "run", run)
    return reports


@pytest.fixture(scope="module")
def search(recipe, tmp_path_factory):
    """Three trials on data whose test images cannot be read: the result, the reports, the folder, the cache."""
    out, cache = tmp_path_factory.mktemp("search") / "out", tmp_path_factory.mktemp("search") / "cache"
    reports = []
    genuine = study_folder.run

    def run(*request):
        reports.append(genuine(*request))
        return reports[-1]

    def unreadable(*_):
        raise AssertionError("a test image was read")

    dataset = open_dataset({"train": stripes(), "test": stripes(6)})
    dataset = replace(dataset, test=replace(dataset.test, read=unreadable, content=unreadable))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(study_folder, "run", run)
        patched.setenv("KERASTUNE_CACHE", str(cache))
        tuned = tune(recipe, dataset, trials=3, out=out, cache=False, verbose=False)
    return tuned, reports, out, cache


def test_the_first_trial_has_the_values_of_the_rules(search, recipe):
    tuned, reports, _, _ = search
    assert [trial.number for trial in tuned.trials] == [1, 2, 3]
    assert tuned.trials[0].values == {RATE: 3e-3 * 24 / 32, BATCH: 24}
    assert reports[0].plan == recipe.plan(stripes())
    assert reports[1].plan != reports[0].plan


def test_trials_are_scored_by_their_model_on_the_validation_images(search):
    tuned, reports, _, _ = search
    for trial, report in zip(tuned.trials, reports, strict=True):
        assert set(report.splits) == {"validation"}
        assert trial.log_loss == report.record["validation"]["log_loss"]
        assert trial.accuracy == report.record["validation"]["accuracy"]


def test_trials_share_features_also_without_the_cache_on_disk(search):
    _, reports, _, cache = search
    assert [report.record["phases"][0]["features_computed"] for report in reports] == [30, 0, 0]
    assert not cache.exists()


def test_the_result_is_never_worse_than_the_rules_and_runs_like_any_recipe(search):
    tuned, *_ = search
    assert tuned.best.log_loss == min(trial.log_loss for trial in tuned.trials)
    assert tuned.recipe.name == "small_similar_tuned"
    assert tuned.recipe.content.phases[1].fit.learning_rate == tuned.best.values[RATE]
    assert tuned.recipe.content.phases[1].fit.duration == "2 steps"
    assert tuned.recipe.content.phases[0].solve.regularization == "auto"
    assert "phases.feature_extraction.solve.regularization" in tuned.left
    report = tuned.recipe.run(stripes(), verbose=False)
    assert report.record["validation"]["log_loss"] == pytest.approx(tuned.best.log_loss, rel=1e-3)


def test_recipe_and_trials_are_written(search):
    tuned, _, out, _ = search
    assert {path.name for path in out.iterdir()} == {
        "recipe.yaml", "trials.csv", "request.json", "trials", "keras_tuner",
    }  # fmt: skip
    assert Recipe.from_file(out / "recipe.yaml").content == tuned.recipe.content
    first_line = (out / "recipe.yaml").read_text().splitlines()[0]
    assert first_line.startswith("# small_similar_tuned: its auto fields set to the best of 3 trials on ")
    rows = list(csv.DictReader((out / "trials.csv").open()))
    assert list(rows[0]) == ["trial", RATE, BATCH, "log_loss", "accuracy", "seconds", "problem"]
    assert [float(row["log_loss"]) for row in rows] == [trial.log_loss for trial in tuned.trials]
    plan = yaml_files.read(out / "trials" / "002" / "plan.yaml")
    assert plan["phases"][1]["fit"]["batch_size"] == tuned.trials[1].values[BATCH]
    assert not list(out.rglob("model.keras"))
    assert json.loads(json.dumps(tuned.record))["best"] == tuned.best.number


def test_a_search_resumes_with_more_trials(search, recipe, tmp_path, ran):
    tuned, *_ = search
    out = shutil.copytree(search[2], tmp_path / "out")
    assert tune(recipe, stripes(), trials=3, out=out, verbose=False).trials == tuned.trials
    assert ran == []
    more = tune(recipe, stripes(), trials=4, out=out, verbose=False)
    assert len(ran) == 1
    assert more.trials[:3] == tuned.trials


def test_an_interrupted_trial_resumes(search, recipe, tmp_path, monkeypatch):
    out = shutil.copytree(search[2], tmp_path / "out")

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("kerastune_recipes.training.fit.fit", interrupt)
        with pytest.raises(KeyboardInterrupt):
            tune(recipe, stripes(), trials=4, out=out, verbose=False)
    assert (out / "trials" / "004" / "checkpoints" / "phase_1").is_file()
    tuned = tune(recipe, stripes(), trials=4, out=out, verbose=False)
    assert [trial.number for trial in tuned.trials] == [1, 2, 3, 4]
    assert not (out / "trials" / "004" / "checkpoints").exists()


def test_a_folder_with_another_search_is_refused(search, recipe):
    _, _, out, _ = search
    other = Recipe.from_name("small_similar", **(QUICK | {"keep": "best_on_validation"}))
    for searched, images, seed, difference in (
        (other, stripes(), 0, "recipe"),
        (recipe, stripes(24), 0, "images"),
        (recipe, stripes(), 1, "images and other seed"),
    ):
        with pytest.raises(OutputError, match=f"in this folder was made with other {difference}; give the same"):
            tune(searched, images, trials=2, out=out, seed=seed, verbose=False)


def test_a_trial_that_fails_is_reported(recipe, monkeypatch):
    genuine = study_folder.run
    requests = []

    def run(*request):
        requests.append(request)
        if len(requests) == 2:
            raise WorkError("The loss became NaN.")
        return genuine(*request)

    monkeypatch.setattr(study_folder, "run", run)
    tuned = tune(recipe, stripes(), trials=2, verbose=False)
    assert tuned.trials[1].problem == "The loss became NaN."
    assert tuned.best.number == 1


def test_a_search_fails_when_the_values_of_the_rules_fail(recipe, monkeypatch):
    def fail(*_):
        raise WorkError("No luck.")

    monkeypatch.setattr(study_folder, "run", fail)
    with pytest.raises(WorkError, match="No luck."):
        tune(recipe, stripes(), trials=2, verbose=False)


def test_a_recipe_without_searchable_fields_is_refused(recipe, tmp_path):
    solved = Recipe.from_name("small_similar", **DEMO, phases=[{"name": "head", "solve": {}}])
    with pytest.raises(RecipeError, match=r"nothing to search; only its rules set .*head.solve.regularization"):
        tune(solved, stripes())
    (tmp_path / "plan.yaml").write_text(yaml_files.dump(recipe.plan(stripes()).to_data()))
    with pytest.raises(RecipeError, match="small_similar: a plan has no auto fields; tune the recipe"):
        tune(tmp_path / "plan.yaml", stripes())


@pytest.mark.parametrize("trials", [1, 0, True, 2.5])
def test_trials_are_a_whole_number_of_at_least_two(recipe, trials):
    with pytest.raises(RequestError, match="trials: expected a whole number, 2 or more"):
        tune(recipe, stripes(), trials=trials)


def test_without_keras_tuner_the_error_names_the_package_to_install(recipe, monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_tuner", None)
    monkeypatch.delitem(sys.modules, "kerastune_recipes.studies.keras_tuner", raising=False)
    monkeypatch.delattr("kerastune_recipes.studies.keras_tuner", raising=False)
    with pytest.raises(RequestError, match=r'tuning needs KerasTuner, .*; run pip install "kerastune-recipes\[tune\]"'):
        tune(recipe, stripes())
