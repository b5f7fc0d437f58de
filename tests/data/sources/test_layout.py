"""Folders that look like splits are not taken for classes."""

import pytest

from kerastune_recipes.data.sources.layout import FolderView, doubts, folders_in_classes, problems


def flat(*names) -> list[FolderView]:
    return [FolderView(name, has_images=True) for name in names]


def nested(*names, inside=("ants", "bees")) -> list[FolderView]:
    return [FolderView(name, folders=tuple(inside)) for name in names]


def said(folders, has_images=False, grouped=False) -> str:
    return "\n".join(problems(folders, has_images, grouped))


@pytest.mark.parametrize(
    "names",
    [
        ("ants", "bees"), ("valid", "invalid"), ("Valid", "In-valid"), ("test", "non_test"), ("train", "car"),
        ("validation stamp", "postage"), ("fold", "crease"), ("eval", "other"), (),
    ],
)  # fmt: skip
def test_classes_are_classes(names):
    assert said(flat(*names)) == ""


def test_a_folder_of_test_images_beside_classes_is_a_split():
    assert said(flat("NG", "OK", "test")) == (
        "test looks like a split, not like a class beside NG, OK; move NG, OK into a folder train, and the images in "
        "test into class folders, as in test/NG/1.jpg. If test is a class, rename it; if its images have no labels, "
        "move it out."
    )
    assert said([*flat("NG", "OK"), *nested("Test", inside=("NG", "OK"))]) == (
        "Test looks like a split, not like a class beside NG, OK; move NG, OK into a folder train. If Test is a class, "
        "rename it; if its images have no labels, move it out."
    )


@pytest.mark.parametrize("name", ["unlabeled", "Unlabelled", "unlabeled_images"])
def test_images_without_labels_beside_classes_are_none(name):
    assert said(flat("ants", "bees", name)) == (
        f"{name} looks like a split, not like a class beside ants, bees; move ants, bees into a folder train, and the "
        f"images in {name} count as unlabelled. If {name} is a class, rename it."
    )


@pytest.mark.parametrize(
    "names", [("a", "b", "val"), ("a", "b", "validation"), ("a", "b", "test_set"), ("a", "testing")]
)
def test_other_names_of_splits_count_too(names):
    assert f"{names[-1]} looks like a split" in said(flat(*names))
    assert f"{names[-1]} looks like a split" in said(nested(*names), grouped=True)


def test_a_word_for_a_split_and_for_a_class_is_a_class_with_a_warning():
    assert said(flat("car", "train")) == ""
    assert doubts(flat("car", "train")) == [
        "the folder train is read as a class, though splits have such names; if it is none, move it out, or put it and "
        "the images of the other classes into a folder train."
    ]
    assert doubts(flat("valid", "invalid")) == doubts(flat("ants", "bees")) == []
    assert len(doubts(flat("valid", "torn"))) == 1


def test_splits_without_a_training_split_are_refused():
    assert said(nested("test", "val")) == (
        "there is test, val but no train folder with class folders; add one, as in train/ants/1.jpg."
    )
    assert said(flat("test", "Training")) == (
        "Training holds images but no class folders; move each image into the folder of its class, as in "
        "Training/ants/1.jpg, or list the images in a CSV file with columns path and label."
    )


def test_the_only_folder_is_the_one_to_give():
    assert said(nested("photos")) == "all images are in photos; give this folder."
    assert said(flat("photos")) == ""
    assert said(nested("ants"), grouped=True) == ""
    assert said(nested("photos"), has_images=True) == ""


@pytest.mark.parametrize("grouped", [False, True])
def test_folds_are_no_classes(grouped):
    assert said(nested("fold1", "fold2"), grouped=grouped) == (
        "fold1, fold2 look like parts of a data set, not like classes; name them train, validation and test, or put "
        "images of the same class into one folder."
    )


def test_folders_in_class_folders_may_be_groups_or_classes():
    start = (
        "folders inside the class folders: x; move their images up and remove them, or give group_by=1 (--group-by 1)"
    )
    assert folders_in_classes([*flat("ants"), *nested("bees")], ["x"]) == (
        f"{start} if each holds one group of images."
    )
    assert folders_in_classes(nested("day", "night"), ["x"]) == (
        f"{start} if each holds one group of images; if ants, bees are the classes, and day, night are splits, name "
        "these train, validation and test."
    )
