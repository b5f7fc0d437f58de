import numpy as np

from kerastune_recipes.data.batches import Batches, LabelledBatches
from kerastune_recipes.data.spool import FileArray


def numbered(count: int) -> np.ndarray:
    """Images that hold their own number."""
    return np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 4, 4, 3)).copy()


def seen(batches: LabelledBatches) -> list[int]:
    return [int(image[0, 0, 0]) for index in range(len(batches)) for image in batches[index][0]]


def test_in_order_with_a_smaller_last_batch():
    batches = Batches(numbered(5), 2)
    assert [len(batches[index][0]) for index in range(len(batches))] == [2, 2, 1]


def test_mirrored():
    image = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3)
    np.testing.assert_array_equal(Batches(image, 1, mirrored=True)[0][0], image[:, :, ::-1])


def test_every_image_once_an_epoch_in_a_new_order():
    batches = LabelledBatches(numbered(10), np.arange(10), 10, 3, seed=0)
    first = seen(batches)
    batches.on_epoch_end()
    second = seen(batches)
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second


def test_the_seed_decides_the_order():
    one, same, other = (seen(LabelledBatches(numbered(10), np.arange(10), 10, 3, seed=seed)) for seed in (1, 1, 2))
    assert one == same != other


def test_labels_go_with_their_images():
    batches = LabelledBatches(numbered(6), np.arange(6), 6, 4, seed=0)
    images, labels = batches[0]
    np.testing.assert_array_equal(labels.argmax(axis=1), images[:, 0, 0, 0])


def test_images_may_lie_in_a_file():
    stored = FileArray((10, 4, 4, 3), np.uint8)
    stored[:] = numbered(10)
    ordered, expected = Batches(stored, 4, mirrored=True), Batches(numbered(10), 4, mirrored=True)
    shuffled, same = (LabelledBatches(images, np.arange(10), 10, 3, seed=0) for images in (stored, numbered(10)))
    for index in range(3):
        np.testing.assert_array_equal(ordered[index][0], expected[index][0], strict=True)
        np.testing.assert_array_equal(shuffled[index][0], same[index][0], strict=True)


def test_augmentation_is_applied():
    batches = LabelledBatches(numbered(2), np.arange(2), 2, 2, augment=lambda images, labels: (images + 100, labels))
    assert seen(batches) == [100, 101]
