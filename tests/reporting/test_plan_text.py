"""A plan in words: what it says of images, network, phases and costs."""

from dataclasses import replace

import pytest

from kerastune_recipes.backbones.facts import PretrainedClassifierFacts, Scaling
from kerastune_recipes.planning.resolve import resolve
from kerastune_recipes.reporting.plan_text import describe
from kerastune_recipes.spec import catalog


def described(data_facts, backbone_facts, **overrides):
    spec = catalog.load("small_similar", overrides)
    return " ".join(
        describe(resolve("small_similar", spec, data_facts, backbone_facts), data_facts, backbone_facts).split()
    )


def test_a_plan_describes_images_network_phases_and_layers(data_facts, backbone_facts):
    text = described(data_facts, backbone_facts)
    for words in (
        "Plan: small_similar Few images",
        "50 training, 13 validation (held out of the training images, stratified; solved heads are refitted on all "
        "images), no test",
        "2: ants 30, bees 20",
        "200x300 median, 100x120 to 400x600 (height x width)",
        "resized to 32x32; pixels scaled to -1..1",
        "stem 16x16x8; stage1 8x8x16; stage2 4x4x32",
        "56 features, 114 parameters",
        "L2 strength from 3162.28 down to 0.1, by 5-fold cross-validation",
        "batch norm 3 frozen, 0 trained",
        "cosine, peak 0.003, 4 steps of warmup, 40 steps = 20 epochs of global batch 32",
        "backbone/early_stages 2 132 frozen",
        "backbone 4 692 0.003",
        "sgd, momentum 0.9, nesterov True, gradient clipped to norm 1",
        "RandomFlip(mode=horizontal)",
    ):
        assert words in text


def test_words_of_the_data_are_shown_as_they_are_and_cannot_steer_the_terminal(data_facts, backbone_facts):
    strange = replace(data_facts, class_names=("[/b] ants", ":bee:"), source="photos\x1b[2J[red]")
    text = described(strange, backbone_facts)
    assert "2: [/b] ants 30, :bee: 20" in text
    assert r"data photos\x1b[2J[red] images" in text


def test_precision_is_named(data_facts, backbone_facts):
    assert "precision float32 keep" in described(data_facts, backbone_facts)
    half = described(data_facts, backbone_facts, precision="bfloat16", jit_compile=True)
    assert (
        "precision bfloat16 in the backbone; weights, head and probabilities in float32; training steps compiled keep"
        in half
    )


def test_notes_on_the_data_are_listed(data_facts, backbone_facts):
    text = described(replace(data_facts, notes=("photos: one.", "photos: two.")), backbone_facts)
    assert "(height x width) note photos: one. note photos: two." in text


def test_groups_are_named(data_facts, backbone_facts):
    text = described(replace(data_facts, groups=12, grouped_by="folder level 1"), backbone_facts)
    assert (
        "(held out of the training images, stratified, groups kept whole; solved heads are refitted on all images)"
        in text
    )
    assert "grouped by folder level 1, 12 groups" in text


def test_preprocessing_without_a_name_shows_its_numbers(data_facts, backbone_facts):
    scaling = Scaling(scale=1 / 255, offset=(0.0, -0.5, 1.0))
    text = described(data_facts, replace(backbone_facts, preprocessing=scaling))
    assert "resized to 32x32; pixels times 0.003922, plus 0/-0.5/1" in text


def test_test_images_and_unlabelled_images_are_counted(data_facts, backbone_facts):
    assert "no test, 300 unlabelled classes" in described(replace(data_facts, unlabeled=300), backbone_facts)
    assert "12 test classes" in described(replace(data_facts, test=(6, 6)), backbone_facts)


def test_cross_validation_takes_the_place_of_validation_images(data_facts, backbone_facts):
    text = described(replace(data_facts, validation=(0, 0)), backbone_facts, folds=4)
    assert "50 training (4-fold cross-validation; the final model trains on all of them), no test" in text


