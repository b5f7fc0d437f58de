import pytest

from kerastune_recipes.data.sources.parts import ReadResult, is_unclear_part, split_of
from kerastune_recipes.data.split_images import TEST, TRAIN, UNLABELED, VALIDATION


@pytest.mark.parametrize(
    ("split", "names"),
    [
        (
            TRAIN,
            ("train", "Train", "TRAINING", "training_set", "train-images", "train data", "train2017", "Training Set"),
        ),
        (VALIDATION, ("val", "valid", "validation", "Val", "validation_set", "val2017", "dev", "valid-data")),
        (TEST, ("test", "Testing", "test_set", "TEST_IMAGES", "test.data")),
        (UNLABELED, ("unlabeled", "unlabelled", "Unlabeled", "unlabelled_images")),
        (None, ("ants", "trainer", "set", "images", "latest", "2017", "", "invalid", "protest", "train1", None, 3)),
    ],
)
def test_users_have_many_names_for_the_splits(split, names):
    assert {name: split_of(name) for name in names} == dict.fromkeys(names, split)


def test_some_names_of_parts_do_not_say_which_split_they_are():
    parts = ("fold1", "Fold 2", "fold_10", "split0", "trainval", "eval", "hold-out")
    assert [name for name in parts if not is_unclear_part(name)] == []
    assert [name for name in ("folder", "folding chair", "ants", "parts", "train") if is_unclear_part(name)] == []


def test_a_source_without_images_has_no_parts():
    result = ReadResult("photos", problems=("photos: this folder is empty.",))
    assert (dict(result.parts), result.unlabeled) == ({}, None)
