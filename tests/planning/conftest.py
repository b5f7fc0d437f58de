"""Shared by the tests of planning: plans of recipes."""

from dataclasses import replace

import pytest

from kerastune_recipes.backbones.facts import PretrainedClassifierFacts
from kerastune_recipes.planning.resolve import resolve
from kerastune_recipes.spec import catalog

LAST_STAGE = [["head", 1.0], ["backbone/last_stage", 1.0], ["backbone", "frozen"]]


@pytest.fixture
def plan_of(data_facts, backbone_facts):
    """Return a function that plans a recipe: it solves a head and fine-tunes the last stage, with overrides."""

    def plan(data=data_facts, **overrides):
        spec = catalog.load("small_similar", {"phases.fine_tuning.fit.trainable": LAST_STAGE} | overrides)
        return resolve("small_similar", spec, data, backbone_facts)

    return plan


@pytest.fixture
def fit_of(plan_of):
    """Return a function that plans the fit phase of that recipe, with overrides of its keys."""

    def fit(data=None, **changes):
        overrides = {f"phases.fine_tuning.fit.{key}": value for key, value in changes.items()}
        return (plan_of(**overrides) if data is None else plan_of(data, **overrides)).phases[1].fit

    return fit


@pytest.fixture
def insects(backbone_facts):
    """A backbone that was pretrained on four classes of insects."""
    names = PretrainedClassifierFacts(classes=4, names=("ant", "bee", "wasp", "fly"))
    return replace(backbone_facts, pretrained_classifier=names)


@pytest.fixture
def plan_with_pretrained_head(data_facts, insects):
    """Return a function that plans a recipe whose head starts from the pretrained classifier, with overrides."""

    def plan(backbone=insects, **overrides):
        return resolve("reuse_head", catalog.load("reuse_head", overrides), data_facts, backbone)

    return plan