def test_a_flatten_head_shows_its_size_at_each_image_size(data_facts, backbone_facts):
    twice = replace(
        backbone_facts,
        image_size=64,
        taps=tuple(
            replace(tap, shape=(2 * tap.shape[0], 2 * tap.shape[1], tap.shape[2])) for tap in backbone_facts.taps
        ),
    )
    known = replace(backbone_facts, other_sizes=(twice,))
    text = described(data_facts, known, **{"head.pooling": "flatten"})
    assert "flatten -> dense: 3,584 features, 7,170 parameters" in text
    assert "at 32: 7,170; at 64: 28,674; avg or max pooling would need 114 at any size" in text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"loss": "focal"}, "loss focal, gamma 2"),
        ({"loss": {"name": "huber", "delta": 0.2}}, "loss huber, delta 0.2"),
        ({"class_balance": "weights"}, "classes unbalanced, 1.5 to 1: weighted"),
        ({"class_balance": "sampling"}, "classes unbalanced, 1.5 to 1: sampled equally often"),
        ({"reinitialize": ["backbone/last_stage"]}, "reinitialized backbone/last_stage head"),
        ({"reinitialize": ["backbone/last_stage"]}, "batch norm 2 frozen, 1 trained"),
        ({"l2_sp": 0.01}, "L2-SP 0.01: pulls trained layers to their initial weights, the head to zero"),
        (
            {"trainable": [["head", 1.0], ["backbone", 1.0]], "stage_decay": 0.1},
            "backbone/stage2 2 428 0.003 backbone/stage1 2 264 0.0003 backbone/stem 2 132 3e-05",
        ),
    ],
)
def test_options_of_a_fit_phase_are_shown_where_they_are_used(changes, words, data_facts, backbone_facts):
    overrides = {f"phases.fine_tuning.fit.{key}": value for key, value in changes.items()}
    assert words in described(data_facts, backbone_facts, **overrides)
    assert words not in described(data_facts, backbone_facts)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"taps": "best"}, "taps one of them, by held-out log loss"),
        ({"class_balance": "weights"}, "class balance all classes weighted equally"),
        ({"regularization": 10.0}, "L2 strength 10, calibrated by 5-fold cross-validation"),
    ],
)
def test_options_of_a_solved_head_are_shown_where_they_are_used(changes, words, data_facts, backbone_facts):
    overrides = {f"phases.feature_extraction.solve.{key}": value for key, value in changes.items()}
    assert words in described(data_facts, backbone_facts, **overrides)
    assert words not in described(data_facts, backbone_facts)


def test_classes_too_small_to_cross_validate_leave_the_head_uncalibrated(data_facts, backbone_facts):
    text = described(replace(data_facts, train=(1, 1)), backbone_facts)
    assert "L2 strength 100, not calibrated (no cross-validation)" in text


def test_cached_views_show_their_size_and_what_they_save(data_facts, backbone_facts):
    last = {"phases.fine_tuning.fit.trainable": [["head", 1.0], ["backbone/last_stage", 1.0], ["backbone", "frozen"]]}
    text = described(data_facts, backbone_facts, **last)
    assert "views 4 augmented views, computed once up to the end of stage1: 872.0 KiB" in text
    assert "expected cost 10.1 forward passes (24.8 with fresh augmentation in every epoch)" in text
    fresh = described(data_facts, backbone_facts, **last, **{"phases.fine_tuning.fit.views": "fresh"})
    assert "expected cost 24.8 forward passes" in fresh
    assert "computed once" not in fresh


def test_pretrained_classes_are_named(data_facts, backbone_facts):
    spec = catalog.load(
        "reuse_head", {"phases.feature_extraction.solve.pretrained_classes": {"bees": [1, 2], "ants": []}}
    )
    for names, words in (
        (
            ("ant", "bee", "wasp"),
            "pretrained classes bees from bee (1), wasp (2); from the means of their features: ants",
        ),
        ((), "pretrained classes bees from 1, 2; from the means of their features: ants"),
    ):
        backbone = replace(backbone_facts, pretrained_classifier=PretrainedClassifierFacts(classes=3, names=names))
        text = " ".join(describe(resolve("reuse_head", spec, data_facts, backbone), data_facts, backbone).split())
        assert "logistic regression from the pretrained classifier, L2 strength from 3162.28 down to 0.1" in text
        assert words in text
