"""Every figure says which model it describes, on which images, and what these decided."""

from dataclasses import replace

import numpy as np
import pytest

from kerastune_recipes.reporting import figures
from kerastune_recipes.reporting.outcome import Outcome, Selection


@pytest.fixture
def plan(assembled):
    return assembled()[0].model_copy(update={"keep": "best_on_validation"})


def selection(*kinds, refitted="none"):
    outcomes = [Outcome(f"{kind}_phase", kind, 1.0, 0, 1, 0, {}, {}, ()) for kind in kinds]
    return Selection(outcomes, len(outcomes) - 1, np.zeros((0, 2), np.float32), refitted)


def test_a_solved_head_that_is_refitted(plan, data_facts):
    found = figures.sources(plan, replace(data_facts, test=(5, 5)), selection("solve", refitted="head"))
    assert found["validation"] == {
        "model": "solve_phase, trained on 50 images",
        "images": "13 images held out of the training images",
        "returned": False,
        "decided": [],
    }
    assert found["test"] == {
        "model": "solve_phase, refitted on all 63 images",
        "images": "10 test images",
        "returned": True,
        "decided": [],
    }


def test_held_out_images_decide_about_fit_phases(plan, data_facts):
    found = figures.sources(plan, data_facts, selection("solve", "fit", refitted="head"))
    assert found["validation"]["decided"] == ["the phase", "how much of each fit phase is kept", "its temperature"]
    assert "test" not in found


@pytest.mark.parametrize(
    ("kind", "refitted", "words"),
    [
        ("solve", "none", "solve_phase, trained on 50 images"),
        ("solve", "head", "solve_phase, refitted on all 63 images"),
        ("fit", "head", "fit_phase, trained on 50 images, its head refitted on all 63"),
        ("fit", "all", "fit_phase, refitted on all 63 images"),
    ],
)
def test_the_returned_model_in_words(kind, refitted, words, data_facts):
    assert figures.returned_model(data_facts, selection(kind, refitted=refitted)) == words


def test_validation_images_of_the_user_judge_the_returned_model(plan, data_facts):
    found = figures.sources(plan, replace(data_facts, held_out=False), selection("solve"))
    assert found["validation"]["returned"]
    assert found["validation"]["images"] == "13 images given for validation"


def test_folds_judge_other_models_than_the_returned_one(plan, data_facts):
    folds = plan.model_copy(update={"folds": 5})
    found = figures.sources(folds, replace(data_facts, validation=(0, 0)), selection("solve", refitted="all"))
    assert found["validation"]["model"] == "solve_phase, of each of 5 folds, trained on the others"
    assert found["validation"]["images"] == "50 images, each held out once"


def test_one_sentence():
    source = {"model": "head, trained on 8 images", "images": "2 images", "returned": False, "decided": ["the phase"]}
    assert figures.in_words(source) == (
        "head, trained on 8 images (not the returned model), on 2 images; they also chose the phase (each image is "
        "judged by the choice of the others)"
    )
