"""Callbacks of a fit phase, each on a tiny model."""

import keras
import numpy as np
import pytest

from kerastune_recipes.devices import replicated
from kerastune_recipes.progress import Display
from kerastune_recipes.training.batches import LabelledBatches
from kerastune_recipes.training.callbacks import (
    EpochLines,
    EpochOrder,
    HistoryRecorder,
    ResumedCallbacks,
    StopAtStep,
    Ticks,
)


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


def test_a_resumed_epoch_has_its_own_order_and_begins_where_it_was_interrupted(batches):
    batches.start(2)
    third = batches.order.copy()
    callback = EpochOrder(batches, resumed_epoch=2, first=1)
    callback.on_epoch_begin(2)
    np.testing.assert_array_equal(batches.order, third)
    assert len(batches) == 2
    callback.on_epoch_begin(3)
    assert len(batches) == 3


class Seen(keras.callbacks.Callback):
    """Records epochs and batches."""

    def __init__(self):
        super().__init__()
        self.batches = []

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        self.batches.append((self.epoch, batch))

    def on_train_batch_end(self, batch, logs=None):
        assert self.batches[-1] == (self.epoch, batch)


@pytest.mark.parametrize("stop", [5, 9])
def test_batches_of_a_resumed_epoch_are_counted_on(model, batches, stop):
    """The first epoch has one batch left of three; the phase ends at the step that is asked for, within or after it."""
    seen = Seen()
    model.optimizer.build(model.trainable_variables)
    model.optimizer.iterations.assign(2)
    given = [EpochOrder(batches, 0, first=2), seen, StopAtStep(stop)]
    callbacks = ResumedCallbacks(given, 2, add_history=True, model=model, epochs=4, steps=3)
    _, data = replicated.distribute(model, batches)
    model.fit(data, epochs=4, verbose=0, callbacks=callbacks)
    expected = [(0, 2), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2)]
    assert seen.batches == expected[: stop - 2]
    assert int(model.optimizer.iterations) == stop


def test_the_phase_stops_within_an_epoch(model, batches):
    model.fit(batches, epochs=5, verbose=0, shuffle=False, callbacks=[StopAtStep(4)])
    assert int(model.optimizer.iterations) == 4


def test_a_resumed_phase_counts_the_steps_before(model, batches):
    model.optimizer.build(model.trainable_variables)
    model.optimizer.iterations.assign(3)
    model.fit(batches, epochs=5, verbose=0, shuffle=False, callbacks=[StopAtStep(4)])
    assert int(model.optimizer.iterations) == 4


def test_a_row_for_each_epoch_with_the_rate_of_its_last_step(model, batches):
    recorder = HistoryRecorder(halving())
    model.fit(batches, epochs=2, verbose=0, shuffle=False, callbacks=[recorder])
    assert [(row["epoch"], row["step"]) for row in recorder.rows] == [(1, 3), (2, 6)]
    assert [row["learning_rate"] for row in recorder.rows] == pytest.approx([1 / 4, 1 / 32])
    assert {"loss", "accuracy"} <= set(recorder.rows[0])


def test_an_infinite_loss_stops_the_training(model):
    recorder = HistoryRecorder(halving())
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
