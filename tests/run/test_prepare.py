"""From a recipe and data to a plan and all it needs; what does not fit is refused before anything trains."""

import numpy as np
import pytest
from stripes import stripes

from kerastune_recipes.data.split_images import TEST, TRAIN, VALIDATION
from kerastune_recipes.errors import DataError, RecipeError, RequestError
from kerastune_recipes.planning.plan import Plan
from kerastune_recipes.progress import Display
from kerastune_recipes.run.options import RunOptions
from kerastune_recipes.run.prepare import check_replicas, decode, prepare, with_folds
from kerastune_recipes.spec import catalog

DEMO = {"backbone.name": "DemoNet", "backbone.weights": "none", "backbone.image_size": 32}


def prepared(name="small_similar", ds=None, options=None, **changes):
    content = catalog.load(name, {**DEMO, **changes})
    return prepare(name, content, ds or stripes(), options or RunOptions(), dry=True)


def test_the_plan_is_in_words_too():
    found = prepared()
    assert found.plan_text.startswith(f"Plan: small_similar\n{found.plan.summary}\n")
    assert found.classifier is None


def test_a_saved_plan_is_taken_as_it_is():
    plan = prepared().plan
    again = prepare("saved", Plan.from_data(plan.to_data(), "saved"), stripes(), RunOptions(), dry=True)
    assert again.plan == plan


def test_a_saved_plan_for_other_classes_is_refused():
    images, labels = stripes()
    other = (images, np.array(["x", "y", "z"])[labels])
    with pytest.raises(DataError, match="The plan was made for the classes 0, 1, 2; the data has x, y, z"):
        prepare("saved", prepared().plan, other, RunOptions(), dry=True)


def test_folds_pool_all_labelled_images():
    content = with_folds("small_similar", catalog.load("small_similar", DEMO), 3)
    found = prepare("small_similar", content, stripes(), RunOptions(folds=3), dry=True)
    assert (found.plan.folds, found.dataset.facts().validation_images) == (3, 0)


def test_folds_hold_nothing_out():
    with pytest.raises(RequestError, match=r"validation_split .* with folds no images are held out apart; leave one"):
        prepared(options=RunOptions(validation_split=0.1), folds=3)


def test_a_plan_takes_no_folds():
    with pytest.raises(RecipeError, match="a plan states how it is judged; write folds: 3 in its file"):
        with_folds("saved", prepared().plan, 3)


def test_augmentations_that_do_not_exist_are_refused():
    layers = [{"layer": "RandomFlipp"}]
    with pytest.raises(RecipeError, match=r"phases\.fine_tuning\.fit\.augmentation.*RandomFlip"):
        prepared(**{"phases.fine_tuning.fit.augmentation": layers})


def test_features_that_must_be_in_memory_and_do_not_fit_are_refused(monkeypatch):
    monkeypatch.setenv("KERASTUNE_MEMORY", "1KiB")
    head_alone = {"phases": [{"name": "head", "solve": {}}], "folds": 3}
    with pytest.raises(RequestError, match="folds: the features of 30 images must be in memory at once; they take"):
        prepared(**head_alone)


def test_replicas_must_be_able_to_share_a_batch():
    plan = prepared(**{"phases.fine_tuning.fit.batch_size": 8}).plan
    check_replicas(plan, 8)
    with pytest.raises(RequestError, match="16 replicas cannot share a global batch of 8; give at least 16"):
        check_replicas(plan, 16)


def test_pixels_are_decoded_only_where_a_phase_fits():
    fits, solves = prepared(), prepared(phases=[{"name": "head", "solve": {}}])
    decoded = decode(fits.dataset, fits.plan, Display(False))
    assert decoded[TRAIN].pixels.shape == (24, 32, 32, 3)
    assert set(decoded) == {TRAIN, VALIDATION}
    assert decode(solves.dataset, solves.plan, Display(False))[TRAIN].pixels is None
    assert TEST not in decoded
