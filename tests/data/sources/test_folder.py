import pytest

from kerastune_recipes.data.image_formats import SUFFIXES
from kerastune_recipes.data.sources.open import open_dataset
from kerastune_recipes.errors import DataError


def problems(ds, **arguments) -> str:
    with pytest.raises(DataError) as caught:
        open_dataset(ds, **arguments)
    return "\n".join(caught.value.problems)


def test_class_folders_are_read_and_a_fifth_is_held_out(tmp_path, fill):
    dataset = open_dataset(fill(tmp_path, red=10, green=5))
    assert dataset.source == str(tmp_path)
    assert dataset.class_names == ("green", "red")
    assert dataset.train.counts == (4, 8)
    assert dataset.validation.counts == (1, 2)
    assert dataset.test is None
    assert dataset.held_out
    assert not dataset.one_hot_labels
    assert dataset.train.sizes[0].tolist() == [6, 8]
    for index, name in enumerate(dataset.train.names):
        assert name.startswith(dataset.class_names[dataset.train.labels[index]])
        assert dataset.train.read(index)[0, 0].tolist() == ([0, 200, 0] if name.startswith("green") else [200, 0, 0])


@pytest.mark.parametrize("validation", ["validation", "val", "valid"])
def test_split_folders_are_read(tmp_path, fill, validation):
    fill(tmp_path / "train", red=3, green=1)
    fill(tmp_path / validation, red=1, green=2)
    fill(tmp_path / "test", red=2, green=1)
    dataset = open_dataset(str(tmp_path))
    assert dataset.train.counts == (1, 3)
    assert dataset.validation.counts == (2, 1)
    assert dataset.test.counts == (1, 2)
    assert not dataset.held_out
    assert "test/red/1.png" in dataset.test.names


def test_without_validation_folder_some_training_images_are_held_out(tmp_path, fill):
    fill(tmp_path / "train", red=5, green=5)
    fill(tmp_path / "test", red=1, green=1)
    dataset = open_dataset(tmp_path)
    assert (dataset.train.counts, dataset.validation.counts) == ((4, 4), (1, 1))
    assert dataset.held_out
    assert not set(dataset.train.names) & set(dataset.validation.names)


def test_a_class_may_be_called_train(tmp_path, paint):
    for name in ("train", "car"):
        for number in range(2):
            paint(tmp_path / name / f"{number}.png", "red" if name == "car" else "blue")
    assert open_dataset(tmp_path).class_names == ("car", "train")


def test_files_of_file_managers_are_ignored(tmp_path, fill):
    fill(tmp_path, red=2, green=2)
    for leftover in (".DS_Store", "red/.DS_Store", "red/Thumbs.db", "green/desktop.ini"):
        (tmp_path / leftover).touch()
    (tmp_path / ".ipynb_checkpoints").mkdir()
    (tmp_path / "__MACOSX").mkdir()
    assert open_dataset(tmp_path).class_names == ("green", "red")


def test_all_problems_are_reported_together(tmp_path, fill, paint):
    fill(tmp_path, red=2, green=1)
    paint(tmp_path / "lost.jpg")
    paint(tmp_path / "red" / "more" / "1.png")
    (tmp_path / "notes.txt").touch()
    (tmp_path / "red" / "list.csv").touch()
    (tmp_path / "red" / "empty.png").touch()
    (tmp_path / "red" / "torn.jpg").write_bytes(b"\xff\xd8\xff")
    (tmp_path / "blue").mkdir()
    text = problems(tmp_path)
    assert "outside a class folder: lost.jpg; move each into the folder of its class" in text
    assert "folders inside the class folders" in text
    assert "red/more" in text
    assert "files without an image extension: notes.txt, red/list.csv; move them out" in text
    assert "empty.png: this image cannot be read: it is empty (0 bytes)" in text
    assert "torn.jpg: this image cannot be read" in text
    assert "classes without a training image: blue" in text
    assert "classes with one image: green" in text


def test_a_single_class_is_refused(tmp_path, fill):
    assert 'there is only one class, "red"' in problems(fill(tmp_path, red=3))


def test_a_folder_without_class_folders_is_refused(tmp_path, paint):
    paint(tmp_path / "1.png")
    text = problems(tmp_path)
    assert "outside a class folder: 1.png" in text
    assert "there are no training images" in text


def test_an_empty_folder_is_refused(tmp_path):
    assert ": this folder is empty; make a folder for each class, as in ants/1.jpg" in problems(tmp_path)


def test_missing_folder_suggests_a_neighbour(tmp_path):
    (tmp_path / "photos").mkdir()
    assert problems(tmp_path / "photso").endswith('photso: there is no such folder. Did you mean "photos"?')
    assert "away: there is no such folder." in problems(tmp_path / "far" / "away")


