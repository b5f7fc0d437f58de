"""Data parallelism as far as one device shows it; tests/contracts/test_backends.py runs on two."""

import keras
import numpy as np
import pytest

from kerastune_recipes.devices import data_parallel
from kerastune_recipes.training.batches import LabelledBatches


def batches(count, size):
    return LabelledBatches(np.arange(count, dtype=np.uint8)[:, None], np.arange(count) % 2, 2, size)


def test_one_device_takes_batches_unchanged():
    given = batches(3, 2)
    assert data_parallel.device_count() == 1
    assert data_parallel.pad(given) is given
    assert data_parallel.pad(None) is None
    images = np.zeros((2, 4, 4, 3))
    assert data_parallel.shard(images) is images


def test_the_number_of_images_in_a_padded_batch(monkeypatch):
    assert data_parallel.padded(7) == 7
    monkeypatch.setattr(data_parallel, "device_count", lambda: 4)
    assert [data_parallel.padded(images) for images in (1, 4, 5)] == [4, 4, 8]


def test_batches_are_padded_with_weight_zero(monkeypatch):
    monkeypatch.setattr(data_parallel, "device_count", lambda: 4)
    padded = data_parallel.pad(batches(7, 4))
    assert len(padded) == 2
    whole, part = padded[0], padded[1]
    assert whole[2].tolist() == [1, 1, 1, 1]
    images, labels, weights = part
    assert images.ravel().tolist() == [4, 5, 6, 4]
    assert labels.argmax(axis=1).tolist() == [0, 1, 0, 0]
    assert weights == pytest.approx([4 / 3, 4 / 3, 4 / 3, 0])
    # The mean of Keras over four weighted losses equals the mean over three.
    loss = keras.losses.CategoricalCrossentropy()
    probabilities = np.array([[0.5, 0.5], [0.9, 0.1], [0.2, 0.8], [0.3, 0.7]], np.float32)
    assert float(loss(labels, probabilities, weights)) == pytest.approx(float(loss(labels[:3], probabilities[:3])))


def test_class_weights_are_kept(monkeypatch):
    monkeypatch.setattr(data_parallel, "device_count", lambda: 2)
    given = batches(3, 4)
    given.balance("weights", np.arange(3) % 2)
    # Class weights are 3/4 for two images and 3/2 for one; three images are padded to four.
    assert data_parallel.pad(given)[0][2] == pytest.approx([1.0, 2.0, 1.0, 0.0])
