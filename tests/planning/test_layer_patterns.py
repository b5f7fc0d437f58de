from dataclasses import replace

import pytest

from kerastune_recipes.backbones.facts import LayerFacts
from kerastune_recipes.errors import RecipeError
from kerastune_recipes.planning import layer_patterns


def matched(rules, backbone):
    """Return the names of the layers in the group of each pattern."""
    return {
        group.pattern: [*(["head"] if group.head else []), *(layer.name for layer in group.layers)]
        for group in layer_patterns.group_layers(rules, backbone, "trainable")
    }


def test_first_match_wins(backbone_facts):
    assert matched([("head", 1.0), ("backbone/last_stage", 0.1), ("backbone", "frozen")], backbone_facts) == {
        "head": ["head"],
        "backbone/last_stage": ["stage2_conv", "stage2_bn"],
        "backbone": ["stem_conv", "stem_bn", "stage1_conv", "stage1_bn"],
    }


@pytest.mark.parametrize(
    ("pattern", "layers"),
    [
        ("backbone/stage1", ["stage1_conv", "stage1_bn"]),
        ("backbone/stage?", ["stage1_conv", "stage1_bn", "stage2_conv", "stage2_bn"]),
        ("backbone/stem_conv", ["stem_conv"]),
        ("backbone/stage2/*_bn", ["stage2_bn"]),
        ("backbone/last_stage/stage2_conv", ["stage2_conv"]),
        ("backbone/early_stages", ["stem_conv", "stem_bn"]),
        ("backbone/first_half", ["stem_conv", "stem_bn", "stage1_conv"]),
        ("backbone/first_1_stages", ["stem_conv", "stem_bn"]),
        ("backbone/first_2_stages", ["stem_conv", "stem_bn", "stage1_conv", "stage1_bn"]),
        ("backbone/first_2_stages/*_bn", ["stem_bn", "stage1_bn"]),
        ("backbone/last_2_stages", ["stage1_conv", "stage1_bn", "stage2_conv", "stage2_bn"]),
        ("backbone/last_1_stages", ["stage2_conv", "stage2_bn"]),
    ],
)
def test_patterns(pattern, layers, backbone_facts):
    assert matched([(pattern, 1.0), ("*", "frozen")], backbone_facts)[pattern] == layers


def test_all_stages_together_are_the_backbone(backbone_facts):
    rules = [("head", 1.0), ("backbone/last_3_stages", 1.0)]
    assert matched(rules, backbone_facts)["backbone/last_3_stages"] == [layer.name for layer in backbone_facts.layers]


def test_a_network_with_one_stage_has_no_early_stages(backbone_facts):
    facts = replace(backbone_facts, layers=backbone_facts.layers[:2], stages=("stem",))
    rules = [("head", 1.0), ("backbone/early_stages", "frozen"), ("backbone", 1.0)]
    assert matched(rules, facts) == {
        "head": ["head"],
        "backbone/early_stages": [],
        "backbone": ["stem_conv", "stem_bn"],
    }


def test_first_half_counts_layers_with_weights_only(backbone_facts):
    """A random layer has state but no weights."""
    dropout = LayerFacts("dropout", "stem", 0, 0, False)
    facts = replace(backbone_facts, layers=(dropout, *backbone_facts.layers[:2]))
    rules = [("backbone/first_half", "frozen"), ("*", 1.0)]
    assert matched(rules, facts)["backbone/first_half"] == ["stem_conv"]


@pytest.mark.parametrize("pattern", ["backbone/last_*", "backbone/first_4_stages", "backbone/last_0_stages"])
def test_a_part_matches_by_its_exact_name_only(pattern, backbone_facts):
    with pytest.raises(RecipeError, match="matches no layer.* backbone/last_N_stages with N up to 3, and layer names"):
        layer_patterns.group_layers([(pattern, 1.0), ("*", 1.0)], backbone_facts, "trainable")


def test_frozen_has_no_multiplier(backbone_facts):
    head, rest = layer_patterns.group_layers([("head", 0.5), ("backbone", "frozen")], backbone_facts, "trainable")
    assert (head.multiplier, rest.multiplier) == (0.5, None)


def test_all_problems_are_reported_at_once(backbone_facts):
    rules = [("head", 1.0), ("backbone", 1.0), ("backbone/stage1", "frozen"), ("backbone/stag3", "frozen")]
    with pytest.raises(RecipeError) as caught:
        layer_patterns.group_layers(rules, backbone_facts, "phases.x.fit.trainable")
    assert list(caught.value.problems) == [
        'phases.x.fit.trainable: the pattern "backbone/stage1" has no effect, because earlier patterns match all its '
        "layers; put it before them.",
        'phases.x.fit.trainable: the pattern "backbone/stag3" matches no layer. Did you mean "backbone/stage2"? '
        "Known patterns: head, backbone, backbone/stem, backbone/stage1, backbone/stage2, backbone/last_stage, "
        "backbone/early_stages, backbone/first_half, backbone/first_N_stages, backbone/last_N_stages with N up to 3, "
        "and layer names.",
    ]


