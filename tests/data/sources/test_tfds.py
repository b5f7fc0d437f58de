import io

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from kerastune_recipes.data.sources.open import open_dataset, open_for_evaluation
from kerastune_recipes.errors import DataError, WorkError

tfds = pytest.importorskip("tensorflow_datasets", reason="TensorFlow Datasets is not installed")

COUNTS = {"train": 10, "validation": 4, "test": 2, "extra": 6}


def png(gray: int, split: str, index: int) -> io.BytesIO:
    """Return an image of one gray that is no copy of another."""
    file, note = io.BytesIO(), PngImagePlugin.PngInfo()
    note.add_text("number", f"{split} {index}")
    Image.fromarray(np.full((6 + gray % 3, 8, 3), gray, np.uint8)).save(file, "PNG", pnginfo=note)
    file.seek(0)
    return file


class Shades(tfds.core.GeneratorBasedBuilder):
    """Even images are dark, odd ones bright."""

    VERSION = tfds.core.Version("1.0.0")
    SPLITS = tuple(COUNTS)
    LABEL = tfds.features.ClassLabel(names=["dark", "bright"])

    def _info(self):
        features = tfds.features.FeaturesDict(
            {"image": tfds.features.Image(shape=(None, None, 3)), "label": self.LABEL, "weight": np.float32}
        )
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in self.SPLITS}

    def _generate_examples(self, split):
        for index in range(COUNTS[split]):
            bright = index % 2
            yield index, {"image": png(200 * bright, split, index), "label": ["dark", "bright"][bright], "weight": 1.0}


class Unnamed(Shades):
    SPLITS = ("train",)
    LABEL = tfds.features.ClassLabel(num_classes=2)

    def _generate_examples(self, split):
        for index in range(COUNTS[split]):
            yield index, {"image": png(200 + index, split, index), "label": index % 2, "weight": 1.0}


class Hands(Unnamed):
    """Five hands drew two images each."""

    def _info(self):
        features = tfds.features.FeaturesDict(
            {"image": tfds.features.Image(shape=(None, None, 3)), "label": self.LABEL, "hand": tfds.features.Text()}
        )
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _generate_examples(self, split):
        for index in range(COUNTS[split]):
            yield index, {"image": png(200 + index, split, index), "label": index % 2, "hand": f"hand {index // 2}"}


class Secret(Shades):
    """The labels of the test images are not published."""

    SPLITS = ("train", "test")

    def _generate_examples(self, split):
        for index in range(COUNTS[split]):
            yield (
                index,
                {"image": png(200 + index, split, index), "label": -1 if split == "test" else index % 2, "weight": 1.0},
            )


class OnlyTest(Shades):
    SPLITS = ("test", "extra")


class OnlyExtra(Shades):
    SPLITS = ("extra",)


class NoLabels(Shades):
    LABEL = tfds.features.Text()


class Offline(Shades):
    def _split_generators(self, dl_manager):
        raise ConnectionError("no network")


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    tfds.display_progress_bar(False)


def problems(ds, **arguments) -> str:
    with pytest.raises(DataError) as caught:
        open_dataset(ds, **arguments)
    return "\n".join(caught.value.problems)


def test_builder_is_prepared_and_its_splits_are_kept(tmp_path):
    dataset = open_dataset(Shades(data_dir=tmp_path))
    assert dataset.source == "tfds:shades"
    assert dataset.class_names == ("dark", "bright")
    assert (dataset.train.counts, dataset.validation.counts, dataset.test.counts) == ((5, 5), (2, 2), (1, 1))
    assert not dataset.held_out
    assert "tfds:shades: splits that are not read: extra." in dataset.notes
    for index, label in enumerate(dataset.train.labels):
        pixels = dataset.train.read(index)
        assert np.unique(pixels).tolist() == [[0], [200]][label]
        assert list(pixels.shape[:2]) == dataset.train.sizes[index].tolist()


def test_a_data_set_is_opened_by_name(capsys):
    dataset = open_dataset("tfds:shades")
    assert capsys.readouterr().out == ""  # Standard output belongs to the caller.
    assert dataset.source == "tfds:shades"
    assert dataset.train.names[0] == "train image 0"


