import pytest

from kerastune_recipes import trainable
from kerastune_recipes.errors import RecipeError


def taken(rules, backbone):
    """Pattern -> names of the layers it takes."""
    return {
        group.pattern: [*(["head"] if group.head else []), *(layer.name for layer in group.layers)]
        for group in trainable.groups(rules, backbone, "trainable")
    }


def test_first_match_wins(backbone_facts):
    assert taken([("head", 1.0), ("backbone/last_stage", 0.1), ("backbone", "frozen")], backbone_facts) == {
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
    ],
)
def test_patterns(pattern, layers, backbone_facts):
    assert taken([(pattern, 1.0), ("*", "frozen")], backbone_facts)[pattern] == layers


def test_frozen_has_no_multiplier(backbone_facts):
    head, rest = trainable.groups([("head", 0.5), ("backbone", "frozen")], backbone_facts, "trainable")
    assert (head.multiplier, rest.multiplier) == (0.5, None)


def test_every_problem_at_once(backbone_facts):
    rules = [("head", 1.0), ("backbone", 1.0), ("backbone/stage1", "frozen"), ("backbone/stag3", "frozen")]
    with pytest.raises(RecipeError) as caught:
        trainable.groups(rules, backbone_facts, "phases.x.fit.trainable")
    assert list(caught.value.problems) == [
        'phases.x.fit.trainable: the pattern "backbone/stage1" is never reached, because earlier patterns take all its '
        "layers; put it before them.",
        'phases.x.fit.trainable: the pattern "backbone/stag3" matches no layer. Did you mean "backbone/stage2"? '
        "There are head, backbone and backbone/stem, backbone/stage1, backbone/stage2, backbone/last_stage.",
    ]


def test_every_layer_must_be_covered(backbone_facts):
    with pytest.raises(RecipeError, match="no pattern covers 5 of the layers, the first being backbone/stem/stem_conv"):
        trainable.groups([("backbone/stage2", 1.0)], backbone_facts, "trainable")


def test_a_net_for_the_rest_may_find_nothing_left(backbone_facts):
    rules = [("head", 1.0), ("backbone/*", 1.0), ("backbone", "frozen")]
    assert taken(rules, backbone_facts)["backbone"] == []