def test_every_layer_must_be_covered(backbone_facts):
    with pytest.raises(
        RecipeError, match="no pattern matches 5 of the layers, the first being backbone/stem/stem_conv"
    ):
        layer_patterns.group_layers([("backbone/stage2", 1.0)], backbone_facts, "trainable")


def test_a_pattern_for_the_rest_may_match_nothing(backbone_facts):
    rules = [("head", 1.0), ("backbone/*", 1.0), ("backbone", "frozen")]
    assert matched(rules, backbone_facts)["backbone"] == []


@pytest.mark.parametrize(
    ("rules", "written"),
    [
        (
            [("head", 1.0), ("backbone", 1.0)],
            [("head", 1.0), ("backbone/stage2", 1.0), ("backbone/stage1", 0.4), ("backbone/stem", 0.16)],
        ),
        (
            [("*", 0.5)],
            [("head", 0.5), ("backbone/stage2", 0.5), ("backbone/stage1", 0.2), ("backbone/stem", 0.08)],
        ),
        (
            [("head", 10.0), ("backbone/first_1_stages", "frozen"), ("backbone", 1.0)],
            [("head", 10.0), ("backbone/first_1_stages", "frozen"), ("backbone/stage2", 1.0), ("backbone/stage1", 0.4)],
        ),
        (
            [("head", 1.0), ("backbone/*_bn", 3.0), ("backbone/stage1", 2.0), ("backbone", "frozen")],
            [("head", 1.0), ("backbone/*_bn", 3.0), ("backbone/stage1", 0.8), ("backbone", "frozen")],
        ),
        (
            [("head", 1.0), ("backbone/last_2_stages", 1.0), ("backbone/*", 1.0), ("backbone", "frozen")],
            [
                ("head", 1.0),
                ("backbone/stage2", 1.0),
                ("backbone/stage1", 0.4),
                ("backbone/stem", 0.16),
                ("backbone", "frozen"),
            ],
        ),
    ],
)
def test_decaying_rates_are_written_out_stage_by_stage(rules, written, backbone_facts):
    decayed = layer_patterns.with_stage_decay(rules, 0.4, backbone_facts, "stage_decay")
    assert list(decayed) == written
    before = {layer for layers in matched(rules, backbone_facts).values() for layer in layers}
    assert {layer for layers in matched(decayed, backbone_facts).values() for layer in layers} == before


@pytest.mark.parametrize(
    "rules",
    [
        [("head", 1.0), ("backbone/last_stage", 1.0), ("backbone", "frozen")],
        [("head", 1.0), ("backbone/*_conv", 1.0), ("backbone", "frozen")],
    ],
)
def test_a_decay_without_effect_is_refused(rules, backbone_facts):
    with pytest.raises(RecipeError, match=r"^x.stage_decay: no rule in trainable trains .* such as \[backbone, 1.0\]"):
        layer_patterns.with_stage_decay(rules, 0.4, backbone_facts, "x.stage_decay")


def test_layers_match_any_of_several_patterns(backbone_facts):
    patterns = ["backbone/last_stage", "backbone/stem_*"]
    assert layer_patterns.match_layers(patterns, backbone_facts, "x") == {
        "stage2_conv",
        "stage2_bn",
        "stem_conv",
        "stem_bn",
    }
    assert layer_patterns.match_layers([], backbone_facts, "x") == frozenset()


def test_patterns_that_match_nothing_are_reported_together(backbone_facts):
    with pytest.raises(RecipeError) as caught:
        layer_patterns.match_layers(["head", "backbone/stage2", "backbone/stage9"], backbone_facts, "fit.reinitialize")
    assert [problem.split(".", 2)[1] for problem in caught.value.problems] == [
        'reinitialize: the pattern "head" matches no layer of the backbone',
        'reinitialize: the pattern "backbone/stage9" matches no layer of the backbone',
    ]


def test_batch_norm_of_reinitialised_layers_is_trained_even_where_it_is_frozen(backbone_facts):
    groups = layer_patterns.group_layers([("head", 1.0), ("backbone", 1.0)], backbone_facts, "trainable")
    convolutions = {"stem_conv", "stage1_conv", "stage2_conv"}
    assert layer_patterns.trained_layers(groups, "frozen") == convolutions
    assert layer_patterns.trained_layers(groups, "frozen", {"stage2_conv", "stage2_bn"}) == convolutions | {"stage2_bn"}
