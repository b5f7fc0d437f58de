"""Callbacks of a fit phase, each on a tiny model."""

import json

import keras
import numpy as np
import pytest

from kerastune_recipes.progress import Display
from kerastune_recipes.training.batches import LabelledBatches
from kerastune_recipes.training.callbacks import EpochLines, EpochOrder, HistoryRecorder, StopAtStep, Ticks


@pytest.fixture
def model():
    """A linear model of images of 2 x 2 pixels and two classes, with plain SGD."""
    model = keras.Sequential([keras.Input((2, 2, 3)), keras.layers.Flatten(), keras.layers.Dense(2, "softmax")])
    model.compile(keras.optimizers.SGD(1e-6), "categorical_crossentropy", metrics=["accuracy"])
    return model


@pytest.fixture
def batches():
    """Three batches of two images each, shuffled."""
    images = np.random.default_rng(0).integers(0, 256, (6, 2, 2, 3), dtype=np.uint8)
    return LabelledBatches(images, np.arange(6) % 2, 2, 2, seed=0)


def halving():
    """A learning rate of 1, halved at each step."""
    return keras.optimizers.schedules.ExponentialDecay(1.0, 1, 0.5)


def test_a_resumed_epoch_has_its_own_order(model, batches):
    batches.start(2)
    third = batches.order.copy()
    batches.start(0)
    callback = EpochOrder(batches)
    callback.on_epoch_begin(2)
    np.testing.assert_array_equal(batches.order, third)


def test_the_phase_stops_within_an_epoch(model, batches):
    model.fit(batches, epochs=5, verbose=0, shuffle=False, callbacks=[StopAtStep(4)])
    assert int(model.optimizer.iterations) == 4


def test_a_resumed_phase_counts_the_steps_before(model, batches):
    model.optimizer.build(model.trainable_variables)
    model.optimizer.iterations.assign(3)
    model.fit(batches, epochs=5, verbose=0, shuffle=False, callbacks=[StopAtStep(4)])
    assert int(model.optimizer.iterations) == 4


def test_a_row_for_each_epoch_with_the_rate_of_its_last_step(model, batches):
    recorder = HistoryRecorder(halving(), None)
    model.fit(batches, epochs=2, verbose=0, shuffle=False, callbacks=[recorder])
    assert [(row["epoch"], row["step"]) for row in recorder.rows] == [(1, 3), (2, 6)]
    assert [row["learning_rate"] for row in recorder.rows] == pytest.approx([1 / 4, 1 / 32])
    assert {"loss", "accuracy"} <= set(recorder.rows[0])


def test_saved_rows_are_read_again_up_to_the_resumed_step(model, batches, tmp_path):
    first = HistoryRecorder(halving(), tmp_path)
    model.fit(batches, epochs=2, verbose=0, shuffle=False, callbacks=[first])
    assert json.loads((tmp_path / "rows.json").read_text()) == first.rows
    model.optimizer.iterations.assign(3)  # the backup is that of the first epoch
    resumed = HistoryRecorder(halving(), tmp_path)
    resumed.set_model(model)
    resumed.on_train_begin()
    assert (resumed.step, resumed.rows) == (3, first.rows[:1])


def test_a_fresh_phase_ignores_old_rows(model, tmp_path):
    (tmp_path / "rows.json").write_text('[{"epoch": 1, "step": 3}]')
    recorder = HistoryRecorder(halving(), tmp_path)
    model.optimizer.build(model.trainable_variables)
    recorder.set_model(model)
    recorder.on_train_begin()
    assert recorder.rows == []


def test_an_infinite_loss_stops_the_training(model):
    recorder = HistoryRecorder(halving(), None)
    recorder.set_model(model)
    model.stop_training = False
    recorder.on_epoch_end(0, {"loss": 0.5})
    assert not model.stop_training
    recorder.on_epoch_end(1, {"loss": float("inf")})
    assert model.stop_training


def test_ticks_count_batches_of_training_and_prediction(model, batches):
    ticks = []
    model.fit(batches, epochs=1, verbose=0, shuffle=False, callbacks=[Ticks(ticks.append)])
    model.predict(np.zeros((4, 2, 2, 3)), batch_size=2, verbose=0, callbacks=[Ticks(ticks.append)])
    assert ticks == [1, 2, 3, 1, 2]


def test_a_line_for_each_epoch(model, batches, capsys):
    lines = EpochLines(Display(), "fine_tuning")
    lines.set_params({"epochs": 2})
    lines.on_epoch_end(0, {"loss": 0.5, "accuracy": 0.75})
    lines.on_epoch_end(1, {"loss": 0.25, "accuracy": 1.0, "val_loss": 0.3, "val_accuracy": 0.5})
    assert capsys.readouterr().err.splitlines() == [
        "  fine_tuning, epoch 1/2: loss 0.500, accuracy 75.0%",
        "  fine_tuning, epoch 2/2: loss 0.250, accuracy 100.0%; validation loss 0.300, accuracy 50.0%",
    ]
