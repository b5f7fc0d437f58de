"""Outputs of the frozen part, cached for each view of each image."""

import keras
import numpy as np
import pytest

from kerastune_recipes.arrays.files import FileArray
from kerastune_recipes.devices.cluster import Cluster
from kerastune_recipes.devices.workers import Workers
from kerastune_recipes.errors import WorkError
from kerastune_recipes.training import frozen_views
from kerastune_recipes.training.batches import LabelledBatches


def numbered(count, seed=None, augment=None):
    """Return batches of images whose pixels all equal the number of the image."""
    images = np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 8, 8, 3)).copy()
    return LabelledBatches(images, np.arange(count) % 3, 3, 2, seed=seed, augment=augment)


@pytest.fixture
def frozen():
    """A frozen part with two outputs: the image itself and its mean."""
    image = keras.Input((8, 8, 3))
    return keras.Model(image, [keras.layers.ReLU()(image), keras.layers.GlobalAveragePooling2D()(image)])


def test_each_view_has_a_row_for_each_image(frozen):
    def brighter(images, labels, batch):
        brighter.calls += 1
        return images.astype(np.float32) + 100 * ((brighter.calls - 1) // 3), labels / brighter.calls

    brighter.calls = 0
    views = frozen_views.compute(frozen, numbered(5, seed=0, augment=brighter), views=2)
    assert views.values.shape == (2, 5, 8 * 8 * 3 + 3)
    assert views.values.dtype == np.float32
    # Three batches make up a view; the second view is brighter by 100.
    np.testing.assert_allclose(views.values[:, :, -1], [[0, 1, 2, 3, 4], [100, 101, 102, 103, 104]], rtol=1e-6)
    assert (views.labels.argmax(axis=2) == np.arange(5) % 3).all()
    assert sorted(set(views.labels.max(axis=2).ravel())) == pytest.approx([1 / 6, 1 / 5, 1 / 4, 1 / 3, 1 / 2, 1])


def test_epochs_use_the_views_in_turn(frozen):
    def brighter(images, labels, batch):
        brighter.calls += 1
        return images.astype(np.float32) + 100 * ((brighter.calls - 1) // 3), labels

    brighter.calls = 0
    views = frozen_views.compute(frozen, numbered(5, seed=0, augment=brighter), views=2)
    means = []
    for epoch in range(3):
        views.start(epoch)
        means.append([float(mean) for index in range(len(views)) for mean in views[index][0][1][:, 0]])
    assert sorted(means[0]) == sorted(means[2]) == pytest.approx([0, 1, 2, 3, 4])
    assert sorted(means[1]) == pytest.approx([100, 101, 102, 103, 104])
    assert means[0] != means[2]


def test_tensors_keep_their_shapes(frozen):
    (image, mean), _ = frozen_views.compute(frozen, numbered(5), views=1)[1]
    assert (image.shape, mean.shape) == ((2, 8, 8, 3), (2, 3))
    assert (image == np.array([2, 3])[:, None, None, None]).all()


def test_views_over_the_memory_budget_go_to_a_file(frozen):
    views = frozen_views.compute(frozen, numbered(5), views=1, budget_bytes=5 * 195 * 4 - 1)
    assert isinstance(views.values, FileArray)
    np.testing.assert_array_equal(views.values[:], frozen_views.compute(frozen, numbered(5), views=1).values)


def test_a_full_disk_is_reported(frozen, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 0}))
    with pytest.raises(WorkError, match='4 views of 5 images .* give fewer views or write "fresh"'):
        frozen_views.compute(frozen, numbered(5), views=4, budget_bytes=0)


def test_progress_is_called_after_each_batch(frozen):
    ticks = []
    frozen_views.compute(frozen, numbered(5), views=2, progress=lambda: ticks.append(1))
    assert len(ticks) == 6


class FakedWorkers(Workers):
    """The first of two workers; it computes the shard of the second too, where all are gathered."""

    def all_gather(self, work):
        first = work()
        object.__setattr__(self, "cluster", Cluster(self.cluster.addresses, 1))
        second = work()
        object.__setattr__(self, "cluster", Cluster(self.cluster.addresses, 0))
        return [first, second]


def test_workers_compute_shards_of_each_batch(frozen, monkeypatch):
    # Less than a batch at a time, and more than one.
    for gather_bytes in (1, 2 * 4 * 195 * 2):
        monkeypatch.setattr(frozen_views, "_GATHER_BYTES", gather_bytes)
        workers = FakedWorkers(Cluster(("a:1", "b:1"), 0))
        shared = frozen_views.compute(frozen, numbered(5, seed=0), views=1, workers=workers)
        single = frozen_views.compute(frozen, numbered(5, seed=0), views=1)
        np.testing.assert_array_equal(shared.values, single.values)
        np.testing.assert_array_equal(shared.labels, single.labels)
