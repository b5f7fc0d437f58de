import tracemalloc

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from kerastune_recipes.data.sources.open import open_dataset
from kerastune_recipes.errors import DataError, DataWarning

TEN = np.repeat([0, 1], 5)


def gray(shape: tuple[int, ...], dtype="uint8") -> np.ndarray:
    """Images whose gray is ten times their index."""
    x = np.zeros(shape, dtype)
    x[:] = 10 * np.arange(shape[0]).reshape(-1, *[1] * (len(shape) - 1))
    return x


def problems(*ds, **arguments) -> str:
    with pytest.raises(DataError) as caught:
        open_dataset(ds, **arguments)
    return "\n".join(caught.value.problems)


@pytest.mark.parametrize("shape", [(10, 6, 8), (10, 6, 8, 1), (10, 6, 8, 3)])
@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32"])
def test_images_of_any_channels_and_type(shape, dtype):
    dataset = open_dataset((gray(shape, dtype), TEN))
    assert dataset.source == "arrays"
    assert dataset.class_names == ("0", "1")
    assert (dataset.train.counts, dataset.validation.counts) == ((4, 4), (1, 1))
    assert dataset.train.sizes.tolist() == [[6, 8]] * 8
    for index, name in enumerate(dataset.train.names):
        pixels = dataset.train.read(index)
        assert pixels.dtype == np.uint8
        assert np.unique(pixels).tolist() == [10 * int(name.removeprefix("image "))]


def test_transparent_pixels_are_blended_with_white():
    images = np.concatenate([np.broadcast_to(gray((10, 2, 2, 3)), (10, 2, 2, 3)), np.zeros((10, 2, 2, 1), np.uint8)], 3)
    images[:, 0, 0, 3] = np.arange(10)
    dataset = open_dataset((images, TEN))
    assert dataset.train.read(0)[1:].min() == 255


@pytest.mark.parametrize("as_object", [False, True])
def test_images_of_different_sizes(as_object):
    images = [np.full((2 + index, 5, 3), 20 * index, np.uint8) for index in range(10)]
    x = images
    if as_object:
        x = np.empty(10, dtype=object)
        x[:] = images
    dataset = open_dataset((x, TEN))
    assert sorted(dataset.train.sizes[:, 0].tolist() + dataset.validation.sizes[:, 0].tolist()) == list(range(2, 12))
    assert dataset.facts().smallest_size == (2, 5)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "CMYK", "P", "I;16"])
def test_images_of_pillow_are_read_by_their_colours(mode):
    colours = np.linspace(0, 255, 10).astype(np.uint8)
    images = [Image.new("RGB", (3, 2), (colour,) * 3) for colour in colours.tolist()]
    if mode == "I;16":
        images = [Image.fromarray(np.full((2, 3), 257 * int(colour), np.uint16)) for colour in colours]
    else:
        images = [image.quantize(2) if mode == "P" else image.convert(mode) for image in images]
    dataset = open_dataset((images, TEN))
    for index, name in enumerate(dataset.train.names):
        assert dataset.train.read(index)[0, 0].tolist() == [colours[int(name.removeprefix("image "))]] * 3


def test_images_of_pillow_are_read_in_the_range_that_is_stated():
    deep = [Image.fromarray(np.array([[4095, 100 * number]], np.uint16)) for number in range(5)]
    floats = [Image.fromarray(np.array([[2000, 100 * number]], np.float32)) for number in range(5)]
    dataset = open_dataset((deep + floats, TEN), pixel_range=(0, 4095))
    assert {int(dataset.train.read(index)[0, 0, 0]) for index in range(8)} == {255, 125}
    text = problems(deep + floats, TEN)
    assert "arrays: image 5: this image cannot be read: its pixels are 32-bit numbers of unknown range" in text


@pytest.mark.parametrize(
    ("y", "one_hot"),
    [
        (TEN, False),
        (TEN.tolist(), False),
        (TEN.reshape(-1, 1), False),
        (TEN.astype("float32"), False),
        (TEN.astype(bool), False),
        (np.eye(2)[TEN], True),
        (np.eye(2, dtype="int8")[TEN], True),
    ],
)
def test_forms_of_labels(y, one_hot):
    dataset = open_dataset((gray((10, 2, 2)), y))
    assert dataset.train.counts == (4, 4)
    assert dataset.train.labels.dtype == np.int64
    assert dataset.one_hot_labels is one_hot


