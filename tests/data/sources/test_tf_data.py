import tracemalloc

import numpy as np
import pytest
from PIL import Image

from kerastune_recipes.arrays import memory
from kerastune_recipes.arrays.memory import Budget
from kerastune_recipes.data import decoding
from kerastune_recipes.data.sources.open import open_dataset
from kerastune_recipes.errors import DataError

tf = pytest.importorskip("tensorflow", reason="tf.data is TensorFlow's")

TEN = np.repeat([0, 1], 5)
IMAGES = np.broadcast_to(np.arange(10, dtype=np.uint8).reshape(-1, 1, 1, 1) * 10, (10, 6, 8, 3))


def slices(x=IMAGES, y=TEN):
    return tf.data.Dataset.from_tensor_slices((x, y))


def problems(ds) -> str:
    with pytest.raises(DataError) as caught:
        open_dataset(ds)
    return "\n".join(caught.value.problems)


@pytest.mark.parametrize("batch", [None, 4])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("one_hot", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_datasets_are_read_batched_or_not(batch, dtype, one_hot, channels):
    ds = slices(IMAGES[..., :channels].astype(dtype), np.eye(2)[TEN] if one_hot else TEN)
    dataset = open_dataset(ds if batch is None else ds.batch(batch))
    assert dataset.source == "tf.data.Dataset"
    assert (dataset.train.counts, dataset.validation.counts) == ((4, 4), (1, 1))
    assert dataset.one_hot_labels is one_hot
    assert dataset.train.sizes.tolist() == [[6, 8]] * 8
    for index, name in enumerate(dataset.train.names):
        assert np.unique(dataset.train.read(index)).tolist() == [10 * int(name.removeprefix("image "))]


@pytest.mark.parametrize("batch", [None, 4])
def test_gray_images_without_a_channel_axis(batch):
    ds = slices(IMAGES[..., 0])
    assert open_dataset(ds if batch is None else ds.batch(batch)).train.sizes.tolist() == [[6, 8]] * 8


@pytest.mark.parametrize("ragged", [False, True])
def test_images_of_different_sizes(ragged):
    def generate():
        for index in range(10):
            yield np.full((2 + index, 5, 3), index, np.uint8), index % 2

    spec = (tf.TensorSpec((None, 5, 3), tf.uint8), tf.TensorSpec((), tf.int64))
    ds = tf.data.Dataset.from_generator(generate, output_signature=spec)
    dataset = open_dataset(ds.ragged_batch(3) if ragged else ds)
    sizes = np.concatenate([dataset.train.sizes, dataset.validation.sizes])
    assert sorted(sizes[:, 0].tolist()) == list(range(2, 12))


@pytest.fixture
def large():
    """Return 400 noisy images of different sizes, 35 MB, as arrays and as a dataset."""

    def draw(index):
        return np.random.default_rng(index).integers(0, 256, (150 + index % 7, 200 - index % 5, 3), dtype=np.uint8)

    spec = (tf.TensorSpec((None, None, 3), tf.uint8), tf.TensorSpec((), tf.int64))
    ds = tf.data.Dataset.from_generator(
        lambda: ((draw(index), index % 2) for index in range(400)), output_signature=spec
    )
    return draw, ds


@pytest.mark.parametrize("limit", [0, 9 * 2**20])
def test_images_over_budget_are_in_a_file(limit, large, monkeypatch):
    draw, ds = large
    monkeypatch.setattr(memory, "SHARED", Budget(limit))
    tracemalloc.start()
    try:
        dataset = open_dataset(ds)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < limit + 5 * 2**20
    assert dataset.train.counts == (160, 160)
    for index, name in list(enumerate(dataset.train.names))[::20]:
        np.testing.assert_array_equal(dataset.train.read(index), draw(int(name.removeprefix("image "))))
    # Threads that decode read in parallel.
    pixels = decoding.load(dataset.train, size=32, threads=4, budget_bytes=0)
    np.testing.assert_array_equal(pixels[:], decoding.load(dataset.train, size=32, threads=1, budget_bytes=2**30))


def test_problems_are_reported_although_no_memory_is_left(monkeypatch):
    monkeypatch.setattr(memory, "SHARED", Budget(0))
    x = IMAGES.astype("float32")
    x[3], x[9, 0, 0, 0] = -1, 300
    assert "outside 0..255 (from -1 to 300): image 3, image 9" in problems(slices(x))


def test_dark_float_images_are_rounded():
    x = IMAGES.astype("float32")
    x[0] = 0.7
    dataset = open_dataset(slices(x))
    every = [*dataset.train.names, *dataset.validation.names]
    reads = [*map(dataset.train.read, range(8)), *map(dataset.validation.read, range(2))]
    assert reads[every.index("image 0")].max() == 1


def test_shuffled_images_keep_their_labels():
    dataset = open_dataset(slices().shuffle(10))
    for index, label in enumerate(dataset.train.labels):
        assert dataset.train.read(index)[0, 0, 0] // 50 == label


def _mark(folder):
    """Give each image of one colour another last pixel, so that none is a copy of another."""
    for number, path in enumerate(sorted(folder.glob("*/*.png"))):
        image = Image.open(path).convert("RGB")
        image.putpixel((7, 5), (number, number, number))
        image.save(path)


def test_class_names_of_image_dataset_from_directory_are_used(tmp_path, fill):
    keras = pytest.importorskip("keras")
    fill(tmp_path, red=6, green=4)
    _mark(tmp_path)
    ds = keras.utils.image_dataset_from_directory(
        tmp_path, image_size=(6, 8), batch_size=3, label_mode="categorical", verbose=False
    )
    dataset = open_dataset(ds)
    assert dataset.class_names == ("green", "red")
    assert dataset.one_hot_labels
    for index, label in enumerate(dataset.train.labels):
        assert dataset.train.read(index)[0, 0].tolist() == [[0, 200, 0], [200, 0, 0]][label]
    # prefetch() loses the names: here the other split still knows them.
    assert open_dataset({"train": ds, "test": ds.prefetch(1)}).test.counts == (4, 6)


def test_binary_labels_of_keras(tmp_path, fill):
    keras = pytest.importorskip("keras")
    fill(tmp_path, red=2, green=2)
    _mark(tmp_path)
    ds = keras.utils.image_dataset_from_directory(tmp_path, image_size=(6, 8), label_mode="binary", verbose=False)
    assert open_dataset(ds).train.counts == (1, 1)


def test_labels_may_be_names():
    assert open_dataset(slices(y=np.array(["wasp"] * 5 + ["ant"] * 5)).batch(3)).class_names == ("ant", "wasp")


@pytest.mark.parametrize("batch", [None, 3])
def test_text_labels_are_the_same_batched_or_not(batch):
    ds = slices(y=np.array([b"na"] * 5 + [b"ci"] * 5))
    assert open_dataset(ds if batch is None else ds.batch(batch)).class_names == ("ci", "na")


@pytest.mark.parametrize("batch", [None, 3])
@pytest.mark.parametrize("labels", [["ci", ""] * 5, [0.0, np.nan] * 5])
def test_missing_labels_are_no_class(batch, labels):
    ds = slices(y=np.array(labels))
    text = problems(ds if batch is None else ds.batch(batch))
    assert text == (
        "tf.data.Dataset: labels missing: image 1, image 3, image 5, image 7, image 9; give one for each image, or "
        "leave these images out."
    )


@pytest.mark.parametrize("batch", [None, 5])
def test_several_labels_an_image_are_refused(batch):
    ragged, rows = slices(y=tf.ragged.constant([["a"], ["a", "b"]] * 5)), slices(y=[["a", "b"]] * 10)
    for ds in (ragged, rows):
        text = problems(ds if batch is None else ds.batch(batch))
        assert "tf.data.Dataset: images with several labels: " in text
        assert "image 1 with ['a', 'b']" in text


def test_bytes_that_are_no_text_are_refused():
    assert "labels that are not UTF-8 text: image 0;" in problems(
        slices(y=np.array([b"\xff"] + [b"a", b"b", b"b"] * 3))
    )


def test_ids_as_labels_are_refused():
    assert "tf.data.Dataset: labels look like ids, with 1000000000 as" in problems(slices(y=10**9 * TEN))


def test_labels_out_of_range_of_the_class_names():
    ds = slices(y=TEN + 1)
    ds.class_names = ["ant", "wasp"]
    assert "image 5 with 2, image 6 with 2" in problems(ds)
    assert "integers from 0 to 1, as there are 2 classes" in problems(ds)


def test_images_scaled_to_one():
    assert "multiply by 255" in problems(slices(IMAGES.astype("float32") / 255).batch(4))


def test_values_that_are_not_pixels_are_refused():
    x = IMAGES.astype("float32")
    x[3], x[5, 0, 0, 0] = np.nan, 300
    text = problems(slices(x))
    assert "NaN or infinite values: image 3" in text
    assert "outside 0..255 (from 0 to 300): image 5" in text


def test_elements_that_are_not_pairs_are_refused():
    assert "its elements are tuples of 3; map them to (image, label)" in problems(
        tf.data.Dataset.from_tensor_slices((IMAGES, TEN, TEN))
    )
    assert "its elements are of type dict; map them to (image, label)" in problems(
        tf.data.Dataset.from_tensor_slices({"image": IMAGES})
    )


def test_channels_first_are_refused_batched_or_not():
    ds = slices(np.moveaxis(IMAGES, 3, 1), np.eye(2)[TEN])
    assert "image 0 of shape (3, 6, 8), " in problems(ds)
    assert "(move the channel axis last)" in problems(ds)
    assert "of shape (3, 6, 8)" in problems(ds.batch(4))
    with pytest.raises(DataError, match="move the channel axis last"):
        open_dataset(slices(), unlabeled=ds.map(lambda image, _: image))


def test_pairs_with_something_else_than_tensors_are_refused():
    ds = tf.data.Dataset.from_tensor_slices((IMAGES, {"label": TEN}))
    assert "its elements are pairs with dict; map them to (image, label)" in problems(ds)
    ds = tf.data.Dataset.from_tensor_slices(TEN).map(lambda label: (None, label))
    assert "its elements are pairs with NoneTensorSpec; map them to (image, label)" in problems(ds)


def test_an_endless_dataset_is_refused():
    assert "it never ends; leave out repeat()" in problems(slices().repeat())


def test_an_error_in_the_pipeline_is_reported():
    ds = tf.data.Dataset.from_tensor_slices(([b"torn"], [0])).map(lambda data, y: (tf.io.decode_jpeg(data), y))
    assert "tf.data.Dataset: it failed after 0 images" in problems(ds)


def test_pair_of_datasets_is_not_images_and_labels():
    assert 'for two splits write {"train": ..., "validation": ...}' in problems((slices(), slices()))


def test_an_array_groups_the_images_in_their_order():
    dataset = open_dataset(slices().batch(4), group_by=np.tile(np.arange(5), 2))
    assert (dataset.train.counts, dataset.validation.counts) == ((4, 4), (1, 1))
    assert not set(dataset.train.groups) & set(dataset.validation.groups)


@pytest.mark.parametrize("batch", [None, 4])
@pytest.mark.parametrize("with_label", [False, True])
@pytest.mark.parametrize("channels", [None, 1, 3])
def test_unlabeled_images_are_read(batch, with_label, channels):
    x = IMAGES[..., 0] if channels is None else IMAGES[..., :channels]
    ds = slices(x + 1) if with_label else tf.data.Dataset.from_tensor_slices(x + 1)
    dataset = open_dataset(slices(), unlabeled=ds if batch is None else ds.batch(batch))
    assert dataset.unlabeled.sizes.tolist() == [[6, 8]] * 10
    assert [int(dataset.unlabeled.read(index).max()) for index in range(10)] == list(range(1, 100, 10))


def test_wrong_unlabeled_datasets_are_refused():
    images = tf.data.Dataset.from_tensor_slices({"image": IMAGES})
    with pytest.raises(DataError, match="its elements are of type dict; map them to images"):
        open_dataset(slices(), unlabeled=images)
    with pytest.raises(DataError, match=r"unlabeled: tf\.data\.Dataset: it never ends"):
        open_dataset(slices(), unlabeled=slices().repeat())
