"""Completed phases on disk: when they are resumed from, and when another run's are refused."""

from dataclasses import replace

import numpy as np
import pytest

from kerastune_recipes.data.sources.open import open_dataset
from kerastune_recipes.errors import OutputError
from kerastune_recipes.planning.resolve import resolve
from kerastune_recipes.reporting.outcome import Outcome
from kerastune_recipes.run import checkpoint
from kerastune_recipes.run.checkpoint import Checkpoint
from kerastune_recipes.spec import catalog

IMAGES = np.arange(20, dtype=np.uint8).reshape(-1, 1, 1, 1) * np.ones((1, 4, 4, 3), np.uint8)
POOL = 100 + IMAGES[:3]
RECIPE = catalog.load("small_similar")
OUTCOME = Outcome("solved", "solve", 1.0, 0, 10, 20, {"log_loss": 0.5}, {"strength": 1.0}, ())


@pytest.fixture
def dataset():
    """Two classes and three images without labels."""
    return open_dataset((IMAGES, np.tile([0, 1], 10)), unlabeled=POOL)


@pytest.fixture
def find(tmp_path, data_facts, backbone_facts, dataset):
    """Return a function that finds the checkpoint of a run in one folder."""
    plan = resolve("small_similar", RECIPE, data_facts, backbone_facts)

    def in_folder(seed=0, resume=True, data=dataset):
        return checkpoint.find(tmp_path, RECIPE, plan, data, seed=seed, resume=resume)

    return in_folder


def test_an_interrupted_run_resumes_with_the_same_request(find):
    find(resume=False).begin()
    assert find().resumes
    assert not find(resume=False).resumes


@pytest.mark.parametrize("change", ["seed", "labels", "groups", "fewer unlabelled", "no unlabelled"])
def test_another_request_is_refused(find, dataset, change):
    find(resume=False).begin()
    train, seed = dataset.train, 1 if change == "seed" else 0
    other = {
        "labels": replace(dataset, train=replace(train, labels=1 - train.labels)),
        "groups": replace(dataset, train=replace(train, groups=np.arange(len(train)))),
        "fewer unlabelled": replace(dataset, unlabeled=dataset.unlabeled.select(np.arange(2))),
        "no unlabelled": replace(dataset, unlabeled=None),
    }.get(change, dataset)
    with pytest.raises(OutputError, match="had another plan, other data or another seed"):
        find(seed, data=other)


def test_beginning_twice_removes_nothing(find, tmp_path, assembled):
    run = find(resume=False)
    run.begin()
    assert (tmp_path / "recipe.yaml").is_file()
    run.save(1, OUTCOME, assembled()[2], np.zeros((2, 3), np.float32))
    run.begin()
    run.part("fold_1").begin()
    assert find().completed() == [OUTCOME]


def test_a_part_begins_the_whole_run(find, tmp_path):
    run = find(resume=False)
    run.part("fold_1").begin()
    assert (tmp_path / "recipe.yaml").is_file()
    assert find().resumes


def test_a_new_run_replaces_an_interrupted_one(find, assembled):
    first = find(resume=False)
    first.begin()
    first.save(1, OUTCOME, assembled()[2], np.zeros((2, 3), np.float32))
    find(resume=False).begin()
    assert find().completed() == []


def test_loading_gives_back_weights_and_probabilities(find, assembled):
    run, network = find(resume=False), assembled()[2]
    run.begin()
    weights, probabilities = network.model.get_weights(), np.random.default_rng(0).random((2, 3), np.float32)
    run.save(1, OUTCOME, network, probabilities)
    version = network.weights_version
    network.set_weights([weight + 1 for weight in weights])
    np.testing.assert_array_equal(find().load(1, network), probabilities)
    for one, other in zip(network.model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert network.weights_version > version


def test_without_a_folder_nothing_is_kept(assembled):
    nowhere = Checkpoint(None)
    nowhere.begin()
    nowhere.save(1, OUTCOME, assembled()[2], np.zeros((2, 3), np.float32))
    assert nowhere.completed() == []
    assert nowhere.part("fold_1").epochs(1) is None
    nowhere.remove()
