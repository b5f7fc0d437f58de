import os
import shutil
import unicodedata

import pytest
from PIL import Image

from kerastune_recipes.data.dataset import dataset_digest
from kerastune_recipes.data.image_formats import SUFFIXES
from kerastune_recipes.data.sources.open import open_dataset
from kerastune_recipes.errors import DataError, DataWarning


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
    with pytest.warns(DataWarning, match="the folder train is read as a class"):
        assert open_dataset(tmp_path).class_names == ("car", "train")


def test_files_of_file_managers_are_left_out_with_a_note(tmp_path, fill, paint):
    fill(tmp_path, red=2, green=2)
    for leftover in (".DS_Store", "red/.DS_Store", "red/Thumbs.db", "green/desktop.ini"):
        (tmp_path / leftover).touch()
    paint(tmp_path / "__MACOSX" / "1.png")
    paint(tmp_path / "red" / "@eaDir" / "0.png")
    dataset = open_dataset(tmp_path)
    assert dataset.class_names == ("green", "red")
    assert dataset.train.counts == (1, 1)
    assert dataset.notes == (
        f"{tmp_path}: left out as hidden or of a file manager: .DS_Store, __MACOSX, green/desktop.ini, red/.DS_Store, "
        "red/@eaDir and 1 more.",
    )