@pytest.mark.parametrize("names", [["wasp"] * 5 + ["ant"] * 5, np.array(["wasp"] * 5 + ["ant"] * 5)])
def test_labels_may_be_names(names):
    dataset = open_dataset((gray((10, 2, 2)), names))
    assert dataset.class_names == ("ant", "wasp")
    assert dataset.train.labels.tolist() == [1] * 4 + [0] * 4


def test_different_numbers_of_images_and_labels_are_refused():
    assert "there are 10 images and 3 labels" in problems(gray((10, 2, 2)), [0, 1, 0])


def test_labels_out_of_range():
    assert "labels out of range: image 1 with -1; give integers of 0 or more" in problems(gray((3, 2, 2)), [0, -1, 1])


def test_labels_from_one_on_are_refused():
    text = problems(gray((10, 2, 2)), TEN + 1)
    assert "classes without a training image: 0" in text
    assert "number the labels from 0 without gaps" in text


def test_labels_that_are_not_integers_are_refused():
    text = problems(gray((3, 2, 2)), [0.0, 0.5, np.nan])
    assert "labels that are not integers: image 1 with 0.5;" in text
    assert "labels missing: image 2; give one for each image" in text


def test_rows_that_are_not_one_hot():
    text = problems(gray((4, 2, 2)), [[1, 0], [0.5, 0.5], [1, 1], [0, 1]])
    assert "not one-hot: image 1 with sum 1, image 2 with sum 2" in text


def test_nan_and_infinite_values_are_refused():
    x = gray((4, 2, 2), "float32")
    x[1, 0, 0], x[3, 1, 1] = np.nan, np.inf
    assert "images with NaN or infinite values: image 1, image 3" in problems(x, [0, 1, 0, 1])


def test_images_scaled_to_one():
    text = problems(gray((10, 2, 2), "float32") / 255, TEN)
    assert "the largest pixel value is 0.352941, so the images seem scaled to 0..1; multiply by 255" in text


def test_images_scaled_to_minus_one():
    x = gray((10, 2, 2), "float32") / 45 - 1
    assert "(from -1 to 1)" in problems(x, TEN)
    assert "undo the scaling, for instance (x + 1) * 127.5" in problems(x, TEN)


def test_values_outside_the_range():
    x = gray((10, 2, 2), "int32")
    x[2, 0, 0] = 256
    assert "images with values outside 0..255 (from 0 to 256): image 2; give raw pixels" in problems(x, TEN)


def test_black_uint8_images_are_accepted():
    assert open_dataset((gray((10, 2, 2)) // 10, TEN)).train.counts == (4, 4)


def test_channels_first_is_refused_with_a_remedy():
    assert "images have shape (10, 3, 8, 8)" in problems(np.zeros((10, 3, 8, 8), np.uint8), TEN)
    assert "move the channel axis last" in problems(np.zeros((10, 3, 8, 8), np.uint8), TEN)


def test_arrays_that_are_not_images_are_refused():
    text = problems([np.zeros((2, 2), np.uint8), np.zeros(7, np.uint8)], [0, 1])
    assert "arrays that are not images: image 1 of shape (7,)" in text


def test_paths_in_arrays_are_refused():
    assert "paths of files go into a DataFrame or CSV file" in problems(np.array(["a.jpg", "b.jpg"]), [0, 1])
    assert "paths of files go into a DataFrame or CSV file" in problems(["a.jpg", "b.jpg", "c.jpg"], [0, 1, 0])


def test_a_single_number_is_refused():
    assert "images have shape ()" in problems(np.float64(3), [0])


def test_ragged_labels_are_refused():
    assert (
        "arrays: images with several labels: image 1 with [1, 2]; an image has one class here, so choose"
        in problems(gray((2, 2, 2)), [[0], [1, 2]])
    )


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, pd.NaT, "", "  ", b""])
@pytest.mark.parametrize("form", [list, pd.Series, lambda labels: np.array(labels, object)])
def test_missing_labels_are_no_class(form, missing):
    labels = ["ant", "bee"] * 4 + [missing, missing]
    assert problems(gray((10, 2, 2)), form(labels)) == (
        "arrays: labels missing: image 8, image 9; give one for each image, or leave these images out."
    )


