"""Batches: order, shards, augmentation and balanced classes."""

import numpy as np
import pytest

from kerastune_recipes.arrays.files import FileArray
from kerastune_recipes.planning.costs import steps_per_epoch
from kerastune_recipes.training.batches import LabelledBatches, LabelledViews


def numbered(count: int) -> np.ndarray:
    """Return images whose pixels all equal the number of the image."""
    return np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 4, 4, 3)).copy()


def seen(batches: LabelledBatches) -> list[int]:
    return [int(image[0, 0, 0]) for index in range(len(batches)) for image in batches[index][0]]


def sizes(batches) -> list[int]:
    return [len(batches[index][1]) for index in range(len(batches))]


def test_without_a_seed_images_keep_their_order():
    batches = LabelledBatches(numbered(5), np.arange(5), 5, 2)
    assert seen(batches) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("images", "batch_size", "expected"),
    [(97, 32, [25, 24, 24, 24]), (96, 32, [32, 32, 32]), (98, 32, [25, 25, 24, 24]), (5, 8, [5]), (3, 1, [1, 1, 1])],
)
def test_no_batch_is_more_than_one_image_smaller_than_another(images, batch_size, expected):
    batches = LabelledBatches(numbered(images), np.arange(images), images, batch_size, seed=0)
    assert sizes(batches) == batches.sizes == expected
    assert len(batches) == steps_per_epoch(images, batch_size)
    assert sorted(seen(batches)) == list(range(images))


def test_no_batch_of_drawn_images_is_much_smaller():
    labels = np.arange(97) % 3
    batches = LabelledBatches(numbered(97), labels, 3, 32, seed=0)
    batches.balance("sampling", labels)
    assert sizes(batches) == [25, 24, 24, 24]
    assert sorted(np.bincount(labels[seen(batches)]).tolist()) == [32, 32, 33]


def test_an_epoch_that_resumes_has_the_batches_it_had():
    whole, resumed = (LabelledBatches(numbered(97), np.arange(97), 97, 32, seed=0) for _ in range(2))
    whole.start(3)
    resumed.start(3, first=1)
    assert sizes(resumed) == [24, 24, 24]
    for index in range(3):
        np.testing.assert_array_equal(resumed.positions(index), whole.positions(index + 1))
    resumed.on_epoch_end()
    assert sizes(resumed) == resumed.sizes == [25, 24, 24, 24]


def test_each_epoch_has_every_image_once_in_a_new_order():
    batches = LabelledBatches(numbered(10), np.arange(10), 10, 3, seed=0)
    first = seen(batches)
    batches.on_epoch_end()
    second = seen(batches)
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second


def test_the_seed_decides_the_order():
    one, same, other = (seen(LabelledBatches(numbered(10), np.arange(10), 10, 3, seed=seed)) for seed in (1, 1, 2))
    assert one == same != other


def test_labels_match_their_images():
    batches = LabelledBatches(numbered(6), np.arange(6), 6, 4, seed=0)
    images, labels = batches[0]
    np.testing.assert_array_equal(labels.argmax(axis=1), images[:, 0, 0, 0])


def test_images_may_be_in_a_file():
    stored = FileArray((10, 4, 4, 3), np.uint8)
    stored[:] = numbered(10)
    shuffled, same = (LabelledBatches(images, np.arange(10), 10, 3, seed=0) for images in (stored, numbered(10)))
    for index in range(3):
        np.testing.assert_array_equal(shuffled[index][0], same[index][0], strict=True)


def test_augmentation_is_applied():
    brighter = lambda images, labels, batch: (images + 100, labels)  # noqa: E731
    batches = LabelledBatches(numbered(2), np.arange(2), 2, 2, augment=brighter)
    assert seen(batches) == [100, 101]


def test_epochs_use_the_views_in_turn():
    values = np.arange(2 * 5 * 3, dtype=np.float32).reshape(2, 5, 3)
    labels = np.stack([np.eye(5, dtype=np.float32), np.eye(5, dtype=np.float32)[::-1]])
    views = LabelledViews(values, [(2, 1), (1,)], labels, batch_size=5, seed=0)
    for view in (0, 1, 0):
        (first, second), mixed = views[0]
        np.testing.assert_array_equal(first[:, :, 0], values[view, :, :2])
        np.testing.assert_array_equal(second, values[view, :, 2:])
        np.testing.assert_array_equal(mixed, labels[view])
        views.on_epoch_end()


def test_batches_of_views_are_those_of_their_images():
    values = np.arange(97, dtype=np.float32).reshape(1, 97, 1)
    views = LabelledViews(values, [(1,)], np.eye(97, dtype=np.float32)[None], batch_size=32, seed=0)
    images = LabelledBatches(numbered(97), np.arange(97), 97, 32, seed=0)
    assert sizes(views) == [25, 24, 24, 24]
    for index in range(4):
        np.testing.assert_array_equal(views[index][0][0].ravel(), images[index][0][:, 0, 0, 0])


