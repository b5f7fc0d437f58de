"""Cached heads: solved once, and loaded only for exactly the same features, labels and request."""

import dataclasses

import numpy as np
import pytest
from banks import images_of, new_bank, noise

from kerastune_recipes.data.split_images import TRAIN, UNLABELED, VALIDATION
from kerastune_recipes.data.views import WHOLE, View
from kerastune_recipes.features.cache import open_cache
from kerastune_recipes.heads.cached import HeadRequest, load_head, solve_head
from kerastune_recipes.heads.pretrained_prior import Start
from kerastune_recipes.planning.plan import SolvePlan
from kerastune_recipes.spec.recipe_spec import PseudoLabelsSpec

PLAN = SolvePlan(head="logistic_regression", strengths=(100.0, 1.0), folds=2)
REQUEST = HeadRequest(PLAN, seed=0)


@pytest.fixture
def bank(assembled, tmp_path, monkeypatch):
    """Return a function that opens the bank of a new run, with one network and one cache for all."""
    monkeypatch.setenv("KERASTUNE_CACHE", str(tmp_path / "cache"))
    network = assembled()[2].extractor
    with open_cache() as cache:
        yield lambda **changes: new_bank(network, cache, **changes)


def test_a_head_is_solved_once(bank):
    assert load_head(bank(), REQUEST) is None
    solved = solve_head(bank(), REQUEST)
    loaded = load_head(bank(), REQUEST)
    for field in dataclasses.fields(solved):
        np.testing.assert_array_equal(getattr(loaded, field.name), getattr(solved, field.name))


def test_loading_a_head_extracts_no_features(bank):
    solve_head(bank(), REQUEST)
    second = bank()
    assert load_head(second, REQUEST) is not None
    assert not second.has(TRAIN)


def test_another_seed_plan_view_or_label_is_another_head(bank):
    solve_head(bank(), REQUEST)
    assert load_head(bank(), REQUEST) is not None
    assert load_head(bank(), HeadRequest(PLAN, seed=1)) is None
    assert load_head(bank(), HeadRequest(PLAN.model_copy(update={"strengths": (1.0,)}), seed=0)) is None
    assert load_head(bank(views=(WHOLE, View(1))), REQUEST) is None
    pixels, labels = noise()
    assert load_head(bank(**{TRAIN: images_of(pixels[:12], (labels[:12] + 1) % 3)}), REQUEST) is None


def test_another_start_is_another_head(bank):
    plan = PLAN.model_copy(update={"head": "pretrained_classifier"})
    starts = [Start(np.full((160, 3), value, np.float32), np.zeros(3, np.float32)) for value in (0.0, 1.0)]
    solve_head(bank(), HeadRequest(plan, 0, start=starts[0]))
    assert load_head(bank(), HeadRequest(plan, 0, start=starts[0])) is not None
    assert load_head(bank(), HeadRequest(plan, 0, start=starts[1])) is None


def test_other_unlabelled_images_are_another_head(bank):
    plan = PLAN.model_copy(update={"pseudo_labels": PseudoLabelsSpec(method="self_train")})
    pixels, labels = noise(30)
    first, second = ({UNLABELED: images_of(part, labels[:9])} for part in (pixels[18:27], pixels[20:29]))
    solved = solve_head(bank(**first), HeadRequest(plan, 0))
    assert "self_train" in solved.judged_by
    assert load_head(bank(**first), HeadRequest(plan, 0)) is not None
    assert load_head(bank(**second), HeadRequest(plan, 0)) is None


def test_more_features_than_memory_holds_are_solved_out_of_core(bank, monkeypatch):
    in_memory = solve_head(bank(), REQUEST)
    monkeypatch.setenv("KERASTUNE_MEMORY", "3KiB")
    small = bank()
    assert load_head(small, REQUEST) is None  # in memory, more images decided on strength and temperature
    out_of_core = solve_head(small, REQUEST)
    assert "trained by gradient on all 12 images" in out_of_core.judged_by
    assert out_of_core.kernel.shape == in_memory.kernel.shape
    assert np.isfinite(out_of_core.probabilities(small.features(VALIDATION).plain)).all()
    np.testing.assert_array_equal(load_head(bank(), REQUEST).kernel, out_of_core.kernel)
