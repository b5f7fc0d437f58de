"""The result of a search: its table, the recipe file and the table of trials."""

import csv
from dataclasses import replace

import pytest

from kerastune_recipes import Recipe
from kerastune_recipes.errors import OutputError
from kerastune_recipes.studies.search_space import Trial
from kerastune_recipes.studies.tuned import Tuned, best_of, show_value

RATE, BATCH = "phases.fine_tuning.fit.learning_rate", "phases.fine_tuning.fit.batch_size"
TRIALS = (
    Trial(1, {RATE: 0.003, BATCH: 32}, 0.5, 0.8, 10.0),
    Trial(2, {RATE: 0.01, BATCH: 32}, 0.4, 0.85, 9.0),
    Trial(3, {RATE: 0.03, BATCH: 64}, None, None, None, "The loss became NaN."),
)


@pytest.fixture
def tuned():
    recipe = Recipe.from_name("small_similar", **{"phases.fine_tuning.fit.learning_rate": 0.01})
    return Tuned(recipe, TRIALS, ("phases.feature_extraction.solve.regularization",), "photos")


def test_the_table_shows_what_each_trial_changed(tuned):
    lines = [" ".join(line.split()) for line in str(tuned).splitlines()]
    assert lines[0] == "small_similar on photos"
    assert lines[2] == "1 0.5000 80.0% 10.0 nothing"
    assert lines[3] == "* 2 0.4000 85.0% 9.0 fine_tuning.learning_rate 0.01"
    assert lines[4] == "3 failed fine_tuning.learning_rate 0.03, fine_tuning.batch_size 64, The loss became NaN."
    assert "Best: trial 2, log loss 0.4000 on the validation images; the rules: 0.5000." in " ".join(lines)
    assert lines[-1] == "Set by the rules: phases.feature_extraction.solve.regularization."


def test_the_best_trial_has_the_lowest_log_loss_and_is_the_first_of_equals(tuned):
    assert tuned.best.number == 2
    assert best_of([TRIALS[2], TRIALS[1], Trial(4, {}, 0.4, 0.9, 1.0)]).number == 2


def test_the_files_are_a_recipe_and_a_table(tuned, tmp_path):
    tuned.save(tmp_path / "out")
    assert Recipe.from_file(tmp_path / "out" / "recipe.yaml").content == tuned.recipe.content
    first, second, third = csv.DictReader((tmp_path / "out" / "trials.csv").open())
    assert (first["trial"], first[RATE], first["log_loss"], first["problem"]) == ("1", "0.003", "0.5", "")
    assert (third[BATCH], third["accuracy"], third["problem"]) == ("64", "", "The loss became NaN.")
    assert second["seconds"] == "9.0"


def test_a_strange_source_stays_in_the_comment_of_the_recipe_file(tuned, tmp_path):
    replace(tuned, data="pho\x1btos\nkeep: last").save(tmp_path)
    assert Recipe.from_file(tmp_path / "recipe.yaml").content == tuned.recipe.content
    assert "trials on pho\\x1btos keep: last.\n" in (tmp_path / "recipe.yaml").read_text()


def test_a_folder_that_cannot_be_written(tuned, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file: the result cannot be written: "):
        tuned.save(tmp_path / "file")


def test_values_are_shown_with_short_keys():
    assert show_value(RATE, 0.003) == "fine_tuning.learning_rate 0.003"
    assert show_value("backbone.image_size", 160) == "backbone.image_size 160"