def test_any_epoch_can_be_started():
    batches = LabelledBatches(numbered(10), np.arange(10), 10, 3, seed=0)
    batches.on_epoch_end()
    second = seen(batches)
    batches.start(0)
    assert seen(batches) != second
    batches.start(1)
    assert seen(batches) == second


def test_an_epoch_may_begin_within():
    seeds = []
    augment = lambda images, labels, batch: seeds.append(batch) or (images, labels)  # noqa: E731
    batches = LabelledBatches(numbered(10), np.arange(10), 10, 3, seed=0, augment=augment)
    batches.start(2)
    whole = seen(batches)
    batches.start(2, first=1)
    assert len(batches) == 3
    assert seen(batches) == whole[3:]
    assert seeds == [(2, 0), (2, 1), (2, 2), (2, 3), (2, 1), (2, 2), (2, 3)]
    batches.on_epoch_end()
    assert len(batches) == 4


def test_shards_make_up_a_batch():
    batches = LabelledBatches(numbered(10), np.arange(10), 10, 4, seed=0)
    images = sorted(int(image[0, 0, 0]) for worker in range(3) for image in batches.shard(0, worker, 3)[0])
    assert images == batches.positions(0).tolist()
    assert len(batches.shard(2, 3, 4)[0]) == 0  # the last batch has three images


def test_an_example_draws_no_augmentation():
    calls = []
    augment = lambda images, labels, batch: calls.append(1) or (images.astype(np.float32), labels)  # noqa: E731
    batches = LabelledBatches(numbered(3), np.arange(3), 3, 2, augment=augment)
    images, labels = batches.example()
    assert (images.dtype, labels.shape) == (np.float32, (1, 3))
    assert calls == []


LABELS = np.array([0, 1, 1, 1, 2, 2])


def balanced(how, **options):
    batches = LabelledBatches(numbered(6), LABELS, 3, 2, seed=0, **options)
    batches.balance(how, LABELS)
    return batches


def test_weights_are_inversely_proportional_to_class_sizes():
    weights = {}
    batches = balanced("weights")
    for index in range(len(batches)):
        images, _, given = batches[index]
        weights |= dict(zip(images[:, 0, 0, 0].tolist(), given.tolist(), strict=True))
    assert [weights[number] for number in range(6)] == pytest.approx([2, 2 / 3, 2 / 3, 2 / 3, 1, 1])
    assert np.mean(list(weights.values())) == pytest.approx(1)


def test_a_mixed_label_gets_the_mean_weight_of_its_classes():
    def mixed(images, labels, batch):
        return images, np.tile(np.array([[0.7, 0.2, 0.1]], np.float32), (len(labels), 1))

    _, _, weights = balanced("weights", augment=mixed)[0]
    np.testing.assert_allclose(weights, 0.7 * 2 + 0.2 * 2 / 3 + 0.1, rtol=1e-6)


def test_classes_are_drawn_equally_often_in_an_epoch_of_the_same_length():
    batches = balanced("sampling")
    assert len(batches) == 3
    for epoch in range(5):
        batches.start(epoch)
        drawn = np.bincount(seen(batches), minlength=6)
        assert np.bincount(LABELS, weights=drawn).tolist() == [2, 2, 2]
        assert drawn[0] == 2  # the only image of its class
        assert drawn[4:].tolist() == [1, 1]
        assert drawn[1:4].max() == 1


def test_a_random_class_gets_the_remaining_image():
    images, labels = numbered(5), np.array([0, 0, 0, 0, 1])
    batches = LabelledBatches(images, labels, 2, 5, seed=0)
    batches.balance("sampling", labels)
    shares = set()
    for epoch in range(10):
        batches.start(epoch)
        shares.add(int((labels[seen(batches)] == 1).sum()))
    assert shares == {2, 3}


def test_sampling_depends_on_the_seed_and_the_epoch():
    one, same = balanced("sampling"), balanced("sampling")
    drawn = []
    for epoch in range(3):
        one.start(epoch)
        same.start(epoch)
        assert seen(one) == seen(same)
        drawn.append(seen(one))
    assert drawn[0] != drawn[1] != drawn[2]


@pytest.mark.parametrize("how", ["weights", "sampling"])
def test_views_are_balanced_too(how):
    values = np.broadcast_to(np.arange(6, dtype=np.float32)[:, None], (2, 6, 3))
    labels = np.broadcast_to(np.eye(3, dtype=np.float32)[LABELS], (2, 6, 3))
    views = LabelledViews(values, [(3,)], labels, batch_size=6, seed=0)
    views.balance(how, LABELS)
    (numbers,), given, *weights = views[0]
    if how == "weights":
        np.testing.assert_allclose(weights[0], np.array([2, 2 / 3, 2 / 3, 2 / 3, 1, 1])[numbers[:, 0].astype(int)])
    else:
        assert weights == []
        assert given.sum(axis=0).tolist() == [2, 2, 2]
