import math

import pytest

from kerastune_recipes.planning import costs

ALL = ("stem", "stage1", "stage2")
# Each weight of the tiny network acts at every position: 256 in the stem, 64 in stage1, 16 in stage2.
STEM, STAGE1, STAGE2 = (100 + 32) * 256, (200 + 64) * 64, (300 + 128) * 16


def test_the_boundary_lies_before_the_first_layer_that_moves(backbone_facts):
    end = costs.find_boundary(backbone_facts, {"stage2_conv"}, ALL, flat=False)
    assert end.layers == ("stage1_bn",)
    assert end.values == 8 * 8 * 16 + 8 + 16
    assert end.share == pytest.approx(STAGE2 / (STEM + STAGE1 + STAGE2))


def test_a_head_that_sees_every_position_needs_every_position(backbone_facts):
    end = costs.find_boundary(backbone_facts, {"stage2_conv"}, ALL, flat=True)
    assert end.values == 8 * 8 * 16 + 16 * 16 * 8 + 8 * 8 * 16


def test_with_nothing_moving_the_features_are_all_there_is(backbone_facts):
    end = costs.find_boundary(backbone_facts, (), ALL, flat=False)
    assert (end.layers, end.values, end.share) == ((), 8 + 16 + 32, 0)


def test_with_the_first_layer_moving_nothing_is_fixed(backbone_facts):
    assert costs.find_boundary(backbone_facts, {"stem_conv"}, ALL, flat=False).share == 1


@pytest.mark.parametrize(("name", "size"), [("ResNet50", 64), ("NASNetMobile", 64), ("DemoNet", 32)])
def test_the_boundary_of_the_facts_is_that_of_the_network(name, size, assembled):
    from kerastune_recipes.model import frozen_part
    from kerastune_recipes.model.freeze import freeze
    from kerastune_recipes.planning import layer_patterns

    _, facts, network = assembled(name, size, taps="all")
    groups = layer_patterns.group_layers([("head", 1.0), ("backbone/last_stage", 1.0), ("backbone", "frozen")], facts, "")
    freeze(network, groups, "frozen")
    end = costs.find_boundary(facts, layer_patterns.moving(groups, "frozen"), facts.stages, flat=False)
    real = frozen_part.split(network).fixed.outputs
    assert end.values == sum(math.prod(tensor.shape[1:]) for tensor in real)


def test_room(data_facts):
    assert costs.Boundary(("x",), 1000, 0.5).bytes(4, data_facts) == 4 * 1000 * (4 * 50 + 13)


def test_each_fresh_epoch_passes_all_and_goes_back_to_the_boundary(data_facts):
    assert costs.fresh(20, 0.25, data_facts) == pytest.approx(20 * (50 * (1 + 2 * 0.25) + 13) / 63)


def test_behind_the_frozen_part_its_cost_is_paid_once(data_facts):
    expected = (0.75 * (4 * 50 + 13) + 20 * 0.25 * (50 * 3 + 13)) / 63
    assert costs.behind(20, 0.25, 4, data_facts) == pytest.approx(expected)
