from dataclasses import replace

import pytest

from kerastune_recipes.devices.facts import ONE_CPU, HardwareFacts
from kerastune_recipes.planning import rules
from kerastune_recipes.spec.heads import HEADS


@pytest.mark.parametrize(
    ("median", "size"), [((200, 300), 224), ((160, 213), 224), ((105, 105), 160), ((32, 32), 128), ((28, 500), 128)]
)
def test_small_images_get_a_smaller_input_size(median, size, data_facts):
    assert rules.image_size(224, 32, replace(data_facts, median_size=median)) == size


def test_image_size_stays_within_the_limits_of_the_network(data_facts):
    tiny = replace(data_facts, median_size=(8, 8))
    assert rules.image_size(default=299, minimum=139, data=tiny) == 139
    assert rules.image_size(default=32, minimum=16, data=tiny) == 32


def test_a_batch_is_no_larger_than_the_data(data_facts):
    assert rules.batch_size(data_facts) == 32
    assert rules.batch_size(replace(data_facts, train=(5, 4))) == 9


def test_sgd_rate_grows_with_the_batch_and_adam_does_not():
    assert rules.learning_rate("sgd", 32, pretrained=True) == 3e-3
    assert rules.learning_rate("sgd", 64, pretrained=True) == 6e-3
    assert rules.learning_rate("adam", 64, pretrained=True) == rules.learning_rate("adam", 32, pretrained=True)


def test_random_weights_get_a_higher_rate():
    assert rules.learning_rate("sgd", 256, pretrained=False) == pytest.approx(0.1)


@pytest.mark.parametrize(("steps_per_epoch", "epochs"), [(2, 20), (3, 17), (5, 10), (40, 10), (50, 8), (1000, 5)])
def test_epochs_follow_the_steps_per_epoch(steps_per_epoch, epochs):
    assert rules.epochs(steps_per_epoch) == epochs


def test_batch_norm_statistics_converge_within_a_run():
    assert rules.batch_norm_momentum(8) == 0.9
    assert rules.batch_norm_momentum(1000) == 0.99


@pytest.mark.parametrize(
    ("train", "folds"),
    [((30, 20), 5), ((30, 1), 5), ((4, 4), 4), ((4, 3, 3), 3), ((1, 1), 0), ((300, 20), 3), ((300, 2), 3), ((2, 2), 2)],
)
def test_folds_are_what_the_bulk_of_the_images_allows(train, folds, data_facts):
    assert rules.folds(replace(data_facts, train=train)) == folds


@pytest.mark.parametrize(("train_groups", "folds"), [((8, 6), 5), ((3, 6), 3), ((2, 2), 2), ((1, 1), 0)])
def test_folds_are_no_more_than_the_groups_of_a_class(train_groups, folds, data_facts):
    assert rules.folds(replace(data_facts, train=(30, 20), train_groups=train_groups)) == folds


def test_strengths_come_from_the_table_of_heads():
    assert rules.strengths("lda", folds=5) == HEADS["lda"].strengths
    assert rules.strengths("lda", folds=0) == (HEADS["lda"].default_strength,)


def test_taps_are_stages_or_names(backbone_facts):
    assert rules.taps("last", backbone_facts) == ("stage2",)
    assert rules.taps("all", backbone_facts) == ("stem", "stage1", "stage2")
    assert rules.taps("early", backbone_facts) == ("stem", "stage1")
    assert rules.taps(("stem_conv",), backbone_facts) == ("stem_conv",)


def test_there_are_no_more_views_than_epochs_and_one_without_augmentation():
    assert rules.views(augmented=True, epochs=20) == 4
    assert rules.views(augmented=True, epochs=3) == 3
    assert rules.views(augmented=False, epochs=20) == 1


def test_cached_views_pay_where_they_save_enough_and_are_small_enough():
    assert rules.views_pay(fresh_passes=15.0, cached_passes=10.0, cached_bytes=2**30)
    assert not rules.views_pay(fresh_passes=14.9, cached_passes=10.0, cached_bytes=2**30)
    assert not rules.views_pay(fresh_passes=100.0, cached_passes=10.0, cached_bytes=2**34)


def test_classes_are_balanced_from_a_ratio_of_three(data_facts):
    assert not rules.unbalanced(replace(data_facts, train=(30, 11)))
    assert rules.unbalanced(replace(data_facts, train=(30, 10)))


@pytest.mark.parametrize(("train", "way"), [((30, 3), "weights"), ((31, 3), "sampling")])
def test_a_fit_phase_balances_by_weights_up_to_a_ratio_of_ten(train, way, data_facts):
    assert rules.fit_balance(replace(data_facts, train=train)) == way


@pytest.mark.parametrize(
    ("hardware", "precision"),
    [
        (ONE_CPU, "float32"),
        (HardwareFacts(device="gpu", capability=(9, 0)), "bfloat16"),
        (HardwareFacts(device="gpu", capability=(8, 0)), "bfloat16"),
        (HardwareFacts(device="gpu", capability=(7, 5)), "float32"),
        (HardwareFacts(device="gpu"), "float32"),
        (HardwareFacts("jax", "tpu"), "bfloat16"),
    ],
)
def test_half_precision_where_the_hardware_has_bfloat16(hardware, precision):
    assert rules.precision(hardware) == precision


@pytest.mark.parametrize(
    ("hardware", "compiled"),
    [
        (ONE_CPU, False),
        (HardwareFacts(device="gpu"), True),
        (HardwareFacts(device="gpu", devices=2), False),
        (HardwareFacts("jax"), True),
        (HardwareFacts("torch", "gpu"), False),
    ],
)
def test_steps_are_compiled_where_keras_would_compile_them(hardware, compiled):
    assert rules.jit_compile(hardware) is compiled
