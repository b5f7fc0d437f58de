from dataclasses import replace

from kerastune_recipes import catalog
from kerastune_recipes.describe import describe
from kerastune_recipes.plan import resolve


def described(data_facts, backbone_facts, **overrides):
    spec = catalog.load("small_similar", overrides)
    return " ".join(
        describe(resolve("small_similar", spec, data_facts, backbone_facts), data_facts, backbone_facts).split()
    )


def test_a_plan_says_what_will_happen(data_facts, backbone_facts):
    text = described(data_facts, backbone_facts)
    for said in (
        "50 training, 13 validation (held out of the training images, stratified), none test",
        "2: ants 30, bees 20",
        "200x300 median, 100x120 to 400x600 (height x width)",
        "resized to 32x32; pixels scaled to -1..1",
        "stem 16x16x8; stage1 8x8x16; stage2 4x4x32",
        "56 features, 114 parameters",
        "L2 strength from 3162.28 down to 0.1 by 5-fold cross-validation",
        "batch norm 3 frozen, 0 trained",
        "cosine, peak 0.003, 4 steps of warmup, 40 steps = 20 epochs of batch 32",
        "backbone/last_stage 2 428 0.003",
        "backbone 4 396 frozen",
        "sgd, momentum 0.9, nesterov True, gradient clipped to norm 1",
        "RandomFlip(mode=horizontal)",
    ):
        assert said in text


def test_groups_are_told(data_facts, backbone_facts):
    text = described(replace(data_facts, groups=12, grouped_by="folder level 1"), backbone_facts)
    assert "(held out of the training images, stratified, groups whole)" in text
    assert "grouped by folder level 1, 12 groups" in text


def test_unlabelled_images_are_told(data_facts, backbone_facts):
    assert "none test, 300 unlabelled" in described(replace(data_facts, unlabeled=300), backbone_facts)


def test_a_flatten_head_says_what_it_costs(data_facts, backbone_facts):
    text = described(data_facts, backbone_facts, **{"head.pooling": "flatten"})
    assert "flatten (parameters grow with the square of the image size; avg pooling would not)" in text
    assert "3,584 features, 7,170 parameters" in text


def test_views_say_what_they_take_and_save(data_facts, backbone_facts):
    text = described(data_facts, backbone_facts)
    assert "views 4 augmented views, computed once to the end of stage1: 872.0 KiB" in text
    assert "expected cost 9.1 forward passes (23.8 if every epoch augmented anew)" in text
    fresh = described(data_facts, backbone_facts, **{"phases.fine_tuning.fit.views": "fresh"})
    assert "expected cost 23.8 forward passes" in fresh
    assert "computed once" not in fresh
