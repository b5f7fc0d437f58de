import pytest

from kerastune_recipes.data.sources.parts import SPLIT_NAMES, UNLABELED_NAMES, ReadResult
from kerastune_recipes.data.split_images import TEST, TRAIN, VALIDATION


@pytest.mark.parametrize(
    ("name", "split"),
    [("train", TRAIN), ("val", VALIDATION), ("valid", VALIDATION), ("validation", VALIDATION), ("test", TEST)],
)
def test_users_may_abbreviate_validation(name, split):
    assert SPLIT_NAMES[name] == split


def test_names_of_splits_and_of_unlabeled_images_do_not_overlap():
    assert not set(SPLIT_NAMES) & set(UNLABELED_NAMES)


def test_a_source_without_images_has_no_parts():
    result = ReadResult("photos", problems=("photos: this folder is empty.",))
    assert (dict(result.parts), result.unlabeled) == ({}, None)
