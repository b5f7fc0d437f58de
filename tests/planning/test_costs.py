import math

import pytest

from kerastune_recipes.planning import costs

ALL = ("stem", "stage1", "stage2")
# Each weight of the tiny network acts at every position: 256 in the stem, 64 in stage1, 16 in stage2.
STEM, STAGE1, STAGE2 = (100 + 32) * 256, (200 + 64) * 64, (300 + 128) * 16


def test_the_frozen_part_ends_before_the_first_trained_layer(backbone_facts):
    end = costs.find_frozen_end(backbone_facts, {"stage2_conv"}, ALL, flat=False)
    assert end.layers == ("stage1_bn",)
    assert end.values == 8 * 8 * 16 + 8 + 16
    assert end.trained_share == pytest.approx(STAGE2 / (STEM + STAGE1 + STAGE2))


def test_a_head_that_sees_every_position_needs_every_position(backbone_facts):
    end = costs.find_frozen_end(backbone_facts, {"stage2_conv"}, ALL, flat=True)
    assert end.values == 8 * 8 * 16 + 16 * 16 * 8 + 8 * 8 * 16


def test_a_frozen_backbone_leaves_only_the_features(backbone_facts):
    end = costs.find_frozen_end(backbone_facts, (), ALL, flat=False)
    assert (end.layers, end.values, end.trained_share) == ((), 8 + 16 + 32, 0)


def test_training_the_first_layer_freezes_nothing(backbone_facts):
    assert costs.find_frozen_end(backbone_facts, {"stem_conv"}, ALL, flat=False).trained_share == 1


@pytest.mark.parametrize(("name", "size"), [("ResNet50", 64), ("NASNetMobile", 64), ("DemoNet", 32)])
def test_the_frozen_end_of_the_facts_matches_the_network(name, size, assembled):
    from kerastune_recipes.model import frozen_part
    from kerastune_recipes.model.freeze import freeze
    from kerastune_recipes.planning import layer_patterns

    _, facts, network = assembled(name, size, taps="all")
    groups = layer_patterns.group_layers(
        [("head", 1.0), ("backbone/last_stage", 1.0), ("backbone", "frozen")], facts, ""
    )
    freeze(network, groups, "frozen")
    end = costs.find_frozen_end(facts, layer_patterns.trained_layers(groups, "frozen"), facts.stages, flat=False)
    real = frozen_part.split(network).frozen.outputs
    assert end.values == sum(math.prod(tensor.shape[1:]) for tensor in real)


def test_cached_bytes_count_every_view_of_the_training_images(data_facts):
    assert costs.FrozenEnd(("x",), 1000, 0.5).cached_bytes(4, data_facts) == 4 * 1000 * (4 * 50 + 13)


def test_phases_train_what_their_rules_and_reinitialisation_say(fit_plan, backbone_facts):
    last_stage = [["head", 1.0], ["backbone/last_stage", 1.0], ["backbone", "frozen"]]
    assert costs.trained_by(fit_plan(trainable=last_stage), backbone_facts) == {"stage2_conv"}
    again = fit_plan(trainable=last_stage, reinitialize=["backbone/last_stage"])
    assert costs.trained_by(again, backbone_facts) == {"stage2_conv", "stage2_bn"}


def test_the_last_batch_of_an_epoch_may_be_smaller():
    assert (costs.steps_per_epoch(50, 32), costs.steps_per_epoch(64, 32)) == (2, 2)


def test_fresh_views_pass_all_layers_forward_and_the_trained_ones_backward(data_facts):
    assert costs.fresh_passes(20, 0.25, data_facts) == pytest.approx(20 * (50 * (1 + 2 * 0.25) + 13) / 63)


def test_cached_views_pass_the_frozen_part_once(data_facts):
    expected = (0.75 * (4 * 50 + 13) + 20 * 0.25 * (50 * 3 + 13)) / 63
    assert costs.cached_passes(20, 0.25, 4, data_facts) == pytest.approx(expected)
