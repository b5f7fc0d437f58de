import itertools
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from kerastune_recipes import progress
from kerastune_recipes.data import splits
from kerastune_recipes.data.sources.open import open_dataset, open_for_evaluation
from kerastune_recipes.errors import DataError, DataWarning

NUMBERS = itertools.count()


def pair(*labels, names=None) -> tuple[np.ndarray, np.ndarray]:
    """Return images, none of which is a copy of another, and labels."""
    y = np.array(labels if names is None else [names[label] for label in labels])
    x = np.full((len(y), 4, 4, 3), 100, np.uint8)
    x[:, 0, 0, :2] = [divmod(next(NUMBERS), 256) for _ in y]
    return x, y


def problems(ds, **arguments) -> str:
    with pytest.raises(DataError) as caught:
        open_dataset(ds, **arguments)
    return "\n".join(caught.value.problems)


def test_splits_are_given_as_a_dictionary():
    dataset = open_dataset({"train": pair(0, 0, 1, 1), "val": pair(0, 1), "test": pair(1)})
    assert dataset.source == "{train: arrays, validation: arrays, test: arrays}"
    assert (dataset.train.counts, dataset.validation.counts, dataset.test.counts) == ((2, 2), (1, 1), (0, 1))
    assert not dataset.held_out


def test_without_validation_the_seed_decides_what_is_held_out():
    ds = {"train": pair(*[0, 1] * 20), "test": pair(0, 1)}
    first, again, other = (open_dataset(ds, seed).validation.names for seed in (3, 3, 4))
    assert first == again != other
    assert open_dataset(ds, validation_split=0.5).validation.counts == (10, 10)


