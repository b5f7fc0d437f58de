from dataclasses import replace

import pytest

from kerastune_recipes.planning.forecast import feature_count, forecast, head_by_size
from kerastune_recipes.planning.resolve import resolve
from kerastune_recipes.spec import catalog

# Share of the multiply-adds in the last stage: its weights at 4x4 positions, the others at 16x16 and 8x8.
TRAINED_SHARE = 428 * 16 / (428 * 16 + 264 * 64 + 132 * 256)
# Forward passes for the head that is solved again after a fit phase.
AGAIN = 1.0
LAST_STAGE = [["head", 1.0], ["backbone/last_stage", 1.0], ["backbone", "frozen"]]


@pytest.fixture
def plan(data_facts, backbone_facts):
    """The plan of a recipe that solves a head and fine-tunes the last stage."""
    spec = catalog.load("small_similar", {"phases.fine_tuning.fit.trainable": LAST_STAGE})
    return resolve("small_similar", spec, data_facts, backbone_facts)


def test_the_head_has_a_weight_per_feature_and_class_and_biases(plan, data_facts, backbone_facts):
    expected = forecast(plan, data_facts, backbone_facts)
    assert expected.features == 8 + 16 + 32
    assert expected.head_parameters == (56 + 1) * 2


def test_a_flatten_head_counts_every_position(plan, backbone_facts):
    flat = plan.model_copy(update={"head": plan.head.model_copy(update={"pooling": "flatten"})})
    assert feature_count(flat, backbone_facts) == 16 * 16 * 8 + 8 * 8 * 16 + 4 * 4 * 32


def test_solving_costs_one_pass(plan, data_facts, backbone_facts):
    solve = forecast(plan, data_facts, backbone_facts).phases[0]
    assert solve.forward_passes == pytest.approx(1.0)
    assert (solve.trainable_parameters, solve.frozen_parameters) == (114, 600 + 4 * 56)


def test_a_second_view_costs_a_pass_of_the_training_images(plan, data_facts, backbone_facts):
    twice = plan.model_copy(update={"features": plan.features.model_copy(update={"views": 2})})
    assert forecast(twice, data_facts, backbone_facts).phases[0].forward_passes == pytest.approx((2 * 50 + 13) / 63)


def test_a_fit_phase_trains_what_the_rules_say(plan, data_facts, backbone_facts):
    fit = forecast(plan, data_facts, backbone_facts).phases[1]
    # The head and stage2's convolution; its BatchNormalization is frozen by `batch_norm: frozen`.
    assert fit.trainable_parameters == 114 + 300
    assert fit.batch_norm == "3 frozen, 0 trained"
    assert [(group.pattern, group.layers, group.learning_rate) for group in fit.groups] == [
        ("head", 1, 0.003),
        ("backbone/last_stage", 2, 0.003),
        ("backbone", 4, None),
    ]


def test_fresh_views_cost_whole_epochs(plan, data_facts, backbone_facts):
    """20 epochs: forward through all layers, backward to the first trained layer, and validation."""
    fresh = plan.phases[1].model_copy(update={"fit": plan.phases[1].fit.model_copy(update={"views": None})})
    fit = forecast(plan.model_copy(update={"phases": (fresh,)}), data_facts, backbone_facts).phases[0]
    assert (
        fit.forward_passes == fit.fresh_passes == pytest.approx(20 * (50 * (1 + 2 * TRAINED_SHARE) + 13) / 63 + AGAIN)
    )
    assert (fit.frozen_until, fit.cached_bytes) == ((), 0)


def test_cached_views_cost_the_frozen_part_once_and_disk_space(plan, data_facts, backbone_facts):
    assert plan.phases[1].fit.views == 4
    fit = forecast(plan, data_facts, backbone_facts).phases[1]
    once, each = (1 - TRAINED_SHARE) * (4 * 50 + 13), TRAINED_SHARE * (3 * 50 + 13)
    assert fit.forward_passes == pytest.approx((once + 20 * each) / 63 + AGAIN)
    assert fit.fresh_passes - AGAIN > 2.6 * (fit.forward_passes - AGAIN)
    assert fit.frozen_until == ("stage1_bn",)
    assert fit.cached_bytes == 4 * (8 * 8 * 16 + 8 + 16) * (4 * 50 + 13)


def test_trained_batch_norm_adds_its_weights_but_not_its_statistics(plan, data_facts, backbone_facts):
    phase = plan.phases[1]
    trained = phase.model_copy(update={"fit": phase.fit.model_copy(update={"batch_norm": "trained"})})
    fit = forecast(plan.model_copy(update={"phases": (trained,)}), data_facts, backbone_facts).phases[0]
    assert fit.trainable_parameters == 114 + 300 + 2 * 32
    assert fit.batch_norm == "2 frozen, 1 trained"


def test_reinitialised_batch_norm_counts_as_trained(plan, data_facts, backbone_facts):
    changes = {"reinitialize": ("backbone/last_stage",), "l2_sp": 0.01, "class_balance": "sampling"}
    fresh = plan.phases[1].model_copy(update={"fit": plan.phases[1].fit.model_copy(update=changes)})
    fit = forecast(plan.model_copy(update={"phases": (fresh,)}), data_facts, backbone_facts).phases[0]
    assert fit.trainable_parameters == 114 + 300 + 2 * 32
    assert fit.batch_norm == "2 frozen, 1 trained"
    # A sampled epoch has the same length, and the L2-SP penalty needs no forward pass.
    assert fit.forward_passes == forecast(plan, data_facts, backbone_facts).phases[1].forward_passes


def test_the_size_of_a_flatten_head_is_known_at_other_image_sizes(plan, data_facts, backbone_facts):
    flat = plan.model_copy(update={"head": plan.head.model_copy(update={"pooling": "flatten"})})
    smaller = replace(backbone_facts, image_size=16, taps=tuple(
        replace(tap, shape=(tap.shape[0] // 2, tap.shape[1] // 2, tap.shape[2])) for tap in backbone_facts.taps
    ))  # fmt: skip
    known = replace(backbone_facts, other_sizes=(smaller,))
    assert head_by_size(flat, known) == {16: (896 + 1) * 2, 32: (3584 + 1) * 2}
