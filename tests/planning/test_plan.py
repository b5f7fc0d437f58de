from dataclasses import replace

import pytest

from kerastune_recipes import yaml_files
from kerastune_recipes.backbones.facts import PretrainedClassifierFacts
from kerastune_recipes.devices.facts import ONE_CPU, HardwareFacts
from kerastune_recipes.errors import DataError, RecipeError
from kerastune_recipes.planning import check
from kerastune_recipes.planning.plan import Plan
from kerastune_recipes.planning.resolve import resolve
from kerastune_recipes.planning.rules import FOCAL_GAMMA, HUBER_DELTA, STRENGTHS
from kerastune_recipes.spec import catalog

TRAINABLE, VIEWS = "phases.fine_tuning.fit.trainable", "phases.fine_tuning.fit.views"
LAST_STAGE = [["head", 1.0], ["backbone/last_stage", 1.0], ["backbone", "frozen"]]


def changed(data_facts, backbone_facts, **overrides):
    """Return the plan of a recipe that solves a head and fine-tunes the last stage."""
    spec = catalog.load("small_similar", {TRAINABLE: LAST_STAGE} | overrides)
    return resolve("small_similar", spec, data_facts, backbone_facts)


def test_nothing_is_left_open(data_facts, backbone_facts):
    plan = changed(data_facts, backbone_facts)
    assert "auto" not in yaml_files.dump(plan.to_data())
    assert plan.features.taps == ("stem", "stage1", "stage2")
    assert plan.phases[0].solve.strengths == STRENGTHS["logistic_regression"]
    assert plan.phases[0].solve.folds == 5
    fit = plan.phases[1].fit
    # 50 images in batches of 32 are 2 steps; at most 20 epochs of them; a tenth is warmup.
    assert (fit.batch_size, fit.steps, fit.warmup_steps) == (32, 40, 4)
    assert fit.augmentation[0].layer == "RandomFlip"


def test_written_plan_reads_back(data_facts, backbone_facts):
    plan = changed(data_facts, backbone_facts)
    text = yaml_files.dump(plan.to_data())
    assert Plan.from_data(yaml_files.parse(text, "plan"), "plan") == plan


@pytest.mark.parametrize(("duration", "steps"), [("3 epochs", 6), ("7 steps", 7), ("50%", 20)])
def test_durations_become_steps(duration, steps, data_facts, backbone_facts):
    plan = changed(data_facts, backbone_facts, **{"phases.fine_tuning.fit.duration": duration})
    assert plan.phases[1].fit.steps == steps


def test_trained_batch_norm_gets_a_momentum_that_fits_the_run(data_facts, backbone_facts):
    frozen = changed(data_facts, backbone_facts).phases[1].fit
    trained = changed(data_facts, backbone_facts, **{"phases.fine_tuning.fit.batch_norm": "trained"}).phases[1].fit
    assert (frozen.batch_norm_momentum, trained.batch_norm_momentum) == (None, 0.9)


def test_precision_and_compilation_follow_the_hardware_unless_they_are_stated(data_facts, backbone_facts):
    gpu = HardwareFacts(device="gpu", capability=(9, 0))
    plans = {
        hardware.device: resolve(
            "small_similar", catalog.load("small_similar", {}), data_facts, backbone_facts, hardware
        )
        for hardware in (ONE_CPU, gpu)
    }
    assert {device: (plan.precision, plan.jit_compile) for device, plan in plans.items()} == {
        "cpu": ("float32", False),
        "gpu": ("bfloat16", True),
    }
    stated = changed(data_facts, backbone_facts, precision="float16", jit_compile=True)
    assert (stated.precision, stated.jit_compile) == ("float16", True)


def test_a_plan_from_before_there_was_precision_is_read(data_facts, backbone_facts):
    data = changed(data_facts, backbone_facts).to_data()
    del data["precision"], data["jit_compile"]
    assert (Plan.from_data(data, "plan").precision, Plan.from_data(data, "plan").jit_compile) == ("float32", None)


def test_flips_can_be_switched_off(data_facts, backbone_facts):
    plan = changed(data_facts, backbone_facts, **{"phases.fine_tuning.fit.flip": "none"})
    assert "RandomFlip" not in [layer.layer for layer in plan.phases[1].fit.augmentation]


def test_a_class_of_one_image_is_not_cross_validated(data_facts, backbone_facts):
    solve = changed(replace(data_facts, train=(30, 1)), backbone_facts).phases[0].solve
    assert (solve.folds, solve.strengths) == (0, (100.0,))


def test_unknown_tap(data_facts, backbone_facts):
    with pytest.raises(RecipeError, match=r'there is no stage or layer "stage3" in Tiny. Did you mean "stage2"\?'):
        changed(data_facts, backbone_facts, **{"features.taps": ["stage3"]})


