"""Where a network splits into its frozen part and the rest."""

import numpy as np
import pytest

from kerastune_recipes.model import frozen_part
from kerastune_recipes.model.freeze import freeze, frozen_dropout_off
from kerastune_recipes.planning import layer_patterns

LAST_STAGE = [("head", 1.0), ("backbone/last_stage", 1.0), ("backbone", "frozen")]


def split(network, facts, rules=LAST_STAGE, batch_norm="frozen"):
    groups = layer_patterns.group_layers(rules, facts, "trainable")
    freeze(network, groups, batch_norm)
    with frozen_dropout_off(network.backbone, groups):
        return frozen_part.split(network)


def shapes(parts):
    return [tuple(tensor.shape[1:]) for tensor in parts.frozen.outputs]


@pytest.mark.parametrize("name", ["VGG16", "ResNet50", "MobileNetV2", "EfficientNetB0", "ConvNeXtTiny", "DemoNet"])
def test_frozen_part_and_rest_compute_the_network(name, assembled, pictures):
    _, facts, network = assembled(name, taps="all")
    parts = split(network, facts)
    pixels, _ = pictures(2)
    np.testing.assert_allclose(
        parts.rest.predict_on_batch(parts.frozen.predict_on_batch(pixels)),
        network.core.predict_on_batch(pixels),
        atol=1e-6,
    )
    assert not parts.frozen.trainable_variables
    trained = {variable.path for variable in network.core.trainable_variables}
    assert {variable.path for variable in parts.rest.trainable_variables} == trained
    ours = {id(variable) for variable in network.core.variables}
    assert {id(variable) for variable in parts.rest.weights} <= ours


def test_the_boundary_is_the_last_frozen_activation_and_the_pooled_features_of_frozen_stages(assembled):
    _, facts, network = assembled("ResNet50", size=64, taps="all")
    assert shapes(split(network, facts)) == [(4, 4, 1024), (64,), (256,), (512,), (1024,)]


def test_training_only_the_head_splits_at_the_features(assembled):
    _, facts, network = assembled(taps="all")
    parts = split(network, facts, [("head", 1.0), ("backbone", "frozen")])
    assert shapes(parts) == [(network.extractor.output_shape[-1],)]
    assert len(parts.rest.weights) == 2


def test_trained_batch_norm_ends_the_frozen_part(assembled):
    """The stem's BatchNormalization is trainable by its layer pattern, but only with `batch_norm: trained`."""
    _, facts, network = assembled()
    rules = [("head", 1.0), ("backbone/stem_bn", 1.0), ("backbone/last_stage", 1.0), ("backbone", "frozen")]
    assert shapes(split(network, facts, rules)) == shapes(split(network, facts))
    stem = next(output for output in facts.outputs if output.name == "stem_conv").shape
    assert shapes(split(network, facts, rules, "trained")) == [stem]


def test_active_dropout_ends_the_frozen_part(assembled):
    _, facts, network = assembled("EfficientNetB0")
    groups = layer_patterns.group_layers([("head", 1.0), ("backbone", "frozen")], facts, "trainable")
    freeze(network, groups, "frozen")
    with frozen_dropout_off(network.backbone, groups):
        without_dropout = shapes(frozen_part.split(network))
    # The first stochastic depth is in the second block of stage1.
    with_dropout = shapes(frozen_part.split(network))
    assert without_dropout == [(1280,)]
    assert all(len(shape) == 3 for shape in with_dropout)
