"""The folder of a comparison or search: its request, and the runs in it."""

from pathlib import Path

import keras
import numpy as np
import pytest

from kerastune_recipes import Recipe
from kerastune_recipes.errors import OutputError, WorkError
from kerastune_recipes.run.options import RunOptions
from kerastune_recipes.studies import study_folder


def test_the_same_request_is_resumed(tmp_path):
    request = {"recipes": {"one": "digest"}, "images": "digest"}
    for _ in range(2):
        study_folder.check_same(tmp_path / "out", "comparison", request, {})
        study_folder.write_request(tmp_path / "out", request, {"study": "comparison"})
    with pytest.raises(OutputError, match="out: the comparison in this folder was made with other images; give the"):
        study_folder.check_same(tmp_path / "out", "comparison", {**request, "images": "other"}, {})


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(OutputError, match="this folder exists, is not empty and holds no search; name another"):
        study_folder.check_same(tmp_path, "search", {}, {})
    with pytest.raises(OutputError, match=r"notes\.txt: this is a file; name a folder"):
        study_folder.check_same(tmp_path / "notes.txt", "search", {}, {})
    with pytest.raises(OutputError, match="the folder cannot be written"):
        study_folder.write_request(tmp_path / "notes.txt" / "out", {}, {})


@pytest.mark.parametrize("content", ["", "[1, 2]", "soup", "[" * 100_000])
def test_a_damaged_request_is_none(tmp_path, content):
    (tmp_path / "request.json").write_text(content)
    with pytest.raises(OutputError, match="holds no search"):
        study_folder.check_same(tmp_path, "search", {}, {})


def test_one_process_works_in_a_folder(tmp_path):
    second = study_folder.alone_in(tmp_path)
    with study_folder.alone_in(tmp_path), pytest.raises(OutputError, match="another process is working here"):
        second.__enter__()
    assert list(tmp_path.iterdir()) == []
    with study_folder.alone_in(None):
        pass


def test_the_request_states_the_options_that_change_a_run():
    assert study_folder.stated(RunOptions(seed=3, cache=False)) == {}
    given = RunOptions(folds=5, group_by=np.arange(4), unlabeled=Path("pool"))
    assert study_folder.stated(given) == {"folds": "5", "group_by": "", "unlabeled": "pool"}
    given = RunOptions(validation_split=0.1, pixel_range=[0, 4095.0])
    assert study_folder.stated(given) == {"validation_split": "0.1", "pixel_range": "0 4095"}


@pytest.mark.parametrize("interrupted", [True, False])
def test_an_interrupted_run_is_resumed_and_any_other_is_replaced(tmp_path, monkeypatch, interrupted):
    received = []
    monkeypatch.setattr(study_folder, "run", lambda name, content, ds, options, network: received.append(options))
    if interrupted:
        (tmp_path / "checkpoints").mkdir()
        (tmp_path / "checkpoints" / "request").touch()
    study_folder.run_in(tmp_path, Recipe.from_name("small_similar"), "photos", RunOptions(seed=3))
    (options,) = received
    assert (options.out, options.seed) == (tmp_path, 3)
    assert (options.resume, options.overwrite) == (interrupted, not interrupted)


def test_the_users_own_network_gets_its_weights_back_even_when_the_run_fails(monkeypatch):
    image = keras.Input((8, 8, 3))
    network = keras.Model(image, keras.layers.Conv2D(2, 3)(image), name="mine")
    before = network.get_weights()

    def fail(name, content, ds, options, trained):
        trained.set_weights([weight + 1 for weight in trained.get_weights()])
        raise WorkError("The loss became NaN.")

    monkeypatch.setattr(study_folder, "run", fail)
    with pytest.raises(WorkError):
        study_folder.run_in(None, Recipe.from_name("small_similar", backbone=network), "photos", RunOptions())
    for weight, now in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, now)
