"""What the phases of a run share: features that follow the weights, images of folds, predictions."""

import numpy as np

from kerastune_recipes.data.split_images import TEST, TRAIN, VALIDATION
from kerastune_recipes.run.context import scores


def test_features_are_kept_while_the_weights_of_the_backbone_stay(context):
    bank = context.bank()
    kernel, bias = context.network.head.get_weights()
    context.network.put_head(kernel + 1, bias)
    assert context.bank() is bank


def test_features_follow_the_weights_of_the_backbone(context):
    before = context.bank().features(TRAIN).plain
    context.network.set_weights([weight * 0.5 for weight in context.network.model.get_weights()])
    after = context.bank().features(TRAIN).plain
    assert not np.array_equal(before, after)
    assert context.bank().computed == 12


def test_a_fold_trains_on_some_images_and_is_judged_by_others(context):
    fold = context.on_fold(np.arange(8), np.arange(8, 12))
    labels = context.images[TRAIN].labels
    np.testing.assert_array_equal(fold.images[TRAIN].labels, labels[:8])
    np.testing.assert_array_equal(fold.images[VALIDATION].labels, labels[8:])
    assert TEST not in fold.images
    assert context.judged_split == VALIDATION


def test_a_refit_trains_on_the_held_out_images_too(context):
    everything = context.on_all_images()
    assert len(everything.images[TRAIN].labels) == 18
    assert everything.judged_split == TRAIN
    assert everything.network is context.network


def test_features_and_head_predict_what_the_model_predicts(context):
    whole, by_features = context.predict(TEST), context.predict_by_features(TEST)
    assert whole.shape == (3, 3)
    np.testing.assert_allclose(whole, by_features, atol=1e-2)  # features may be cached in half precision


def test_scores_are_those_of_the_images_that_judge(context):
    labels = context.images[VALIDATION].labels
    assert scores(np.eye(3, dtype=np.float32)[labels], context.judges, balanced=False)["accuracy"] == 1.0
    assert scores(np.empty((0, 3), np.float32), context.judges, balanced=False) == {}


def test_taps_have_the_names_of_the_plan(context):
    assert context.taps == context.plan.features.taps
