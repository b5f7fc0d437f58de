"""What can be told on one device; tests/test_backends.py runs on two."""

import keras
import numpy as np
import pytest

from kerastune_recipes.devices import data_parallel
from kerastune_recipes.training.batches import LabelledBatches


def batches(count, size):
    return LabelledBatches(np.arange(count, dtype=np.uint8)[:, None], np.arange(count) % 2, 2, size)


def test_one_device_takes_batches_as_they_are():
    given = batches(3, 2)
    assert data_parallel.sharing() == 1
    assert data_parallel.even(given) is given
    assert data_parallel.even(None) is None
    images = np.zeros((2, 4, 4, 3))
    assert data_parallel.shared(images) is images


def test_a_batch_is_filled_up_with_what_weighs_nothing(monkeypatch):
    monkeypatch.setattr(data_parallel, "sharing", lambda: 4)
    even = data_parallel.even(batches(7, 4))
    assert len(even) == 2
    whole, part = even[0], even[1]
    assert whole[2].tolist() == [1, 1, 1, 1]
    images, labels, weights = part
    assert images.ravel().tolist() == [4, 5, 6, 4]
    assert labels.argmax(axis=1).tolist() == [0, 1, 0, 0]
    assert weights == pytest.approx([4 / 3, 4 / 3, 4 / 3, 0])
    # Keras's mean over four of weighted losses is the mean over three.
    loss = keras.losses.CategoricalCrossentropy()
    probabilities = np.array([[0.5, 0.5], [0.9, 0.1], [0.2, 0.8], [0.3, 0.7]], np.float32)
    assert float(loss(labels, probabilities, weights)) == pytest.approx(float(loss(labels[:3], probabilities[:3])))


def test_weights_of_classes_are_kept(monkeypatch):
    monkeypatch.setattr(data_parallel, "sharing", lambda: 2)
    given = batches(3, 4)
    given.balance("weights", np.arange(3) % 2)
    # Two images of one class and one of the other: 3/4 and 3/2; three are filled up to four.
    assert data_parallel.even(given)[0][2] == pytest.approx([1.0, 2.0, 1.0, 0.0])
