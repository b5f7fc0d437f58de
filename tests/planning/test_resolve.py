"""From a recipe and facts to a plan."""

from dataclasses import replace

import pytest

from kerastune_recipes import yaml_files
from kerastune_recipes.backbones.facts import PretrainedClassifierFacts
from kerastune_recipes.devices.facts import ONE_CPU, HardwareFacts
from kerastune_recipes.errors import RecipeError
from kerastune_recipes.planning.resolve import resolve
from kerastune_recipes.planning.rules import FOCAL_GAMMA, HUBER_DELTA
from kerastune_recipes.spec import catalog
from kerastune_recipes.spec.heads import HEADS

TRAINABLE, VIEWS = "phases.fine_tuning.fit.trainable", "phases.fine_tuning.fit.views"
PRETRAINED_CLASSES = "phases.feature_extraction.solve.pretrained_classes"
ALL_LAYERS = [["head", 1.0], ["backbone", 1.0]]


def test_no_value_stays_auto(plan_of):
    plan = plan_of()
    assert "auto" not in yaml_files.dump(plan.to_data())
    assert plan.features.taps == ("stem", "stage1", "stage2")
    assert plan.phases[0].solve.strengths == HEADS["logistic_regression"].strengths
    assert plan.phases[0].solve.folds == 5
    fit = plan.phases[1].fit
    # 50 images in batches of 32 are 2 steps; at most 20 epochs of them; a tenth is warmup.
    assert (fit.batch_size, fit.steps, fit.warmup_steps) == (32, 40, 4)
    assert fit.augmentation[0].layer == "RandomFlip"


@pytest.mark.parametrize(("duration", "steps"), [("3 epochs", 6), ("7 steps", 7), ("50%", 20)])
def test_durations_become_steps(duration, steps, fit_of):
    assert fit_of(duration=duration).steps == steps


def test_trained_batch_norm_gets_a_momentum_for_the_length_of_the_run(fit_of):
    assert (fit_of().batch_norm_momentum, fit_of(batch_norm="trained").batch_norm_momentum) == (None, 0.9)


def test_reinitialised_batch_norm_gets_a_momentum_for_the_length_of_the_run(fit_of):
    fit = fit_of(reinitialize=["backbone/last_stage"])
    assert (fit.batch_norm, fit.batch_norm_momentum) == ("frozen", 0.9)


def test_precision_and_compilation_follow_the_hardware_unless_stated(plan_of, data_facts, backbone_facts):
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
    stated = plan_of(precision="float16", jit_compile=True)
    assert (stated.precision, stated.jit_compile) == ("float16", True)


def test_flips_can_be_switched_off(fit_of):
    assert "RandomFlip" not in [layer.layer for layer in fit_of(flip="none").augmentation]


def test_a_class_with_one_image_leaves_the_folds_of_the_others(plan_of, data_facts):
    solve = plan_of(replace(data_facts, train=(30, 1))).phases[0].solve
    assert (solve.folds, solve.strengths) == (5, HEADS["logistic_regression"].strengths)


def test_classes_of_one_image_each_are_not_cross_validated(plan_of, data_facts):
    solve = plan_of(replace(data_facts, train=(1, 1))).phases[0].solve
    assert (solve.folds, solve.strengths) == (0, (100.0,))


def test_early_taps_need_a_second_stage(data_facts, backbone_facts):
    one_stage = replace(backbone_facts, stages=("stem",), taps=backbone_facts.taps[:1])
    with pytest.raises(RecipeError, match="early means all stages but the last, and Tiny has only one; write last"):
        resolve("early_features", catalog.load("early_features"), data_facts, one_stage)


# Heads


def test_pretrained_classes_become_indices(plan_with_pretrained_head):
    assert plan_with_pretrained_head().phases[0].solve.pretrained_classes == {"ants": (0,), "bees": (1,)}
    plan = plan_with_pretrained_head(**{PRETRAINED_CLASSES: {"bees": ["wasp", 3], "ants": []}})
    assert plan.phases[0].solve.pretrained_classes == {"bees": (2, 3)}


def test_other_heads_have_no_pretrained_classes(plan_of):
    assert "pretrained_classes" not in yaml_files.dump(plan_of().to_data())


