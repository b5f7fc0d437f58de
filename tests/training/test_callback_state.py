"""What callbacks remember, as plain data."""

import json

import keras
import numpy as np

from kerastune_recipes.training.callback_state import set_state, state_of


def copied(source, target):
    """Set the state of one callback in another, by way of JSON."""
    arrays = {}
    state = json.loads(json.dumps(state_of(source, arrays, "0.")))
    set_state(target, state, arrays)
    return target


def test_early_stopping_remembers_its_best_epoch_and_weights():
    before = keras.callbacks.EarlyStopping(patience=5, restore_best_weights=True)
    before.best, before.wait, before.best_epoch = 0.25, 2, 7
    before.best_weights = [np.ones((2, 3), np.float32), np.array(4, np.int64)]
    after = copied(before, keras.callbacks.EarlyStopping(patience=5, restore_best_weights=True))
    assert (after.best, after.wait, after.best_epoch) == (0.25, 2, 7)
    for one, other in zip(after.best_weights, before.best_weights, strict=True):
        np.testing.assert_array_equal(one, other, strict=True)


def test_early_stopping_compares_in_the_same_direction():
    """Keras flips the sign of min_delta when it first compares; a second flip would turn the rule round."""
    before, after = (keras.callbacks.EarlyStopping(monitor="loss", min_delta=0.1) for _ in range(2))
    before._set_monitor_op()
    copied(before, after)._set_monitor_op()
    assert after.min_delta == before.min_delta == -0.1


class Recorder(keras.callbacks.Callback):
    """A callback of a user's own."""

    def __init__(self):
        super().__init__()
        self.values = [(1, 2.5), {"name": "x", "none": None}]
        self.score = np.float32(0.1)
        self.function = print
        self.objects = [1, object()]


def test_attributes_keep_their_types_and_others_are_left_out():
    source, target = Recorder(), Recorder()
    target.values, target.score, target.objects = None, None, "own"
    assert "function" not in state_of(source, {}, "0.")
    copied(source, target)
    assert target.values == source.values
    assert isinstance(target.values[0], tuple)
    assert isinstance(target.score, np.float32)
    assert target.score == source.score
    assert target.objects == "own"


def test_a_list_that_contains_itself_is_left_out():
    source = Recorder()
    source.values.append(source.values)
    assert "values" not in state_of(source, {}, "0.")


def test_an_attribute_that_is_left_out_leaves_no_array():
    source, arrays = Recorder(), {}
    source.objects = [np.ones(3), object()]
    state_of(source, arrays, "0.")
    assert list(arrays) == ["0.score"]
