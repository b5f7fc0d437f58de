"""Completed phases on disk: when they are resumed from, and when another run's are refused."""

from dataclasses import replace

import numpy as np
import pytest

from kerastune_recipes.data.sources.open import open_dataset
from kerastune_recipes.errors import CheckpointWarning, OutputError
from kerastune_recipes.planning.plan import Plan
from kerastune_recipes.planning.resolve import resolve
from kerastune_recipes.reporting.outcome import Outcome
from kerastune_recipes.run import checkpoint
from kerastune_recipes.run.checkpoint import Checkpoint, SavedPhase
from kerastune_recipes.run.request import Asked, Request, images_of
from kerastune_recipes.spec import catalog

IMAGES = np.arange(20, dtype=np.uint8).reshape(-1, 1, 1, 1) * np.ones((1, 4, 4, 3), np.uint8)
RECIPE = catalog.load("small_similar")
OUTCOME = Outcome("solved", "solve", 1.5, 0, 10, 20, {"log_loss": 0.5}, {"strength": 1.0}, ())
THIRDS = np.full((2, 3), 1 / 3, np.float32)
SAVED = SavedPhase(OUTCOME, {"3": np.arange(4, dtype=np.float32)}, THIRDS, THIRDS / 2)


@pytest.fixture
def request_now(data_facts, backbone_facts):
    plan = resolve("small_similar", RECIPE, data_facts, backbone_facts)
    images, digests = images_of(open_dataset((IMAGES, np.tile([0, 1], 10))))
    asked = Asked("small_similar", RECIPE.to_data(), {"data": None})
    return Request(asked, plan.to_data(), 0, "tensorflow", images, {"Tiny": "ab"}, {"keras": "3.15.1"}, digests)


@pytest.fixture
def begin(tmp_path, request_now):
    """Return a function that begins a run in a folder."""

    def begun():
        run = checkpoint.find(tmp_path, resume=False)
        run.compare(request_now)
        run.begin()
        return run

    return begun


@pytest.fixture
def again(tmp_path):
    """Return a function that resumes the run, after its process has ended."""

    def resume(run):
        run.close()
        return checkpoint.find(tmp_path, resume=True)

    return resume


def test_an_interrupted_run_resumes_with_the_plan_that_it_made(begin, again, request_now):
    resumed = again(begin())
    assert resumed.resumes
    plan = resumed.plan_of(RECIPE)
    assert isinstance(plan, Plan)
    assert plan.to_data() == request_now.plan
    resumed.compare(request_now)
    assert resumed.notes == []


def test_another_recipe_or_seed_is_refused(begin, again, request_now):
    resumed = again(begin())
    other = type(RECIPE).from_data({**RECIPE.to_data(), "refit": "none"}, "small_similar")
    with pytest.raises(OutputError, match=r"the interrupted run began with something else: refit was .* and is none\."):
        resumed.plan_of(other)
    with pytest.raises(OutputError, match="the seed was 0 and is 1"):
        resumed.compare(replace(request_now, seed=1))


def test_other_versions_are_noted(begin, again, request_now):
    resumed = again(begin())
    resumed.compare(replace(request_now, surroundings={"keras": "3.16.0"}))
    assert resumed.notes[0].startswith("Resumed under other conditions: keras was 3.15.1 and is 3.16.0;")


def test_completed_phases_come_back(begin, again):
    run = begin()
    run.save(1, SAVED)
    (loaded,) = (resumed := again(run)).completed()
    assert loaded.outcome == OUTCOME
    np.testing.assert_array_equal(loaded.changes["3"], SAVED.changes["3"])
    np.testing.assert_array_equal(loaded.probabilities, SAVED.probabilities)
    np.testing.assert_array_equal(loaded.cross_fitted, SAVED.cross_fitted)
    assert resumed.earlier_seconds == 1.5


def test_a_damaged_phase_runs_again_and_so_do_those_after_it(begin, again, tmp_path):
    run = begin()
    for position in (1, 2, 3):
        run.save(position, SAVED)
    file = tmp_path / "checkpoints" / "phase_2"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.warns(CheckpointWarning, match=r"phase_2: this checkpoint cannot be used .*; its phase runs again"):
        assert len(list(again(run).completed())) == 1


def test_one_damaged_request_is_no_loss_and_two_are_said(begin, again, tmp_path):
    run = begin()
    (tmp_path / "checkpoints" / "request").write_bytes(b"")
    assert again(run).resumes
    (tmp_path / "checkpoints" / "request.copy").write_bytes(b"")
    with pytest.raises(OutputError, match="request: this file cannot be used.*it is empty"):
        again(run)


def test_a_full_disk_ends_no_run(begin, monkeypatch):
    run = begin()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.checksummed_files, "save", full)
    with pytest.warns(CheckpointWarning, match="cannot be written .No space left on device.; the run continues"):
        run.save(1, SAVED)


def test_a_part_has_its_own_phases_and_begins_the_whole_run(begin, again, tmp_path, request_now):
    run = checkpoint.find(tmp_path, resume=False)
    run.compare(request_now)
    part = run.part("fold_1")
    part.begin()
    part.save(1, SAVED)
    resumed = again(run)
    assert list(resumed.completed()) == []
    assert len(list(resumed.part("fold_1").completed())) == 1
    assert resumed.earlier_seconds == 1.5


def test_beginning_twice_removes_nothing(begin, again):
    run = begin()
    run.save(1, SAVED)
    run.begin()
    run.part("fold_1").begin()
    assert len(list(again(run).completed())) == 1


def test_a_new_run_replaces_an_interrupted_one(begin, again):
    run = begin()
    run.save(1, SAVED)
    run.close()
    assert list(again(begin()).completed()) == []


def test_a_second_process_is_refused(begin, tmp_path):
    run = begin()
    with pytest.raises(OutputError, match="another process is working here"):
        checkpoint.find(tmp_path, resume=True)
    with pytest.raises(OutputError, match="another process is working here"):
        begin()
    run.close()


def test_removing_leaves_an_empty_folder(begin, tmp_path):
    run = begin()
    run.save(1, SAVED)
    run.begin_saving()
    run.remove()
    assert list(tmp_path.iterdir()) == []


def test_without_a_folder_nothing_is_kept():
    nowhere = Checkpoint(None)
    nowhere.begin()
    nowhere.save(1, SAVED)
    assert list(nowhere.completed()) == []
    assert nowhere.part("fold_1").of_fit(1) is None
    nowhere.remove()
