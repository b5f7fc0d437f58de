"""The run folder: whether a run may be written there, what is ours in it, and its lock."""

import json
import os
import subprocess
import sys

import pytest

from kerastune_recipes.errors import OutputError
from kerastune_recipes.run import run_folder

REPORT = json.dumps({"recipe": "small_similar", "status": "done", "versions": {}, "phases": []})


def prepare(folder, resume=False, overwrite=False, **sources):
    return run_folder.prepare(folder, resume=resume, overwrite=overwrite, sources=sources)


def interrupted(folder):
    (folder / "checkpoints").mkdir(parents=True)
    for name in (*run_folder.REQUESTS, "lock", "phase_1"):
        (folder / "checkpoints" / name).write_text("x")
    return folder


def test_preparing_makes_and_removes_nothing(tmp_path):
    assert prepare(tmp_path / "new") == tmp_path / "new"
    assert not (tmp_path / "new").exists()
    (tmp_path / "report.json").write_text(REPORT)
    assert prepare(tmp_path, overwrite=True) == tmp_path
    assert (tmp_path / "report.json").read_text() == REPORT
    assert prepare(None) is None


def test_an_empty_folder_is_accepted(tmp_path):
    assert prepare(tmp_path) == prepare(tmp_path, resume=True) == tmp_path


def test_a_run_killed_before_it_had_written_anything_leaves_an_unused_folder(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "lock").touch()
    assert prepare(tmp_path) == prepare(tmp_path, resume=True) == tmp_path


def test_an_interrupted_run_is_resumed_or_replaced_but_never_by_accident(tmp_path):
    interrupted(tmp_path)
    assert prepare(tmp_path, resume=True) == prepare(tmp_path, overwrite=True) == tmp_path
    with pytest.raises(OutputError, match="give --resume to resume an interrupted run or --overwrite to replace it"):
        prepare(tmp_path)


def test_a_finished_run_is_not_resumed(tmp_path):
    (tmp_path / "report.json").write_text(REPORT)
    with pytest.raises(OutputError, match="the run here is finished; leave out --resume"):
        prepare(tmp_path, resume=True)


def test_another_folder_is_not_resumed(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(OutputError, match="there is no interrupted run here; leave out --resume"):
        prepare(tmp_path, resume=True)
    with pytest.raises(OutputError, match="Resuming takes the folder of the interrupted run"):
        prepare(None, resume=True)


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(OutputError, match=r"notes\.txt: this is a file; name a folder"):
        prepare(tmp_path / "notes.txt")


@pytest.mark.parametrize("out", ["photos", "photos/run", "photos/ants/deep/run"])
def test_a_folder_within_the_data_is_refused(tmp_path, out):
    (tmp_path / "photos" / "ants").mkdir(parents=True)
    for data in (tmp_path / "photos", {"train": str(tmp_path / "photos")}):
        with pytest.raises(
            OutputError, match="this folder lies within the images .*photos, and would become part of it"
        ):
            prepare(tmp_path / out, images=data)
    assert prepare(tmp_path / "runs", images=tmp_path / "photos", unlabelled="demo:digits") == tmp_path / "runs"


def test_files_of_the_user_under_our_names_are_refused(tmp_path):
    (tmp_path / "labels.txt").write_text("my own")
    (tmp_path / "recipe.yaml").write_text("soup")
    for options in ({"overwrite": True}, {"resume": True}):
        with pytest.raises(OutputError, match="recipe.yaml, labels.txt, and those here were not written by one"):
            prepare(tmp_path, **options)
    interrupted(tmp_path / "run")
    (tmp_path / "run" / "labels.txt").write_text("my own")
    with pytest.raises(OutputError, match="a run writes files named labels.txt"):
        prepare(tmp_path / "run", resume=True)


def test_files_of_a_run_killed_while_it_was_saved_are_ours(tmp_path):
    interrupted(tmp_path)
    (tmp_path / "checkpoints" / "saving").touch()
    (tmp_path / "labels.txt").write_text("ants\n")
    assert prepare(tmp_path, resume=True) == tmp_path


def test_a_folder_of_the_user_named_checkpoints_is_refused(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "epoch_01.keras").touch()
    with pytest.raises(OutputError, match="checkpoints: this was not written by a run of this version"):
        prepare(tmp_path, overwrite=True)


def test_clearing_removes_what_is_ours_and_nothing_else(tmp_path):
    checkpoints = interrupted(tmp_path / "run") / "checkpoints"
    own = ("phase_2.fit", "phase_2.fit.before", "saving", ".phase_3-0123abcd.part", ".phase_3-0123abcd.part.fit")
    for part in ("fold_1", "refit", "fold_2"):
        (checkpoints / part).mkdir()
        (checkpoints / part / "phase_1").touch()
    for name in own:
        (checkpoints / name).touch()
    foreign = ("notes.txt", "phase_1.keras", "fold_1/thesis.tex", "phase_x", ".hidden.part")
    for name in foreign:
        (checkpoints / name).write_text("mine")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "phase_1").write_text("mine")
    (checkpoints / "fold_9").symlink_to(outside)
    (checkpoints / "phase_9").symlink_to(outside / "phase_1")
    run_folder.clear(checkpoints)
    left = {path.relative_to(checkpoints).as_posix() for path in checkpoints.rglob("*") if not path.is_dir()}
    assert left == {*foreign, "lock", "phase_9"}
    assert (checkpoints / "fold_9").is_symlink()
    assert (outside / "phase_1").read_text() == "mine"
    assert not (checkpoints / "refit").exists()


HOLD = """
import sys, pathlib
from kerastune_recipes.run import run_folder
with run_folder.locked(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_lock_keeps_other_processes_out_and_ends_with_its_owner(tmp_path):
    owner = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ}
    )
    assert owner.stdout.readline() == b"held\n"
    with pytest.raises(OutputError, match="another process is working here"), run_folder.locked(tmp_path):
        pass
    owner.kill()
    owner.wait()
    with run_folder.locked(tmp_path):
        pass
