"""A snapshot undoes a training."""

import keras
import numpy as np

from kerastune_recipes.training.snapshot import snapshot


class Counter(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.steps = 0
        self.losses = []

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1
        self.losses.append(logs["loss"])


def test_variables_and_callbacks_are_as_before():
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(2, use_bias=False), keras.layers.BatchNormalization(), keras.layers.Dropout(0.5)]
    model = keras.Sequential([keras.Input((3,)), *layers])
    model.compile("adam", "mse")
    before = [np.array(variable) for variable in model.variables]
    counter = Counter()
    images = np.random.default_rng(0).random((4, 3))
    undo = snapshot(model, [counter])
    found = []
    for _ in range(2):
        model.fit(images, np.ones((4, 2)), batch_size=2, verbose=0, callbacks=[counter])
        changed = [bool((value != variable).any()) for value, variable in zip(before, model.variables, strict=True)]
        # Weights, statistics and the state of Dropout.
        assert sum(changed) == 6
        assert counter.steps == 2
        found.append(counter.losses)
        undo()
        for value, variable in zip(before, model.variables, strict=True):
            np.testing.assert_array_equal(variable, value)
        assert (counter.steps, counter.losses) == (0, [])
    assert len(found[1]) == 2
