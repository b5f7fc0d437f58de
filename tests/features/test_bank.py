"""Features and solved heads of one run: done once, or not at all where the store has them."""

import dataclasses

import numpy as np
import pytest

from kerastune_recipes.data.sources.arrays import read_arrays
from kerastune_recipes.data.split_images import TRAIN, VALIDATION, Images
from kerastune_recipes.data.views import WHOLE, View
from kerastune_recipes.features import cache
from kerastune_recipes.features.bank import Extractor, Frozen, Wanted
from kerastune_recipes.heads.pretrained_prior import Start
from kerastune_recipes.planning.plan import SolvePlan
from kerastune_recipes.progress import Display

PLAN = SolvePlan(head="logistic_regression", strengths=(100.0, 1.0), folds=2)


@pytest.fixture
def make(assembled, pictures, tmp_path, monkeypatch):
    """Return a function that opens the frozen work of one network in one store: a new run on the same images."""
    monkeypatch.setenv("KERASTUNE_CACHE", str(tmp_path / "cache"))
    extractor = assembled()[2].extractor
    pixels, labels = pictures(18)
    images = {
        split: Images(read_arrays(pixels[part], labels[part]).parts["train"].samples)
        for split, part in ((TRAIN, slice(0, 12)), (VALIDATION, slice(12, 18)))
    }
    with cache.open_cache() as store:

        def run(views=(WHOLE,), plan=PLAN, **changes):
            opened = Extractor(extractor, store.network("net", "A network"))
            frozen = Frozen([opened], 32, views, {**images, **changes}, Display(False))
            return frozen, frozen.recall(Wanted(plan, seed=0))

        yield run


def test_a_head_is_solved_once(make):
    first, nothing = make()
    assert nothing is None
    solved = first.solve(Wanted(PLAN, seed=0))
    second, recalled = make()
    for field in dataclasses.fields(solved):
        np.testing.assert_array_equal(getattr(recalled, field.name), getattr(solved, field.name))
    assert second.features(VALIDATION).computed == 6
    assert second.computed == 6


def test_another_seed_plan_view_or_label_is_another_head(make, pictures):
    make()[0].solve(Wanted(PLAN, seed=0))
    frozen, known = make()
    assert known is not None
    assert frozen.recall(Wanted(PLAN, seed=1)) is None
    assert frozen.recall(Wanted(PLAN.model_copy(update={"strengths": (1.0,)}), seed=0)) is None
    assert make(views=(WHOLE, View(1)))[1] is None
    pixels, labels = pictures(18)
    relabelled = Images(read_arrays(pixels[:12], (labels[:12] + 1) % 3).parts["train"].samples)
    assert make(**{TRAIN: relabelled})[1] is None


def test_another_start_is_another_head(make):
    plan = PLAN.model_copy(update={"head": "pretrained_classifier"})
    begin = [Start(np.full((160, 3), value, np.float32), np.zeros(3, np.float32)) for value in (0.0, 1.0)]
    make()[0].solve(Wanted(plan, 0, start=begin[0]))
    frozen, _ = make()
    assert frozen.recall(Wanted(plan, 0, start=begin[0])) is not None
    assert frozen.recall(Wanted(plan, 0, start=begin[1])) is None


def test_only_training_images_have_views(make):
    frozen, _ = make(views=(WHOLE, View(mirrored=True), View(1)))
    assert frozen.features(TRAIN).rows.shape[:2] == (3, 12)
    assert frozen.features(VALIDATION).rows.shape[:2] == (1, 6)


def test_what_an_image_takes_is_measured_once(make, pictures):
    pixels, labels = pictures(40)
    whole_batch = {TRAIN: Images(read_arrays(pixels, labels).parts["train"].samples)}
    frozen, _ = make(**whole_batch)
    assert frozen.seconds_an_image() is None
    frozen.features(TRAIN)
    measured = frozen.seconds_an_image()
    assert measured > 0
    again, _ = make(**whole_batch)
    again.features(TRAIN)
    assert again.seconds_an_image() == measured


def test_a_few_images_do_not_tell_what_one_takes(make):
    frozen, _ = make()
    frozen.features(TRAIN)
    assert frozen.seconds_an_image() is None


def test_more_features_than_memory_holds_are_solved_from_a_file(make, monkeypatch):
    held = make()[0].solve(Wanted(PLAN, seed=0))
    monkeypatch.setenv("KERASTUNE_MEMORY", "3KiB")
    frozen, known = make()
    assert known is None  # in memory strength and temperature were found on more images
    filed = frozen.solve(Wanted(PLAN, seed=0))
    assert "trained by gradient on all 12 images" in filed.judged_by
    assert filed.kernel.shape == held.kernel.shape
    features = frozen.features(VALIDATION).plain
    assert np.isfinite(filed.probabilities(features)).all()
    np.testing.assert_array_equal(make()[1].kernel, filed.kernel)
