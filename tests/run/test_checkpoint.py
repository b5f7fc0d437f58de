from dataclasses import replace

import numpy as np
import pytest

from kerastune_recipes.data.sources.open import open_dataset
from kerastune_recipes.errors import OutputError
from kerastune_recipes.planning.resolve import resolve
from kerastune_recipes.run import checkpoint
from kerastune_recipes.spec import catalog

IMAGES = np.arange(20, dtype=np.uint8).reshape(-1, 1, 1, 1) * np.ones((1, 4, 4, 3), np.uint8)
POOL = 100 + IMAGES[:3]


@pytest.fixture
def dataset():
    """Two classes and three images without labels."""
    return open_dataset((IMAGES, np.tile([0, 1], 10)), unlabeled=POOL)


@pytest.fixture
def plan(data_facts, backbone_facts):
    return resolve("small_similar", catalog.load("small_similar"), data_facts, backbone_facts)


def test_an_interrupted_run_goes_on_with_the_same_request(tmp_path, plan, dataset):
    checkpoint.find(tmp_path, plan, dataset, seed=0, resume=False).begin()
    assert checkpoint.find(tmp_path, plan, dataset, seed=0, resume=True).going_on
    assert not checkpoint.find(tmp_path, plan, dataset, seed=0, resume=False).going_on


@pytest.mark.parametrize("change", ["seed", "labels", "groups", "fewer unlabelled", "no unlabelled"])
def test_another_request_is_refused(tmp_path, plan, dataset, change):
    checkpoint.find(tmp_path, plan, dataset, seed=0, resume=False).begin()
    train, seed = dataset.train, 1 if change == "seed" else 0
    other = {
        "labels": replace(dataset, train=replace(train, labels=1 - train.labels)),
        "groups": replace(dataset, train=replace(train, groups=np.arange(len(train)))),
        "fewer unlabelled": replace(dataset, unlabeled=dataset.unlabeled.select(np.arange(2))),
        "no unlabelled": replace(dataset, unlabeled=None),
    }.get(change, dataset)
    with pytest.raises(OutputError, match="had another plan, other data or another seed"):
        checkpoint.find(tmp_path, plan, other, seed, resume=True)