def test_pattern_must_fit_the_part_in_use(data_facts, backbone_facts):
    overrides = {
        "features.taps": ["stage1"],
        "phases.fine_tuning.fit.trainable": [["head", 1.0], ["backbone/stage2", 1.0], ["backbone", "frozen"]],
    }
    with pytest.raises(RecipeError, match='fine_tuning.fit.trainable: the pattern "backbone/stage2" matches no layer'):
        changed(data_facts, backbone_facts, **overrides)


def test_a_plan_belongs_to_its_classes(data_facts, backbone_facts):
    plan = changed(data_facts, backbone_facts)
    with pytest.raises(DataError, match="made for the classes ants, bees; the data has cats, dogs"):
        check.check(plan, replace(data_facts, class_names=("cats", "dogs")), backbone_facts)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({"folds": 1}, "cross-validation takes 2 folds or more, or 0 for none; received 1"),
        ({"folds": 0}, "choosing among 10 takes cross-validation"),
        ({"folds": 40}, r"40 folds are more than the smallest class has training images \(20\)"),
    ],
)
def test_an_edited_plan_is_checked(edit, message, data_facts, backbone_facts):
    data = changed(data_facts, backbone_facts).to_data()
    data["phases"][0]["solve"] |= edit
    with pytest.raises(RecipeError, match=message):
        check.check(Plan.from_data(data, "plan.yaml"), data_facts, backbone_facts)


LETTERS = PretrainedClassifierFacts(classes=4, names=("ant", "bee", "wasp", "fly"))
SOURCE_CLASSES = "phases.feature_extraction.solve.pretrained_classes"


def reused(data_facts, backbone_facts, source=LETTERS, **overrides):
    backbone = replace(backbone_facts, source=source)
    return resolve("reuse_head", catalog.load("reuse_head", overrides), data_facts, backbone)


def test_source_classes_are_settled_in_the_plan(data_facts, backbone_facts):
    assert reused(data_facts, backbone_facts).phases[0].solve.pretrained_classes == {"ants": (0,), "bees": (1,)}
    plan = reused(data_facts, backbone_facts, **{SOURCE_CLASSES: {"bees": ["wasp", 3], "ants": []}})
    assert plan.phases[0].solve.pretrained_classes == {"bees": (2, 3)}
    text = yaml_files.dump(plan.to_data())
    assert Plan.from_data(yaml_files.parse(text, "plan"), "plan") == plan


def test_other_heads_have_no_source_classes(data_facts, backbone_facts):
    assert "pretrained_classes" not in yaml_files.dump(changed(data_facts, backbone_facts).to_data())


def test_what_keeps_the_source_classifier_from_being_used_is_told_at_once(data_facts, backbone_facts):
    with pytest.raises(RecipeError) as raised:
        reused(
            data_facts,
            backbone_facts,
            **{SOURCE_CLASSES: {"bees": "bea"}, "features.taps": ["stage1"], "head.pooling": "flatten"},
        )
    assert [problem.partition(": ")[0] for problem in raised.value.problems] == [
        f"{SOURCE_CLASSES}.bees",
        "features.taps",
        "head.pooling",
    ]


def test_a_backbone_without_a_classifier_of_use(data_facts, backbone_facts):
    with pytest.raises(RecipeError, match=r"^phases.feature_extraction.solve.head: it has none\.$"):
        reused(data_facts, backbone_facts, PretrainedClassifierFacts("it has none."))


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
            "pretrained_classes: they go with head: pretrained_classifier; this one is lda.",
        ),
    ],
)
def test_edited_source_classes_are_checked(edit, message, data_facts, backbone_facts):
    data = reused(data_facts, backbone_facts).to_data()
    data["phases"][0]["solve"] |= edit
    with pytest.raises(RecipeError, match=message):
        check.check(Plan.from_data(data, "plan.yaml"), data_facts, replace(backbone_facts, source=LETTERS))


def test_views_are_chosen_where_they_pay(data_facts, backbone_facts):
    assert changed(data_facts, backbone_facts).phases[1].fit.views == 4
    whole = {TRAINABLE: [["head", 1.0], ["backbone", 1.0]]}
    assert changed(data_facts, backbone_facts, **whole).phases[1].fit.views is None
    short = {"phases.fine_tuning.fit.duration": "1 epochs"}
    assert changed(data_facts, backbone_facts, **short).phases[1].fit.views is None
    plain = {"phases.fine_tuning.fit.augmentation": "none"}
    assert changed(data_facts, backbone_facts, **plain).phases[1].fit.views == 1


def test_views_are_not_chosen_where_there_is_no_room(data_facts, backbone_facts):
    many = replace(data_facts, train=(10**6, 10**6), validation=(10**5, 10**5))
    assert changed(many, backbone_facts, **{"phases.fine_tuning.fit.duration": "20 epochs"}).phases[1].fit.views is None