def test_without_validation_split_some_training_images_are_held_out(tmp_path):
    dataset = open_dataset(Unnamed(data_dir=tmp_path))
    assert dataset.class_names == ("0", "1")
    assert (dataset.train.counts, dataset.validation.counts) == ((4, 4), (1, 1))
    assert dataset.held_out
    assert dataset.test is None


def test_a_feature_groups_the_images(tmp_path):
    dataset = open_dataset(Hands(data_dir=tmp_path), group_by="hand")
    assert (dataset.train.counts, dataset.validation.counts) == ((4, 4), (1, 1))
    assert not set(dataset.train.groups) & set(dataset.validation.groups)
    assert dataset.facts().groups == 5


def test_wrong_group_features_are_refused(tmp_path):
    builder = Hands(data_dir=tmp_path)
    assert 'there is no feature "hands"; the features are label, hand. Did you mean "hand"?' in problems(
        builder, group_by="hands"
    )
    assert "group_by must be the name of a feature; received a value of type list." in problems(
        builder, group_by=[1, 2]
    )


def test_an_image_folder_is_read(tmp_path, fill):
    fill(tmp_path / "train", red=5, green=5)
    fill(tmp_path / "val", red=1, green=2)
    dataset = open_dataset(tfds.ImageFolder(str(tmp_path)))
    assert dataset.class_names == ("green", "red")
    assert (dataset.train.counts, dataset.validation.counts) == ((5, 5), (2, 1))
    for index, label in enumerate(dataset.train.labels):
        assert dataset.train.read(index)[0, 0].tolist() == [[0, 200, 0], [200, 0, 0]][label]


def test_classes_named_by_numbers_are_in_their_order(tmp_path, paint):
    for split in ("train", "test"):
        for number in range(12):
            for copy in range(2):
                paint(tmp_path / split / str(number) / f"{copy}.png", ("red", "blue")[copy], width=8 + number)
    dataset = open_dataset(tfds.ImageFolder(str(tmp_path)))
    assert dataset.class_names == tuple(map(str, range(12)))
    for samples in (dataset.train, dataset.test):
        assert samples.sizes[:, 1].tolist() == (8 + samples.labels).tolist()


def test_an_unreadable_file_of_an_image_folder_is_named(tmp_path, fill):
    fill(tmp_path / "train", red=2, green=2)
    (tmp_path / "train" / "red" / "torn.png").touch()
    assert "train/red/torn.png: this image cannot be read: it is empty" in problems(tfds.ImageFolder(str(tmp_path)))


def test_an_unknown_name_is_refused():
    assert 'no data set "shadess". Did you mean "shades"?' in problems("tfds:shadess")


@pytest.mark.parametrize("name", ["shades/huge", "shades:9.9.9", "shades/"])
def test_unknown_configuration_or_version(name):
    assert f"tfds:{name}: TensorFlow Datasets cannot open it: " in problems(f"tfds:{name}")


def test_builder_without_training_split(tmp_path):
    builder = OnlyTest(data_dir=tmp_path)
    assert 'tfds:only_test: there is no "train" among its splits (test)' in problems(builder)
    samples = open_for_evaluation(builder, ("bright", "dark"))
    assert samples.counts == (1, 1)
    assert [samples.read(index).max() for index in np.argsort(samples.labels)] == [200, 0]


def test_secret_labels_are_missing(tmp_path):
    builder = Secret(data_dir=tmp_path)
    expected = "secret test: labels missing: image 0, image 1; give one for each image, or leave these images out."
    assert problems(builder) == expected
    with pytest.raises(DataError, match=expected):
        open_for_evaluation(builder, ("0", "1"))


def test_builder_without_any_split_we_know(tmp_path):
    assert "this has no split train, validation or test; it has extra" in problems(OnlyExtra(data_dir=tmp_path))


def test_features_without_an_image_and_a_label_are_refused(tmp_path):
    assert "there are 1 Image and 0 ClassLabel features among image, label, weight" in problems(
        NoLabels(data_dir=tmp_path)
    )


def test_a_failed_download_is_reported(tmp_path):
    with pytest.raises(
        WorkError, match="tfds:offline: it cannot be downloaded and prepared: ConnectionError: no network"
    ):
        open_dataset(Offline(data_dir=tmp_path))
