"""The run folder: whether a run may be written there, and its first files."""

import pytest

from kerastune_recipes import yaml_files
from kerastune_recipes.errors import OutputError
from kerastune_recipes.run import run_folder
from kerastune_recipes.spec import catalog

RECIPE = catalog.load("small_similar")


def test_preparing_makes_and_removes_nothing(tmp_path):
    assert run_folder.prepare(tmp_path / "new", resume=False, overwrite=False) == tmp_path / "new"
    assert not (tmp_path / "new").exists()
    (tmp_path / "report.json").touch()
    assert run_folder.prepare(tmp_path, resume=False, overwrite=True) == tmp_path
    assert (tmp_path / "report.json").exists()
    assert run_folder.prepare(None, resume=False, overwrite=False) is None


def test_an_empty_folder_is_accepted(tmp_path):
    assert run_folder.prepare(tmp_path, resume=False, overwrite=False) == tmp_path


def test_begin_removes_the_files_of_an_older_run_and_nothing_else(tmp_path):
    for name in (*run_folder.FILES, "notes.txt"):
        (tmp_path / name).touch()
    run_folder.begin(tmp_path, RECIPE)
    assert {path.name for path in tmp_path.iterdir()} == {"recipe.yaml", "notes.txt"}
    assert catalog.parse(yaml_files.read(tmp_path / "recipe.yaml"), "recipe.yaml") == RECIPE


def test_only_an_interrupted_run_is_resumed(tmp_path):
    with pytest.raises(OutputError, match="there is no interrupted run here to resume; leave out --resume"):
        run_folder.prepare(tmp_path, resume=True, overwrite=False)
    with pytest.raises(OutputError, match="Resuming takes the folder of the interrupted run"):
        run_folder.prepare(None, resume=True, overwrite=False)
    (tmp_path / run_folder.CHECKPOINTS).mkdir()
    assert run_folder.prepare(tmp_path, resume=True, overwrite=False) == tmp_path


def test_a_run_interrupted_under_an_earlier_build_is_refused(tmp_path):
    (tmp_path / "journal").mkdir()
    with pytest.raises(OutputError, match="interrupted under an earlier build of 0.1.0.*start again with --overwrite"):
        run_folder.prepare(tmp_path, resume=True, overwrite=False)
    run_folder.begin(run_folder.prepare(tmp_path, resume=False, overwrite=True), RECIPE)
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.yaml"]


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(OutputError, match=r"notes\.txt: this is a file; name a folder"):
        run_folder.prepare(tmp_path / "notes.txt", resume=False, overwrite=False)
