"""Checks of a plan against the images and the network."""

from dataclasses import replace

import pytest

from kerastune_recipes.errors import DataError, RecipeError
from kerastune_recipes.planning.check import check, plan_problems
from kerastune_recipes.planning.plan import Plan

TRAINABLE, VIEWS = "phases.fine_tuning.fit.trainable", "phases.fine_tuning.fit.views"
PRETRAINED_CLASSES = "phases.feature_extraction.solve.pretrained_classes"


def test_a_plan_as_resolved_has_no_problems(plan_of, data_facts, backbone_facts):
    assert plan_problems(plan_of(), data_facts, backbone_facts) == []
    check(plan_of(), data_facts, backbone_facts)


def test_a_plan_is_for_its_classes_only(plan_of, data_facts, backbone_facts):
    with pytest.raises(DataError, match="made for the classes ants, bees; the data has cats, dogs"):
        check(plan_of(), replace(data_facts, class_names=("cats", "dogs")), backbone_facts)


def test_an_unknown_tap_is_refused(plan_of):
    with pytest.raises(RecipeError, match=r'there is no stage or layer "stage3" in Tiny. Did you mean "stage2"\?'):
        plan_of(**{"features.taps": ["stage3"]})


def test_a_pattern_must_match_the_part_of_the_network_in_use(plan_of):
    overrides = {
        "features.taps": ["stage1"],
        TRAINABLE: [["head", 1.0], ["backbone/stage2", 1.0], ["backbone", "frozen"]],
    }
    with pytest.raises(RecipeError, match='fine_tuning.fit.trainable: the pattern "backbone/stage2" matches no layer'):
        plan_of(**overrides)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({"folds": 1}, "cross-validation needs 2 folds or more, or 0 for none; received 1"),
        ({"folds": 0}, "choosing among 10 needs cross-validation"),
        ({"folds": 40}, r"40 folds are more than the training images of the largest class \(30\)"),
        ({"strengths": [1.0, 10.0]}, "strengths: list them strong to weak, the largest first, without repeats"),
        ({"head": "lda", "strengths": [2.0]}, "strengths: the shrinkage of lda must be from 1e-06 to 1"),
    ],
)
def test_an_edited_solve_phase_is_checked(edit, message, plan_of, data_facts, backbone_facts):
    data = plan_of().to_data()
    data["phases"][0]["solve"] |= edit
    with pytest.raises(RecipeError, match=message):
        check(Plan.from_data(data, "plan.yaml"), data_facts, backbone_facts)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({"batch_size": 51}, r"fit.batch_size: a batch of 51 is larger than the training set \(50 images\)"),
        ({"steps": 2 * 10**9}, r"fit.steps: 2,000,000,000 steps are more than 1,000,000,000; give a shorter duration"),
        ({"warmup_steps": 41}, r"fit.warmup_steps: 41 is longer than the phase \(40 steps\)"),
    ],
)
def test_an_edited_fit_phase_is_checked(edit, message, plan_of, data_facts, backbone_facts):
    data = plan_of().to_data()
    data["phases"][1]["fit"] |= edit
    with pytest.raises(RecipeError, match=message):
        check(Plan.from_data(data, "plan.yaml"), data_facts, backbone_facts)


def test_every_problem_of_a_pretrained_head_is_reported_at_once(plan_with_pretrained_head):
    with pytest.raises(RecipeError) as raised:
        plan_with_pretrained_head(
            **{PRETRAINED_CLASSES: {"bees": "bea"}, "features.taps": ["stage1"], "head.pooling": "flatten"}
        )
    assert [problem.partition(": ")[0] for problem in raised.value.problems] == [
        f"{PRETRAINED_CLASSES}.bees",
        "features.taps",
        "head.pooling",
    ]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            {"pretrained_classes": {"ants": [4]}},
            "pretrained_classes.ants: there is no pretrained class 4. Give a name or an index",
        ),
        ({"pretrained_classes": {"wasps": [1]}}, 'pretrained_classes.wasps: the data has no class "wasps"'),
        ({"pretrained_classes": {}}, r"pretrained_classes: no class of the data \(ants, bees\) has"),
        (
            {"head": "lda", "strengths": [0.5]},
            "pretrained_classes: they need head: pretrained_classifier; received head: lda.",
        ),
    ],
)
def test_edited_pretrained_classes_are_checked(edit, message, plan_with_pretrained_head, data_facts, insects):
    data = plan_with_pretrained_head().to_data()
    data["phases"][0]["solve"] |= edit
    with pytest.raises(RecipeError, match=message):
        check(Plan.from_data(data, "plan.yaml"), data_facts, insects)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {VIEWS: 2, TRAINABLE: [["head", 1.0], ["backbone", 1.0]]},
            "fit.views: no layer at the front of the network is frozen, so nothing can be cached for 2 views; freeze "
            "the first stages, or remove views.",
        ),
        ({VIEWS: 21}, r"21 views are more than the epochs \(20\); give at most 20."),
        (
            {VIEWS: 2, "phases.fine_tuning.fit.augmentation": "none"},
            "without augmentation the 2 views of an image are all the same; give 1, or an augmentation.",
        ),
    ],
)
def test_views_without_effect_are_refused(changes, message, plan_of):
    with pytest.raises(RecipeError, match=message):
        plan_of(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"reinitialize": ["backbone/stage9"]},
            'phases.fine_tuning.fit.reinitialize: the pattern "backbone/stage9" matches no layer of the backbone.',
        ),
        (
            {"reinitialize": ["backbone/last_2_stages"]},
            "reinitialize: 2 of the reinitialised layers are frozen in this phase and would stay random, the first "
            "being stage1_conv; give them a multiplier in trainable.",
        ),
    ],
)
def test_reinitialised_layers_must_exist_and_be_trained(changes, message, fit_of):
    with pytest.raises(RecipeError, match=message):
        fit_of(**changes)
