"""The state of a phase on disk: the newest whole one is taken, and it is saved when due and when a signal asks."""

import os
import signal

import keras
import numpy as np
import pytest

from kerastune_recipes import interruption
from kerastune_recipes.devices.workers import SINGLE
from kerastune_recipes.errors import Interrupted, RequestError
from kerastune_recipes.training import fit, fit_checkpoint
from kerastune_recipes.training.fit import FitOptions
from kerastune_recipes.training.fit_checkpoint import Cadence, FitCheckpoint, FitState, checkpoint_seconds


def state(step):
    arrays = {"variable.3": np.full(4, step, np.float32), "optimizer.0": np.array(step)}
    return FitState(arrays, [("Recorder", {"step": step})], epoch=1, batch=2, step=step, done=False, seconds=0.5)


@pytest.fixture
def said():
    return []


@pytest.fixture
def checkpoint(tmp_path, said):
    return FitCheckpoint(tmp_path / "phase_1.fit", said.append)


def test_the_newest_state_is_loaded(checkpoint):
    assert checkpoint.load() is None
    checkpoint.save(state(1))
    checkpoint.save(state(2))
    loaded = checkpoint.load()
    assert (loaded.step, loaded.epoch, loaded.batch, loaded.done, loaded.seconds) == (2, 1, 2, False, 0.5)
    np.testing.assert_array_equal(loaded.of("variable")["3"], np.full(4, 2, np.float32))
    assert checkpoint.earlier_seconds == 0.5


@pytest.mark.parametrize("damage", ["empty", "torn", "a flipped bit", "gone"])
def test_the_one_before_is_taken_if_the_newest_is_damaged(checkpoint, said, damage):
    checkpoint.save(state(1))
    checkpoint.save(state(2))
    content = bytearray(checkpoint.file.read_bytes())
    if damage == "a flipped bit":
        content[-1] ^= 1
    checkpoint.file.write_bytes({"empty": b"", "torn": content[: len(content) // 2]}.get(damage, content))
    if damage == "gone":
        checkpoint.file.unlink()  # killed between two renames
    assert checkpoint.load().step == 1
    assert len(said) == (damage != "gone")
    assert all("this checkpoint cannot be used" in each for each in said)


def test_without_a_whole_one_the_phase_begins_again(checkpoint, said):
    checkpoint.save(state(1))
    checkpoint.save(state(2))
    for file in checkpoint.files:
        file.write_bytes(b"my thesis")
    assert checkpoint.load() is None
    assert len(said) == 2
    assert "it was not written by this package" in said[0]


def test_a_full_disk_keeps_what_was_there(checkpoint, said, monkeypatch):
    checkpoint.save(state(1))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fit_checkpoint.checksummed_files, "save", full)
    checkpoint.save(state(2))
    assert checkpoint.load().step == 1
    assert said[0].startswith(f"{checkpoint.file}: this checkpoint cannot be written (No space left on device)")


def test_another_worker_writes_nothing(tmp_path):
    FitCheckpoint(tmp_path / "phase_1.fit", writes=False).save(state(1))
    assert list(tmp_path.iterdir()) == []


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_saving_takes_at_most_2_percent_of_the_time():
    clock = Clock()
    cadence = Cadence(SINGLE, clock)
    due = []
    for second in range(1, 201):
        clock.now = float(second)
        if cadence.due(second):
            due.append(second)
            cadence.saved(1.0)
    assert due == [10, 60, 110, 160]


def test_the_user_may_set_the_seconds(monkeypatch):
    monkeypatch.setenv(fit_checkpoint.VARIABLE, "3")
    clock = Clock()
    cadence = Cadence(SINGLE, clock)
    clock.now = 2.9
    assert not cadence.due(1)
    clock.now = 3.0
    assert cadence.due(2)
    cadence.saved(1.0)
    clock.now = 6.0
    assert cadence.due(3)


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "inf"])
def test_seconds_that_are_none(text):
    with pytest.raises(RequestError, match=f"KERASTUNE_CHECKPOINT_SECONDS: .*received {text}"):
        checkpoint_seconds({"KERASTUNE_CHECKPOINT_SECONDS": text})


class TwoWorkers:
    """The first of two workers, which hears its own words."""

    size = 2

    def broadcast(self, work):
        return work()


def test_several_workers_agree_on_the_step_of_the_next_look():
    clock = Clock()
    cadence = Cadence(TwoWorkers(), clock)
    due = []
    for step in range(1, 100):
        clock.now = float(step)  # a step takes a second
        if cadence.due(step):
            due.append(step)
            cadence.saved(0.0)
    # The first look is after 8 steps, the others when ten seconds must have passed.
    assert due[0] <= 12
    assert set(np.diff(due)) <= {10, 11, 12}


class Send(keras.callbacks.Callback):
    """Sends a signal to this process in a step."""

    def __init__(self, at):
        super().__init__()
        self.done = 0
        self.wanted = lambda: self.done == at

    def on_train_batch_end(self, batch, logs=None):
        self.done += 1
        if self.wanted():
            os.kill(os.getpid(), signal.SIGTERM)


def test_a_signal_saves_and_then_ends_the_training(assembled, fit_plan, pictures, checkpoint):
    _, facts, network = assembled()
    options = FitOptions(seed=0, checkpoint=checkpoint, callbacks=[Send(5)])
    with pytest.raises(Interrupted, match="SIGTERM"), interruption.handled():
        fit.fit(network, facts, "only", fit_plan(steps=12), pictures(8, 32), None, options)
    saved = checkpoint.load()
    assert (saved.step, saved.epoch, saved.batch) == (5, 2, 1)


def test_other_callbacks_than_before_are_told(assembled, fit_plan, pictures, checkpoint, said):
    _, facts, network = assembled()
    options = FitOptions(seed=0, checkpoint=checkpoint, callbacks=[Send(3)])
    with pytest.raises(Interrupted), interruption.handled():
        fit.fit(network, facts, "only", fit_plan(steps=4), pictures(8, 32), None, options)
    fitted = fit.fit(
        network, facts, "only", fit_plan(steps=4), pictures(8, 32), None, FitOptions(0, checkpoint=checkpoint)
    )
    assert fitted.steps == 4
    assert (
        "the interrupted phase had HistoryRecorder, Send, StopAtStep; now there are HistoryRecorder, StopAtStep"
        in said[0]
    )