def test_fewer_of_very_many_images_are_held_out(monkeypatch):
    monkeypatch.setattr(splits, "ENOUGH", 4)
    monkeypatch.setattr(splits, "ENOUGH_OF_A_CLASS", 1)
    images = pair(*[0, 1] * 20)
    assert open_dataset(images).validation.counts == (2, 2)
    # Groups are the independent judges, and here they are few.
    assert open_dataset(images, group_by=np.arange(40) // 4).validation.counts == (4, 4)
    assert open_dataset(images, validation_split=0.2).validation.counts == (4, 4)


def test_a_share_to_hold_out_needs_images_to_hold_out():
    for share in (0, 1, 1.5, -0.1, "0.1", True, None):
        assert problems(pair(0, 0, 1, 1), validation_split=share) == (
            f"validation_split: give a number between 0 and 1, such as 0.1, or auto; received {share!r}."
        )
    ds = {"train": pair(0, 0, 1, 1), "validation": pair(0, 1)}
    assert problems(ds, validation_split=0.5) == (
        "{train: arrays, validation: arrays}: there are validation images, so validation_split (--validation-split) "
        "holds out none; leave one of the two out."
    )


def test_names_of_classes_are_checked_with_everything_else(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = photos("classes", **{"ants\x1b[2J": 2, "bees\nwasps": 1})
    assert problems(folder) == (
        'classes: class names with control characters or line breaks: "ants\x1b[2J", "bees\nwasps"; rename the class.\n'
        "classes: classes with one image: bees\nwasps; each class needs one to train on and one to hold out for "
        "validation, so add images, leave the class out, or give validation images."
    )
    assert "arrays: labels missing: image 0, image 1; give one" in problems(pair(0, 0, 1, 1, names=("", "bees")))


def test_an_open_dataset_is_returned_unchanged():
    dataset = open_dataset("demo:digits", seed=1)
    assert open_dataset(dataset, seed=2) is dataset


def test_splits_of_different_forms_are_matched_by_name(tmp_path, fill):
    folder = fill(tmp_path, red=3, green=2)
    dataset = open_dataset({"train": pair(0, 0, 1, 1, names=["red", "green"]), "test": folder})
    assert dataset.class_names == ("green", "red")
    assert dataset.test.counts == (2, 3)


def test_numbers_take_the_names_another_split_declares(tmp_path, fill):
    folder = fill(tmp_path, red=3, green=2)
    dataset = open_dataset({"train": folder, "test": pair(0, 1, 1)})
    assert dataset.class_names == ("green", "red")
    assert dataset.test.counts == (1, 2)
    assert "test: labels out of range: image 2 with 2" in problems({"train": folder, "test": pair(0, 1, 2)})


def test_classes_unknown_to_the_training_split_are_refused():
    train = pair(0, 0, 1, 1)
    assert "test: labels out of range: image 0 with 2" in problems({"train": train, "test": pair(2)})
    three = (pair(0, 1)[0], np.eye(3)[[0, 1]])
    assert "test: one-hot labels have 3 columns, but there are 2 classes" in problems({"train": train, "test": three})
    named = pair(0, 1, names=["ant", "wasp"])
    assert "unknown classes in test: ant, wasp; the classes are 0, 1" in problems({"train": train, "test": named})
    assert "unknown classes in test: 0, 1; the classes are ant, wasp" in problems({"train": named, "test": train})


def test_the_training_labels_decide_whether_labels_are_one_hot():
    one_hot = (pair(0, 0, 1, 1)[0], np.eye(2)[[0, 0, 1, 1]])
    assert open_dataset({"train": one_hot, "validation": pair(0, 1)}).one_hot_labels
    assert not open_dataset({"train": pair(0, 0, 1, 1), "validation": one_hot}).one_hot_labels


def test_every_part_is_checked(tmp_path):
    x, y = pair(0, 1)
    text = problems({"train": (x, y[:1]), "tset": (x, y), "test": tmp_path / "absent"})
    assert "train: arrays: there are 2 images and 1 labels" in text
    assert 'tset: there is no such split; write train, validation, test and unlabeled. Did you mean "test"?' in text
    assert "absent: there is no such folder." in text


def test_split_given_twice():
    ds = {"train": pair(0, 1), "val": pair(0, 1), "valid": pair(0, 1)}
    assert problems(ds) == "valid: the validation images are given twice; keep one."


def test_a_split_with_splits_of_its_own_is_refused(tmp_path, fill):
    fill(tmp_path / "train", red=2, green=2)
    fill(tmp_path / "test", red=2, green=2)
    assert "this has splits of its own (test, train); give one of them" in problems({"train": tmp_path})


def test_training_split_must_be_there():
    assert '{test: arrays}: there is no "train" among its splits (test)' in problems({"test": pair(0, 1)})


def test_split_given_without_images():
    assert "there are no test images" in problems(
        {"train": pair(0, 0, 1, 1), "test": (np.zeros((0, 4, 4), np.uint8), np.zeros(0, int))}
    )


def test_one_image_is_enough_where_nothing_is_held_out():
    assert open_dataset({"train": pair(0, 1), "validation": pair(0, 1)}).train.counts == (1, 1)
    assert "classes with one image: 0, 1" in problems({"train": pair(0, 1)})


def test_groups_are_given_for_each_split():
    ds = {"train": pair(*[0, 1] * 5), "test": pair(0, 1)}
    dataset = open_dataset(ds, group_by={"train": list("aabbccddee"), "test": ["f", "f"]})
    assert sorted([*dataset.train.groups, *dataset.validation.groups]) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert dataset.test.groups.tolist() == [5, 5]
    assert dataset.facts().groups == 5
    assert "groups in both train and test: a" in problems(
        ds, group_by={"train": list("aabbccddee"), "test": ["a", "f"]}
    )
    assert 'test: group_by has no "test"; give the groups of each split.' in problems(
        ds, group_by={"train": list("aabbccddee")}
    )


def test_a_level_groups_the_folders_of_every_split(tmp_path, paint):
    for split, patients in (("train", "abc"), ("test", "de")):
        for colour in ("red", "green"):
            for patient in patients:
                paint(tmp_path / split / colour / patient / "1.png", colour)
    ds = {split: tmp_path / split for split in ("train", "test")}
    assert open_dataset(ds, group_by=1).facts().groups == 3
    assert open_for_evaluation(ds, ("green", "red"), group_by=1).counts == (2, 2)


def test_unlabeled_images_are_given_in_the_dictionary(tmp_path, fill):
    pool = fill(tmp_path / "pool", blue=3)
    dataset = open_dataset({"train": pair(0, 0, 1, 1), "unlabeled": pool})
    assert dataset.source == f"{{train: arrays, unlabeled: {pool}}}"
    assert len(dataset.unlabeled) == 3
    assert not hasattr(dataset.unlabeled, "labels")
    train = pair(0, 0, 1, 1)
    assert "unlabelled: the unlabeled images are given twice; keep one." in problems(
        {"train": train, "unlabeled": pool, "unlabelled": pool}
    )
    assert "unlabeled: away: there is no such folder." in problems({"train": train, "unlabeled": "away"})
    assert 'Did you mean "unlabeled"?' in problems({"train": train, "unlabeld": pool})
    fill(tmp_path / "whole" / "train", red=2, green=2)
    fill(tmp_path / "whole" / "unlabeled", blue=2)
    assert "this has splits of its own (train, unlabeled); give one of them" in problems({"train": tmp_path / "whole"})


def test_the_demo_has_no_groups():
    assert "demo:digits: these digits have no groups; remove group_by" in problems("demo:digits", group_by=1)


def test_evaluation_takes_the_test_split_in_the_order_of_the_model(tmp_path, fill):
    fill(tmp_path / "train", red=2, green=2)
    fill(tmp_path / "test", red=1, green=2)
    samples = open_for_evaluation(tmp_path, ("red", "blue", "green"))
    assert samples.class_names == ("red", "blue", "green")
    assert samples.counts == (1, 0, 2)


def test_evaluation_without_test_split_takes_all_images(tmp_path, fill):
    fill(tmp_path / "train", red=2, green=2)
    fill(tmp_path / "val", red=1, green=1)
    assert open_for_evaluation(tmp_path, ("green", "red")).counts == (3, 3)
    assert open_for_evaluation(tmp_path / "val", ("green", "red")).counts == (1, 1)


def test_evaluation_numbers_the_groups_of_all_its_images():
    splits = {"train": pair(0, 1, 1), "validation": pair(1, 0)}
    films = {"train": ["b", "a", "b"], "validation": ["c", "a"]}
    assert open_for_evaluation(splits, ("ant", "wasp"), group_by=films).groups.tolist() == [1, 0, 1, 2, 0]
    test, of_test = {**splits, "test": pair(1, 1)}, {**films, "test": ["d", "c"]}
    assert open_for_evaluation(test, ("ant", "wasp"), group_by=of_test).groups.tolist() == [1, 0]
    assert open_for_evaluation(splits, ("ant", "wasp")).groups is None


def test_evaluation_needs_neither_training_split_nor_every_class():
    samples = open_for_evaluation({"test": pair(1, 1)}, ("ant", "wasp", "bee"))
    assert samples.counts == (0, 2, 0)


def test_evaluation_refuses_classes_unknown_to_the_model(tmp_path, fill):
    with pytest.raises(DataError, match=r"unknown classes in train: red; the classes are reed, green\..*reed"):
        open_for_evaluation(fill(tmp_path, red=2, green=2), ("reed", "green"))
    with pytest.raises(DataError, match="train: labels out of range: image 1 with 2"):
        open_for_evaluation(pair(0, 2), ("ant", "wasp"))
    with pytest.raises(DataError, match="arrays: there are no images to evaluate on"):
        open_for_evaluation(([], []), ("ant", "wasp"))


def test_the_demo_is_opened_by_name():
    dataset = open_dataset("demo:digits")
    assert dataset.class_names == tuple("0123456789")
    assert dataset.train.counts == (8,) * 10
    assert len(dataset.train) + len(dataset.validation) + len(dataset.test) == 1797
    assert "demo:digit: there is no such data set; the only one is demo:digits." in problems("demo:digit")


@pytest.mark.parametrize("ds", [None, 3, np.zeros((3, 4, 4)), (1, 2, 3)])
def test_other_types_are_refused(ds):
    assert "a data set cannot be a" in problems(ds)


def test_pair_of_splits_is_not_images_and_labels(tmp_path):
    assert 'for two splits write {"train": ..., "validation": ...}' in problems((str(tmp_path), str(tmp_path)))


def test_pairs_of_keras_datasets_are_named():
    train, test = pair(0, 0, 1, 1), pair(0, 1)
    expected = (
        'these are 2 pairs of images and labels, as keras.datasets gives them; say which is which: {"train": data[0], '
        '"test": data[1]}, or {"train": data[0], "validation": data[1]}.'
    )
    assert problems((train, test)) == problems((list(train), (test[0], test[1].tolist()))) == expected
    assert problems((train, test, test)).startswith("these are 3 pairs of images and labels")
    images = (np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 9, np.uint8))
    assert "classes with one image" in problems((images, (0, 1)))


def test_pairs_of_other_sources_are_two_splits(tmp_path):
    frame = pd.DataFrame({"path": ["1.png"], "label": ["a"]})
    for one in (tmp_path, str(tmp_path), frame, {"train": pair(0, 1)}):
        assert problems((one, one)).startswith("a pair means images and labels, (x, y); for two splits write")


def test_keys_of_splits_have_many_names():
    dataset = open_dataset({"Training": pair(0, 0, 1, 1), "dev": pair(0, 1), "TEST": pair(1, 0)})
    assert (dataset.train.counts, dataset.validation.counts, dataset.test.counts) == ((2, 2), (1, 1), (1, 1))


def test_a_folder_is_a_folder_whatever_its_name_ends_in(tmp_path, fill):
    for name in ("photos.csv", "photos.tfrecord", "train-00000-of-00001"):
        assert open_dataset(fill(tmp_path / name, red=2, green=2)).class_names == ("green", "red")


def test_errors_of_the_file_system_are_reported(tmp_path):
    assert "cannot be read: File name too long." in problems(tmp_path / ("x" * 5000))
    assert "there is no such folder" in problems(str(tmp_path / "a\0b"))


def test_what_takes_long_is_counted(monkeypatch, capsys):
    tf = pytest.importorskip("tensorflow", reason="TensorFlow is not installed")
    monkeypatch.setattr(progress, "_FIRST_COUNT", 0)
    monkeypatch.setattr(progress, "_LONGEST_WAIT", 0)
    open_dataset(tf.data.Dataset.from_tensor_slices(pair(0, 0, 1, 1)))
    assert "read so far: 4 images of the tf.data.Dataset\n" in capsys.readouterr().err


def test_files_and_arrays_need_neither_tensorflow_nor_keras(tmp_path, fill):
    fill(tmp_path, red=2, green=2)
    program = (
        "import sys; from kerastune_recipes.data.sources.open import open_dataset;"
        "from kerastune_recipes.data.decoding import load;"
        f"load(open_dataset({str(tmp_path)!r}).train, 8);"
        "print([name for name in ('tensorflow', 'keras', 'pandas') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout == "[]\n"


def test_validation_without_every_class_is_refused():
    images, labels = np.zeros((6, 8, 8, 3), np.uint8), np.array([0, 1, 2, 0, 1, 2])
    with pytest.raises(DataError, match="classes without a validation image: 2; .* leave validation out"):
        open_dataset({"train": (images, labels), "validation": (images[:2], labels[:2])})


# The scale of pixels

GRAYS = np.linspace(0, 1, 64).reshape(1, 8, 8)
SCENE = np.concatenate([GRAYS**power for power in np.linspace(0.5, 2, 12)])  # values 0..1
LABELS = np.arange(12) % 2


def saved(root, values, suffix):
    for index, image in enumerate(values):
        path = root / "ab"[index % 2] / f"{index:02}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return root


def twelve_bits(tmp_path):
    return saved(tmp_path / "bits", np.rint(SCENE * 4095).astype(np.uint16), ".png")


def floats(tmp_path):
    return saved(tmp_path / "floats", SCENE.astype(np.float32), ".tif")


def table(tmp_path):
    folder = floats(tmp_path)
    paths = [folder / "ab"[index % 2] / f"{index:02}.tif" for index in range(12)]
    return pd.DataFrame({"path": paths, "label": LABELS})


def tf_data(tmp_path):
    tf = pytest.importorskip("tensorflow", reason="tf.data is TensorFlow's")
    return tf.data.Dataset.from_tensor_slices((SCENE.astype(np.float32), LABELS))


@pytest.mark.parametrize(
    ("make", "pixel_range"),
    [
        (twelve_bits, (0, 4095)),
        (floats, (0, 1)),
        (table, (0, 1)),
        (tf_data, (0, 1)),
        (lambda _: (SCENE, LABELS), (0, 1)),
        (lambda _: (list(SCENE * 2 - 1), LABELS), (-1, 1)),
        (lambda _: (np.rint(SCENE * 15).astype(np.uint8), LABELS), [0, 15]),
    ],
    ids=["folder", "TIFF", "DataFrame", "tf.data", "array", "list", "bytes"],
)
@pytest.mark.filterwarnings("error::UserWarning")
def test_pixels_are_read_in_the_range_that_is_stated(tmp_path, make, pixel_range):
    data = make(tmp_path)
    dataset = open_dataset(data, pixel_range=pixel_range)
    samples = open_for_evaluation(data, dataset.class_names, pixel_range=pixel_range)
    tolerance = 8.5 if pixel_range == [0, 15] else 0.6
    for images in (dataset.train, dataset.validation, samples):
        for index, name in enumerate(images.names):
            number = int("".join(filter(str.isdigit, str(name).rsplit("/", 1)[-1])))
            np.testing.assert_allclose(images.read(index)[:, :, 0], SCENE[number] * 255, atol=tolerance)


def test_unlabeled_images_are_read_in_the_range_that_is_stated(tmp_path):
    pool = floats(tmp_path)
    for unlabeled in (pool, [str(path) for path in sorted(pool.rglob("*.tif"))], SCENE):
        dataset = open_dataset((SCENE**1.1, LABELS), unlabeled=unlabeled, pixel_range=(0, 1))
        assert np.ptp(dataset.unlabeled.read(3)) == 255


@pytest.mark.parametrize(
    ("x", "top"), [(SCENE * 2, 2), (SCENE * 16, 16), (np.rint(SCENE * 15).astype(np.uint8), 15), (list(SCENE * 50), 63)]
)
def test_dark_images_are_told_with_what_was_read(x, top):
    expected = (
        rf"all images are darker than a quarter .* with 255 as white: .* such as pixel_range=\(0, {top}\) "
        rf"\(--pixel-range 0 {top}\)\.$"
    )
    with pytest.warns(DataWarning, match="^arrays: " + expected):
        dataset = open_dataset((x, LABELS))
    assert any(note.startswith("arrays: all images are darker") for note in dataset.notes)
    with pytest.warns(DataWarning, match="^arrays: " + expected):
        open_for_evaluation((x, LABELS), ("0", "1"))
    with pytest.warns(DataWarning, match="test images: " + expected):
        open_dataset({"train": (255 * SCENE, LABELS), "test": (x, LABELS)})


def test_sixteen_bit_files_of_twelve_bits_are_told(tmp_path):
    folder = twelve_bits(tmp_path)
    with pytest.warns(DataWarning, match=r"bits: all 16-bit images are darker .*pixel_range=\(0, 4095\)"):
        open_dataset(folder)
    saved(folder, np.rint(SCENE * 255).astype(np.uint8), ".bmp")  # others are bright
    with pytest.warns(DataWarning, match="all 16-bit images are darker"):
        open_dataset(folder)


def test_each_image_of_a_mix_of_scales_is_named():
    x = 255 * SCENE
    x[[2, 7]] /= 255
    for data in ((x, LABELS), (list(x), LABELS), {"train": (255 * SCENE, LABELS), "test": (x, LABELS)}):
        assert "images of two scales: no value is above 1 in image 2, image 7, and others go up to 255;" in problems(
            data
        )


def test_a_wrong_range_is_refused(tmp_path):
    assert problems((SCENE, LABELS), pixel_range=1).startswith("pixel_range: give two numbers, the values of black")
    assert "images with values outside 0..0.5 (from 0 to 1): image 0, " in problems(
        (SCENE, LABELS), pixel_range=(0, 0.5)
    )
    assert "arrays: all images are black: no value is above a 255th of the stated range 0..65535;" in problems(
        (SCENE, LABELS), pixel_range=(0, 65535)
    )
    some = np.rint(SCENE * 255).astype(np.uint8)
    assert "images with values outside 0..100 (from 0 to 255): image 0, " in problems(
        (some, LABELS), pixel_range=(0, 100)
    )
    with pytest.raises(DataError, match="all images are black"):
        open_for_evaluation((SCENE, LABELS), ("0", "1"), pixel_range=(0, 65535))


# Nothing to learn


def test_training_images_that_are_all_the_same_are_refused(tmp_path):
    same = np.full((12, 6, 6, 3), 200, np.uint8)
    one_colour = (
        "all training images are of the same colour, (200, 200, 200) (transparent pixels are shown on white), so"
    )
    assert one_colour in problems((same, LABELS))
    assert one_colour in problems({"train": (same, LABELS), "validation": (255 * SCENE, LABELS)})
    same[:, 0] = 7
    assert "arrays: all training images are the same, so there is nothing to learn;" in problems((same, LABELS))
    opacity = np.random.default_rng(0).integers(0, 256, (12, 8, 8), dtype=np.uint8)
    logos = saved(tmp_path, np.stack([*[np.full_like(opacity, 255)] * 3, opacity], axis=-1), ".png")
    assert "all training images are of the same colour, (255, 255, 255) (transparent pixels are shown on" in problems(
        logos
    )