def test_a_file_instead_of_a_folder_is_refused(tmp_path, paint):
    assert "1.png: this is a file; give a folder of class folders or a .csv file" in problems(paint(tmp_path / "1.png"))


def test_splits_with_different_classes_are_refused(tmp_path, fill):
    fill(tmp_path / "train", red=2, green=2)
    fill(tmp_path / "test", red=2, blue=2)
    text = problems(tmp_path)
    assert "unknown classes in test: blue; the classes are green, red" in text
    assert "classes missing from test: green" in text


def test_a_class_may_have_no_test_images_if_its_folder_is_there(tmp_path, fill):
    fill(tmp_path / "train", red=2, green=2)
    fill(tmp_path / "test", red=2)
    (tmp_path / "test" / "green").mkdir()
    assert open_dataset(tmp_path).test.counts == (0, 2)


def test_splits_without_a_training_folder_are_refused(tmp_path, fill):
    fill(tmp_path / "val", red=2, green=2)
    fill(tmp_path / "test", red=2, green=2)
    assert ": there is test, val but no train folder" in problems(tmp_path)


def test_unknown_and_duplicate_split_folders_are_refused(tmp_path, fill):
    fill(tmp_path / "train", red=2, green=2)
    fill(tmp_path / "val", red=1, green=1)
    fill(tmp_path / "valid", red=1, green=1)
    (tmp_path / "models").mkdir()
    text = problems(tmp_path)
    assert "two folders of validation images, valid is the second; keep one." in text
    assert "not a split: models; only train, validation, test and unlabeled may be here" in text


def test_the_extensions_of_images_are_those_of_the_formats_that_are_read(tmp_path, fill):
    photos = fill(tmp_path, red=3, green=3)
    for suffix in (*SUFFIXES, ".JPG"):
        (photos / "red" / "0.png").replace(photos / "red" / f"renamed{suffix}")
        names = open_dataset(photos).train.names + open_dataset(photos).validation.names
        assert f"red/renamed{suffix}" in names
        (photos / "red" / f"renamed{suffix}").replace(photos / "red" / "0.png")
    for suffix in (".eps", ".heic", ".jp2", ".pdf"):
        (photos / "red" / f"a{suffix}").touch()
    assert "files without an image extension: red/a.eps, red/a.heic, red/a.jp2, red/a.pdf" in problems(photos)


def test_the_content_of_another_format_is_refused_under_any_extension(tmp_path, fill):
    photos = fill(tmp_path, red=3, green=3)
    (photos / "red" / "a.jpg").write_text("%!PS-Adobe-3.0 EPSF-3.0\n")
    assert problems(photos) == (
        f"{photos}/red/a.jpg: this image cannot be read: it is PostScript, which is not read; convert it to PNG or "
        "JPEG."
    )


def test_many_unreadable_images_are_counted(tmp_path, fill):
    fill(tmp_path, red=2, green=2)
    for number in range(25):
        (tmp_path / "red" / f"bad{number:02}.png").touch()
    with pytest.raises(DataError) as caught:
        open_dataset(tmp_path)
    assert len(caught.value.problems) == 11
    assert caught.value.problems[10].startswith("15 more images cannot be read: red/bad10.png, ")
    assert caught.value.problems[10].endswith("and 5 more.")


@pytest.fixture
def patients(tmp_path, paint):
    """Ten patients with two images of each of two classes."""
    for colour in ("red", "green"):
        for patient in range(10):
            for number in range(2):
                paint(tmp_path / colour / f"patient{patient}" / "left" / f"{number}.png", colour)
    return tmp_path


def patient_of(name: str) -> str:
    return name.split("/")[1]


def test_folders_inside_the_class_folders_are_groups(patients):
    dataset = open_dataset(patients, group_by=1)
    train, validation = dataset.train, dataset.validation
    assert (train.counts, validation.counts) == ((16, 16), (4, 4))
    assert all(name.endswith(("left/0.png", "left/1.png")) for name in train.names)
    # A patient is one group, whatever the class.
    assert not {*map(patient_of, train.names)} & {*map(patient_of, validation.names)}
    for samples in (train, validation):
        assert samples.groups.tolist() == [int(patient_of(name)[-1]) for name in samples.names]
    assert (dataset.facts().groups, dataset.facts().grouped_by) == (10, "folder level 1")


def test_a_group_is_the_name_of_the_folder_at_its_level(patients):
    assert "classes whose images are all in one group: green (left), red (left)" in problems(patients, group_by=2)