@pytest.mark.parametrize(("asked", "views"), [("fresh", None), (2, 2), (10, 10)])
def test_views_that_are_asked_for(asked, views, data_facts, backbone_facts):
    assert changed(data_facts, backbone_facts, **{VIEWS: asked}).phases[1].fit.views == views


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {VIEWS: 2, TRAINABLE: [["head", 1.0], ["backbone", 1.0]]},
            "fit.views: nothing at the front of the network is frozen, so there is no part that could be computed once "
            "for 2 views; freeze its first stages, or leave views out.",
        ),
        ({VIEWS: 21}, r"21 views are more than there are epochs \(20\); give at most 20."),
        (
            {VIEWS: 2, "phases.fine_tuning.fit.augmentation": "none"},
            "without augmentation the 2 views of an image are all the same; give 1, or an augmentation.",
        ),
    ],
)
def test_views_that_make_no_sense(changes, message, data_facts, backbone_facts):
    with pytest.raises(RecipeError, match=message):
        changed(data_facts, backbone_facts, **changes)


def options(data_facts, backbone_facts, **changes):
    overrides = {f"phases.fine_tuning.fit.{key}": value for key, value in changes.items()}
    return changed(data_facts, backbone_facts, **overrides).phases[1].fit


ALL_LAYERS = [["head", 1.0], ["backbone", 1.0]]


def test_rates_that_decay_are_rules_of_the_plan(data_facts, backbone_facts):
    fit = options(data_facts, backbone_facts, trainable=ALL_LAYERS, stage_decay=0.4)
    assert fit.trainable == (
        ("head", 1.0), ("backbone/stage2", 1.0), ("backbone/stage1", 0.4), ("backbone/stem", 0.16),
    )  # fmt: skip
    assert "stage_decay" not in fit.to_data()


def test_rates_decay_within_the_part_in_use(data_facts, backbone_facts):
    overrides = {"features.taps": ["stage1"], TRAINABLE: ALL_LAYERS, "phases.fine_tuning.fit.stage_decay": 0.5}
    fit = changed(data_facts, backbone_facts, **overrides).phases[1].fit
    assert fit.trainable == (("head", 1.0), ("backbone/stage1", 1.0), ("backbone/stem", 0.5))


def test_what_a_loss_leaves_out_is_filled_in(data_facts, backbone_facts):
    assert options(data_facts, backbone_facts, loss="focal").loss.gamma == FOCAL_GAMMA
    assert options(data_facts, backbone_facts, loss="huber").loss.delta == HUBER_DELTA
    assert options(data_facts, backbone_facts, loss={"name": "focal", "gamma": 1.0}).loss.gamma == 1


def test_the_plan_says_what_is_done_about_unequal_classes(data_facts, backbone_facts):
    few = replace(data_facts, train=(40, 4))
    assert options(few, backbone_facts, class_balance="auto").class_balance == "weights"
    assert options(few, backbone_facts).class_balance == "none"


def test_fresh_batch_norm_gets_a_momentum_that_fits_the_run(data_facts, backbone_facts):
    fit = options(data_facts, backbone_facts, reinitialize=["backbone/last_stage"])
    assert (fit.batch_norm, fit.batch_norm_momentum) == ("frozen", 0.9)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"reinitialize": ["backbone/stage9"]},
            'phases.fine_tuning.fit.reinitialize: the pattern "backbone/stage9" matches no layer of the backbone.',
        ),
        (
            {"reinitialize": ["backbone/last_2_stages"]},
            "reinitialize: 2 of the layers that get fresh weights are frozen in this phase, the first being "
            "stage1_conv, and would stay random; give them a multiplier in trainable.",
        ),
        ({"stage_decay": 0.4}, "phases.fine_tuning.fit.stage_decay: no rule in trainable gives a whole stage before"),
    ],
)
def test_layers_that_do_not_go_with_an_option(changes, message, data_facts, backbone_facts):
    with pytest.raises(RecipeError, match=message):
        options(data_facts, backbone_facts, **changes)


def test_an_edited_plan_smooths_no_labels_of_a_loss_that_has_none(data_facts, backbone_facts):
    data = changed(data_facts, backbone_facts).to_data()
    data["phases"][1]["fit"] |= {"loss": "squared_error", "label_smoothing": 0.1}
    with pytest.raises(RecipeError, match="phases.fine_tuning.fit: label_smoothing: squared_error has none"):
        Plan.from_data(data, "plan.yaml")


def test_a_plan_from_before_these_options_still_reads(data_facts, backbone_facts):
    data = changed(data_facts, backbone_facts).to_data()
    for key in ("loss", "class_balance", "reinitialize", "l2_sp"):
        data["phases"][1]["fit"].pop(key, None)
    assert Plan.from_data(data, "plan.yaml") == changed(data_facts, backbone_facts)