@pytest.mark.parametrize(
    "labels",
    [
        [0, 1] * 4 + [0.0, np.nan],
        pd.array([0, 1] * 4 + [0, None], dtype="Int64"),
        pd.Series(["ant", "bee"] * 4 + ["ant", None], dtype="string"),
        pd.Categorical(["ant", "bee"] * 4 + ["ant", None]),
        np.ma.array([0, 1] * 5, mask=[0] * 9 + [1]),
        np.array(["2026-01-01"] * 9 + ["NaT"], "datetime64[D]"),
        np.array([[1, 0]] * 9 + [[np.nan, np.nan]]),
    ],
    ids=["float", "Int64", "string", "Categorical", "masked", "datetime", "one-hot"],
)
def test_missing_labels_of_other_types(labels):
    assert "labels missing: image 9;" in problems(gray((10, 2, 2)), labels)


@pytest.mark.parametrize("big", [10**5, 10**9, 2**63, 10**30, 1e300])
def test_ids_as_integer_labels_are_refused_at_once(big):
    tracemalloc.start()
    try:
        text = problems(gray((10, 2, 2)), [0, big] * 5)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert text.startswith("arrays: labels look like ids, with ")
    assert "; give ids as text, such as y.astype(str)." in text
    assert peak < 2**20


def test_missing_labels_of_which_numpy_made_text_are_doubted():
    with pytest.warns(
        DataWarning, match='arrays: labels that may be missing .*: image 5 with "nan", image 6 with "nan"'
    ):
        open_dataset((gray((10, 2, 2)), np.array(["ant"] * 5 + ["nan"] * 5)))


def test_ids_as_text_are_names():
    assert open_dataset((gray((10, 2, 2)), np.repeat([10**9, 5], 5).astype(str))).class_names == ("5", "1000000000")


def test_images_and_labels_are_checked_together():
    text = problems(gray((3, 2, 2), "float32") - 5, [0, -1, 1])
    assert "outside 0..255" in text
    assert "labels out of range" in text


def test_empty_arrays_are_refused():
    assert "there are no training images" in problems(np.zeros((0, 2, 2, 3), np.uint8), np.zeros(0, int))
    assert "there are no training images" in problems([], [])


@pytest.mark.parametrize(
    "groups",
    [np.tile(np.arange(5), 2), np.tile(np.arange(5.0), 2), list("abcde") * 2, np.array(list("abcde") * 2, object)],
)
def test_an_array_groups_the_images(groups):
    dataset = open_dataset((gray((10, 2, 2)), TEN), group_by=groups)
    assert (dataset.train.counts, dataset.validation.counts) == ((4, 4), (1, 1))
    assert not set(dataset.train.groups) & set(dataset.validation.groups)
    assert dataset.facts().grouped_by == "labels given"


@pytest.mark.parametrize(
    ("groups", "problem"),
    [
        (1, "group_by must be an array with the group of each image, numbers or names (n,); received 1."),
        ("patient", 'received "patient".'),
        (np.eye(10), "received a value of type ndarray."),
        ([0, 1, 2], "there are 10 images and 3 group labels; give one for each image."),
        (np.arange(10) / 2, "groups that are neither whole numbers nor names: 0.5, 1.5, 2.5, 3.5, 4.5; give one of"),
        ([None] * 10, "groups missing: image 0, image 1, "),
        ([b"\xff"] * 10, "groups that are neither whole numbers nor names: b'\\xff'; give one of these."),
        (TEN, "classes whose images are all in one group: 0 (0), 1 (1)"),
    ],
)
def test_wrong_groups_are_refused(groups, problem):
    assert problem in problems(gray((10, 2, 2)), TEN, group_by=groups)


@pytest.mark.parametrize(
    "x", [gray((3, 6, 8, 3)) + 1, gray((3, 6, 8)) + 1.0, [np.full((4, 4), 9), np.full((5, 6, 3), 9.0)]]
)
def test_unlabeled_images_are_read(x):
    dataset = open_dataset((gray((10, 6, 8, 3)), TEN), unlabeled=x)
    assert dataset.facts().unlabeled == len(x)
    assert dataset.unlabeled.read(1).shape == (*np.shape(x[1])[:2], 3)


def test_wrong_unlabeled_images_are_refused():
    data = gray((10, 6, 8, 3)), TEN
    assert "unlabeled: arrays: the largest pixel value is 0.2, so the images seem scaled" in problems(
        *data, unlabeled=gray((3, 6, 8, 3), "float32") / 100
    )
    assert "unlabeled: arrays: images have shape (); give" in problems(*data, unlabeled=7)
    assert (
        "2 of 3 unlabeled images are labelled images too: image 1 (train: image 1), image 2 (train: image 2)"
        in problems(*data, unlabeled=np.stack([np.full((6, 8, 3), value, np.uint8) for value in (5, 10, 20)]))
    )