def test_wrong_group_levels_are_refused(patients, paint):
    assert f"{patients}: group_by must be the level of a folder" in problems(patients, group_by=0)
    assert "as in ants/patient7/1.jpg; received 0." in problems(patients, group_by=0)
    assert 'received "patient".' in problems(patients, group_by="patient")
    paint(patients / "red" / "patient0" / "9.png")
    text = problems(patients, group_by=2)
    assert "images that are not in a folder of level 2: red/patient0/9.png; group_by counts the folders" in text
    assert "images outside a class folder" not in text


def test_a_group_in_two_splits_is_refused(tmp_path, paint):
    for split, patients in (("train", "abc"), ("val", "d"), ("test", "ce")):
        for colour in ("red", "green"):
            for patient in patients:
                paint(tmp_path / split / colour / patient / "1.png", colour)
    assert problems(tmp_path, group_by=1) == (
        f"{tmp_path}: groups in both test and train: c; keep each group in one split."
    )


def test_groups_of_all_splits_are_numbered_together(tmp_path, paint):
    for split, patients in (("train", "bd"), ("val", "a"), ("test", "c")):
        for colour in ("red", "green"):
            for patient in patients:
                paint(tmp_path / split / colour / patient / "1.png", colour)
    dataset = open_dataset(tmp_path, group_by=1)
    assert [split.groups.tolist() for split in (dataset.train, dataset.validation, dataset.test)] == [
        [1, 3, 1, 3], [0, 0], [2, 2],
    ]  # fmt: skip


def test_unlabeled_images_may_be_at_any_depth(tmp_path, fill, paint):
    photos, pool = fill(tmp_path / "photos", red=5, green=5), tmp_path / "pool"
    for number, place in enumerate(("1.png", "red/2.png", "2024/may/3.png")):
        paint(pool / place, "blue", width=8 + number)
    dataset = open_dataset(photos, unlabeled=pool)
    assert dataset.unlabeled.names == ["1.png", "2024/may/3.png", "red/2.png"]
    assert dataset.unlabeled.sizes.tolist() == [[6, 8], [6, 10], [6, 9]]
    assert dataset.unlabeled.read(2)[0, 0].tolist() == [0, 0, 200]
    assert dataset.facts().unlabeled == 3
    assert dataset.train.counts == (4, 4)
    assert open_dataset(photos).unlabeled is None


@pytest.mark.parametrize("name", ["unlabeled", "unlabelled"])
def test_an_unlabeled_folder_next_to_the_training_folder_is_read(tmp_path, fill, paint, name):
    fill(tmp_path / "train", red=5, green=5)
    paint(tmp_path / name / "week1" / "1.png", "blue")
    dataset = open_dataset(tmp_path)
    assert dataset.class_names == ("green", "red")
    assert dataset.unlabeled.names == [f"{name}/week1/1.png"]
    assert "unlabeled images are given here and separately too; keep one of the two." in problems(
        tmp_path, unlabeled=tmp_path / name
    )


def test_wrong_unlabeled_folders_are_refused(tmp_path, fill, paint):
    photos = fill(tmp_path / "photos", red=2, green=2)
    (tmp_path / "pool").mkdir()
    assert problems(photos, unlabeled=tmp_path / "pol") == (
        f'unlabeled: {tmp_path}/pol: there is no such folder. Did you mean "pool"?'
    )
    assert problems(photos, unlabeled=tmp_path / "pool") == (
        f"{tmp_path}/pool: there are no unlabeled images; add some or leave unlabeled out."
    )
    assert "1.png: this is a file; give a folder of images or a .csv file with a column path." in problems(
        photos, unlabeled=paint(tmp_path / "1.png")
    )
    (tmp_path / "pool" / "notes.txt").touch()
    for name in ("a.png", "b.jpg"):
        (tmp_path / "pool" / name).touch()
    (photos / "red" / "torn.png").touch()
    text = problems(photos, unlabeled=tmp_path / "pool")
    assert "pool: files without an image extension: notes.txt; move them out." in text
    for name in ("pool/a.png", "pool/b.jpg", "red/torn.png"):
        assert f"{name}: this image cannot be read: it is empty (0 bytes)" in text


def test_an_unlabeled_image_that_is_a_labelled_one_is_refused(tmp_path, photos, paint):
    data = photos(tmp_path / "photos", ants=5, bees=5)
    pool = photos(tmp_path / "pool", size=16, any=3)
    assert open_dataset(data, unlabeled=pool).facts().unlabeled == 3
    (pool / "copy.png").write_bytes((data / "bees" / "2.png").read_bytes())
    assert problems(data, unlabeled=pool) == (
        "1 of 4 unlabeled images are labelled images too: copy.png (train: bees/2.png); a model must not learn "
        "from images it is evaluated on, so remove them from the unlabeled images."
    )
    assert problems(data, unlabeled=data).startswith("10 of 10 unlabeled images are labelled images too: ants/0.png")