def test_a_backbone_without_a_usable_classifier_is_refused(plan_with_pretrained_head, backbone_facts):
    without = replace(backbone_facts, pretrained_classifier=PretrainedClassifierFacts("it has none."))
    with pytest.raises(RecipeError, match=r"^phases.feature_extraction.solve.head: it has none\.$"):
        plan_with_pretrained_head(without)


def test_a_solved_head_is_solved_again_after_the_fit_phase(plan_of, fit_of):
    plan = plan_of()
    assert plan.phases[1].fit.solve_again == plan.phases[0].solve
    assert fit_of(solve_again=False).solve_again is None
    assert plan_of(keep="last").phases[1].fit.solve_again is None


def test_a_head_from_the_pretrained_classifier_is_not_solved_again(plan_with_pretrained_head):
    again = "phases.fine_tuning.fit.solve_again"
    assert plan_with_pretrained_head().phases[1].fit.solve_again is None
    with pytest.raises(
        RecipeError, match=f"{again}: true needs a head solved by an earlier phase, other than pretrained"
    ):
        plan_with_pretrained_head(**{again: True})


# Cached views


def test_cached_views_are_chosen_where_they_pay(fit_of):
    assert fit_of().views == 4
    assert fit_of(trainable=ALL_LAYERS).views is None
    assert fit_of(duration="1 epochs").views is None
    assert fit_of(augmentation="none").views == 1


def test_cached_views_are_not_chosen_where_they_take_too_much_space(fit_of, data_facts):
    many = replace(data_facts, train=(10**6, 10**6), validation=(10**5, 10**5))
    assert fit_of(many, duration="20 epochs").views is None


@pytest.mark.parametrize(("stated", "views"), [("fresh", None), (2, 2), (10, 10)])
def test_stated_views_are_kept(stated, views, plan_of):
    assert plan_of(**{VIEWS: stated}).phases[1].fit.views == views


# Options of a fit phase


def test_decaying_rates_become_rules(fit_of):
    fit = fit_of(trainable=ALL_LAYERS, stage_decay=0.4)
    assert fit.trainable == (
        ("head", 1.0), ("backbone/stage2", 1.0), ("backbone/stage1", 0.4), ("backbone/stem", 0.16),
    )  # fmt: skip
    assert "stage_decay" not in fit.to_data()


def test_rates_decay_within_the_part_in_use(plan_of):
    overrides = {"features.taps": ["stage1"], TRAINABLE: ALL_LAYERS, "phases.fine_tuning.fit.stage_decay": 0.5}
    fit = plan_of(**overrides).phases[1].fit
    assert fit.trainable == (("head", 1.0), ("backbone/stage1", 1.0), ("backbone/stem", 0.5))


def test_a_decay_without_effect_is_refused(fit_of):
    with pytest.raises(
        RecipeError, match="phases.fine_tuning.fit.stage_decay: no rule in trainable trains a whole stage"
    ):
        fit_of(stage_decay=0.4)


def test_arguments_that_a_loss_leaves_out_get_their_defaults(fit_of):
    assert fit_of(loss="focal").loss.gamma == FOCAL_GAMMA
    assert fit_of(loss="huber").loss.delta == HUBER_DELTA
    assert fit_of(loss={"name": "focal", "gamma": 1.0}).loss.gamma == 1


def test_class_balance_follows_the_class_sizes(fit_of, data_facts):
    few = replace(data_facts, train=(40, 4))
    assert fit_of(few, class_balance="auto").class_balance == "weights"
    assert fit_of(few).class_balance == "none"


def test_a_run_has_one_class_prior(plan_of, data_facts):
    """A phase that says nothing does as the others do, and the head that is solved again as its own phase does."""
    few = replace(data_facts, train=(40, 4))
    solved, fitted = plan_of(few, **{"phases.fine_tuning.fit.class_balance": "auto"}).phases
    assert (solved.solve.class_balance, fitted.fit.class_balance) == ("weights", "weights")
    assert fitted.fit.solve_again.class_balance == "weights"
    stated = {
        "phases.fine_tuning.fit.class_balance": "weights",
        "phases.feature_extraction.solve.class_balance": "none",
    }
    solved, fitted = plan_of(few, **stated).phases
    assert (solved.solve.class_balance, fitted.fit.solve_again.class_balance) == ("none", "weights")
