"""Resuming what a folder holds, with the arguments that it was begun with."""

import json

import numpy as np
import pytest
from stripes import stripes

from kerastune_recipes import Recipe, compare, resume, tune
from kerastune_recipes.errors import OutputError, RequestError
from kerastune_recipes.run.options import RunOptions
from kerastune_recipes.run.request import arguments_of
from kerastune_recipes.studies import study_folder

QUICK = {
    "backbone.name": "DemoNet",
    "backbone.weights": "demo",
    "backbone.image_size": 32,
    "phases.fine_tuning.fit.duration": "2 epochs",
}
RECIPE = Recipe.from_name("small_similar", **QUICK)


def interrupt(*_, **__):
    raise KeyboardInterrupt


def interrupted(monkeypatch, work):
    with monkeypatch.context() as patched:
        patched.setattr("kerastune_recipes.training.fit.fit", interrupt)
        with pytest.raises(KeyboardInterrupt):
            work()


@pytest.fixture
def data(photos, tmp_path):
    folder = tmp_path / "photos"
    photos(folder, ants=8, bees=8)
    return folder


def test_a_run_resumes_with_its_arguments(data, tmp_path, monkeypatch):
    options = {"seed": 3, "folds": 2, "pixel_range": (0, 255), "verbose": False}
    whole = RECIPE.run(data, **options)
    interrupted(monkeypatch, lambda: RECIPE.run(data, out=tmp_path / "run", **options))
    monkeypatch.chdir(tmp_path)  # paths are kept absolute
    report = resume(tmp_path / "run", verbose=False)
    assert report.plan == whole.plan
    assert report.record["seed"] == 3
    assert report.record["data"]["pixel_range"] == [0, 255]
    for one, other in zip(report.model.get_weights(), whole.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_run_resumes_with_its_hold_out(data, tmp_path, monkeypatch):
    interrupted(monkeypatch, lambda: RECIPE.run(data, out=tmp_path / "run", validation_split=0.5, verbose=False))
    report = resume(tmp_path / "run", verbose=False)
    assert (report.record["data"]["train"], report.record["data"]["validation"]) == (8, 8)


def test_a_run_of_an_earlier_build_resumes_with_the_hold_out_of_that_build(data, tmp_path, monkeypatch):
    def without(*_, **__):
        arguments = arguments_of(data, RunOptions())
        return {key: value for key, value in arguments.items() if key not in ("validation_split", "pixel_range")}

    with monkeypatch.context() as patched:
        patched.setattr("kerastune_recipes.run.run.arguments_of", without)
        interrupted(patched, lambda: RECIPE.run(data, out=tmp_path / "run", verbose=False))
    assert resume(tmp_path / "run", verbose=False).record["data"]["validation"] == 4


def test_a_comparison_resumes_with_its_arguments(data, tmp_path, monkeypatch):
    recipes = [RECIPE, Recipe.from_name("small_dissimilar", **QUICK)]
    options = {"seeds": 1, "validation_split": 0.5, "pixel_range": (0, 255), "verbose": False}
    interrupted(monkeypatch, lambda: compare(recipes, data, out=tmp_path / "out", **options))
    with pytest.raises(OutputError, match="the comparison in this folder was made with other images and other options"):
        compare(recipes, data, seeds=1, out=tmp_path / "out", verbose=False)
    comparison = resume(tmp_path / "out", verbose=False)
    report = json.loads((tmp_path / "out" / "small_similar" / "seed_0" / "report.json").read_text())
    assert (report["data"]["validation"], report["data"]["pixel_range"]) == (8, [0, 255])
    assert [result["recipe"] for result in comparison.record["results"]] == ["small_similar", "small_dissimilar"]


def test_a_search_resumes_with_its_arguments(data, tmp_path, monkeypatch):
    pytest.importorskip("keras_tuner", reason="KerasTuner is not installed")
    options = {"seed": 1, "validation_split": 0.5, "pixel_range": (0, 255), "verbose": False}
    interrupted(monkeypatch, lambda: tune(RECIPE, data, trials=2, out=tmp_path / "out", **options))
    assert len(resume(tmp_path / "out", verbose=False).trials) == 2
    report = json.loads((tmp_path / "out" / "trials" / "001" / "report.json").read_text())
    assert (report["data"]["validation"], report["data"]["pixel_range"]) == (8, [0, 255])


def test_what_was_given_in_python_is_named(tmp_path, monkeypatch):
    interrupted(monkeypatch, lambda: RECIPE.run(stripes(), out=tmp_path / "run", verbose=False))
    with pytest.raises(RequestError, match="data was given in Python and cannot be read from the folder"):
        resume(tmp_path / "run")


def test_nothing_to_resume_is_said(tmp_path):
    with pytest.raises(OutputError, match="there is nothing to resume"):
        resume(tmp_path)
    study_folder.write_request(tmp_path / "old", {"recipe": "x"}, {})
    with pytest.raises(OutputError, match="written by an earlier version; repeat the command that began it"):
        resume(tmp_path / "old")


@pytest.mark.parametrize(
    "repeat",
    [
        [],
        "comparison",
        {"study": ["comparison"]},
        {"study": "comparison", "recipes": [["a"]]},
        {"study": "comparison", "recipes": 3},
        {"study": "search", "trials": 2, "seed": 0, "recipe": ["a", {}], "arguments": []},
    ],
)
def test_a_damaged_request_is_one_sentence(tmp_path, repeat):
    study_folder.write_request(tmp_path / "out", {"recipe": "x"}, repeat)
    with pytest.raises(RequestError) as caught:
        resume(tmp_path / "out")
    assert "request.json is damaged" in str(caught.value) or "a: summary: this key is missing" in str(caught.value)