def test_what_is_no_image_is_left_out_with_a_note(tmp_path, fill, paint):
    fill(tmp_path / "train", red=2, green=2)
    fill(tmp_path / "test", red=1, green=1)
    for name in ("LICENSE", "train.csv", "train/README.md", "train/red/0.xml", "annotations/0.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("words")
    dataset = open_dataset(tmp_path)
    assert dataset.class_names == ("green", "red")
    assert dataset.notes == (
        f"{tmp_path}: left out, as they are no images: annotations, train/README.md, train/red/0.xml, LICENSE, "
        "train.csv.",
    )
    paint(tmp_path / "annotations" / "1.png")
    assert "not a split: annotations; only train, validation, test and unlabeled may be here" in problems(tmp_path)


def test_an_image_without_extension_is_read(tmp_path, fill, paint):
    fill(tmp_path / "photos", red=2, green=2)
    paint(tmp_path / "new.png", "red", width=9).rename(tmp_path / "photos" / "red" / "5f3a9c")
    dataset = open_dataset(tmp_path / "photos")
    assert "red/5f3a9c" in (*dataset.train.names, *dataset.validation.names)
    paint(tmp_path / "photos" / "lost.png").rename(tmp_path / "photos" / "lost")
    paint(tmp_path / "new.png", "red", width=9).rename(tmp_path / "photos" / "red" / "5f3a9c.jpg.bak")
    text = problems(tmp_path / "photos")
    assert "outside a class folder: lost; move" in text
    assert "images with the extension of something else: red/5f3a9c.jpg.bak; remove" in text


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
    fill(tmp_path / "models", red=1)
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
    for suffix in (".eps", ".dcm", ".jp2", ".pdf"):
        (photos / "red" / f"a{suffix}").touch()
    text = problems(photos)
    for form, name in (("PostScript", "red/a.eps"), ("DICOM", "red/a.dcm"), ("JPEG 2000", "red/a.jp2")):
        assert f"images in a format that is not read ({form}): {name}; convert them to PNG or JPEG." in text
    assert "a.pdf" not in text


@pytest.mark.skipif(".heic" in SUFFIXES, reason="pillow-heif is installed")
def test_without_its_plugin_heic_is_refused_with_what_to_do(tmp_path, fill):
    photos = fill(tmp_path, red=3, green=3)
    (photos / "red" / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    assert problems(photos) == (
        f"{photos}: images in a format that is not read (HEIC): red/IMG_1.HEIC; convert them to JPEG, or pip install "
        "pillow-heif."
    )
    (photos / "red" / "IMG_1.HEIC").rename(photos / "red" / "IMG_1.JPG")
    assert "it is HEIC, which is not read; convert it to JPEG, or pip install pillow-heif." in problems(photos)


def test_heic_is_read_with_its_plugin(tmp_path, fill):
    pillow_heif = pytest.importorskip("pillow_heif", reason="pillow-heif is not installed")
    photos = fill(tmp_path, red=3, green=3)
    pillow_heif.from_pillow(Image.new("RGB", (9, 6), (200, 0, 0))).save(photos / "red" / "IMG_1.HEIC", quality=-1)
    dataset = open_dataset(photos)
    assert sum(dataset.train.counts) + sum(dataset.validation.counts) == 7
    (photos / "red" / "IMG_2.heic").write_bytes((photos / "red" / "IMG_1.HEIC").read_bytes()[:60])
    assert "IMG_2.heic: this image cannot be read: it begins like HEIC, but its header cannot be read" in problems(
        photos
    )


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
    assert "notes.txt" not in text
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


# Names of folders


@pytest.mark.parametrize(
    ("train", "test"), [("Training", "Testing"), ("train_set", "test_set"), ("TRAIN", "test-images")]
)
def test_splits_have_many_names(tmp_path, fill, train, test):
    fill(tmp_path / train, red=2, green=2)
    fill(tmp_path / test, red=1, green=1)
    dataset = open_dataset(tmp_path)
    assert dataset.class_names == ("green", "red")
    assert (dataset.train.counts, dataset.test.counts) == ((1, 1), (1, 1))


def test_a_folder_that_looks_like_a_split_is_no_class(tmp_path, fill, paint):
    fill(tmp_path, red=2, green=2)
    paint(tmp_path / "test" / "1.png", "blue")
    assert problems(tmp_path).startswith(
        f"{tmp_path}: test looks like a split, not like a class beside green, red; move"
    )
    (tmp_path / "test").rename(tmp_path / "unlabeled")
    assert "and the images in unlabeled count as unlabelled" in problems(tmp_path)


def test_the_only_folder_in_a_folder_is_named(tmp_path, fill):
    fill(tmp_path / "photos" / "photos", red=2, green=2)
    (tmp_path / "photos" / "README.md").touch()
    assert problems(tmp_path / "photos") == f"{tmp_path}/photos: all images are in photos; give this folder."


def test_an_archive_that_holds_itself_is_read_once(tmp_path, fill, paint):
    fill(tmp_path / "chest" / "train", red=2, green=2)
    fill(tmp_path / "chest" / "test", red=1, green=1)
    shutil.copytree(tmp_path / "chest", tmp_path / "chest" / "chest")
    dataset = open_dataset(tmp_path / "chest")
    assert (dataset.train.counts, dataset.test.counts) == ((1, 1), (1, 1))
    assert dataset.notes == (f"{tmp_path}/chest: left out chest, which holds other folders once more.",)
    paint(tmp_path / "chest" / "chest" / "test" / "red" / "new.png", "red")
    assert "not a split: chest" in problems(tmp_path / "chest")


def test_what_the_user_may_have_meant_is_named(tmp_path, paint):
    paint(tmp_path / "1.png")
    (tmp_path / "train.csv").touch()
    assert f"if {tmp_path}/train.csv lists the images, give this file." in problems(tmp_path)
    (tmp_path / "train.csv").rename(tmp_path / "photos.zip")
    assert "unpack photos.zip, and give the folder with the images." in problems(tmp_path)
    (tmp_path / "photos.zip").rename(tmp_path / "train-00000-of-00001.tfrecord")
    assert "to read TFRecord files, name them, as in " in problems(tmp_path)
    (tmp_path / "a.tar").touch()
    assert "a.tar: this is an archive; unpack it, and give the folder" in problems(tmp_path / "a.tar")


def test_classes_named_by_numbers_are_in_their_order(tmp_path, paint):
    for number in range(12):
        for copy in range(2):
            paint(tmp_path / str(number) / f"{copy}.png", ("red", "blue")[copy], width=8 + number)
    dataset = open_dataset(tmp_path)
    assert dataset.class_names == tuple(map(str, range(12)))
    assert dataset.train.sizes[:, 1].tolist() == (8 + dataset.train.labels).tolist()
    test = {"train": tmp_path, "test": ([dataset.train.read(0)], [10])}
    with pytest.warns(DataWarning, match='the label 10 is read as class "10"; where folders are sorted as text, as by'):
        assert open_dataset(test).test.labels.tolist() == [10]


def test_accents_are_stored_in_one_form(tmp_path, fill, paint):
    composed, decomposed = (unicodedata.normalize(form, "M\u00f6we") for form in ("NFC", "NFD"))
    for split, name in (("train", composed), ("test", decomposed)):
        fill(tmp_path / split, green=2)
        for number in range(2):
            paint(tmp_path / split / name / f"{number}.png", "red")
    dataset = open_dataset(tmp_path)
    assert dataset.class_names == (composed, "green")
    assert dataset.test.counts == (2, 2)
    paint(tmp_path / "train" / decomposed / "9.png", "blue")
    with pytest.warns(DataWarning, match="differ only in how accents are stored are one class: M\u00f6we"):
        assert open_dataset(tmp_path).train.counts == (2, 1)


def test_classes_that_differ_only_in_capitals_are_told(tmp_path, photos):
    folder = photos(tmp_path / "photos", Cat=3, cat=3)
    with pytest.warns(DataWarning, match='classes that differ only in capitals: "Cat" and "cat"'):
        dataset = open_dataset(folder)
    assert dataset.class_names == ("Cat", "cat")
    assert "differ only in capitals" in dataset.notes[0]


def test_a_name_that_is_no_utf8_is_shown(tmp_path, fill):
    folder = fill(tmp_path / "photos", red=3, green=3)
    os.rename(folder / "red" / "0.png", os.fsencode(folder) + b"/red/\xff.png")
    dataset = open_dataset(folder)
    assert "red/\\udcff.png" in (*dataset.train.names, *dataset.validation.names)
    dataset_digest(dataset)
    os.rename(folder / "red", os.fsencode(folder) + b"/\xff")
    assert 'class names that are not UTF-8: "\udcff"; rename the class.' in problems(folder)


# Links


def test_links_in_a_circle_are_followed_once(tmp_path, fill):
    photos, pool = fill(tmp_path / "photos", red=3, green=3), fill(tmp_path / "pool", blue=3)
    (pool / "blue" / "again").symlink_to(pool)
    dataset = open_dataset(photos, unlabeled=pool)
    assert dataset.unlabeled.names == ["blue/0.png", "blue/1.png", "blue/2.png"]
    assert dataset.notes == (f"unlabeled: {pool}: left out as links to folders that are read already: blue/again.",)


def test_a_class_that_is_a_link_to_another_is_refused(tmp_path, fill):
    photos = fill(tmp_path / "photos", red=3, green=3)
    (photos / "rouge").symlink_to(photos / "red")
    assert f"{photos}: the class folder rouge is the same folder as red, by a link; remove it." in problems(photos)


def test_a_split_that_is_a_link_to_another_is_refused(tmp_path, fill):
    fill(tmp_path / "train", red=3, green=3)
    (tmp_path / "test").symlink_to(tmp_path / "train")
    assert f"{tmp_path}: train is the same folder as test, by a link; remove it." in problems(tmp_path)


def test_a_class_folder_may_be_a_link_to_somewhere_else(tmp_path, fill):
    fill(tmp_path / "elsewhere", red=3)
    fill(tmp_path / "photos", green=3)
    (tmp_path / "photos" / "red").symlink_to(tmp_path / "elsewhere" / "red")
    assert open_dataset(tmp_path / "photos").class_names == ("green", "red")
