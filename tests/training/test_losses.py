"""Losses of a phase, and the L2-SP penalty."""

import keras
import numpy as np
import pytest

from kerastune_recipes.model.freeze import freeze
from kerastune_recipes.planning import layer_patterns
from kerastune_recipes.training import losses

# A confident hit, an uncertain one, and a mixed label.
LABELS = np.array([[1, 0, 0], [0, 1, 0], [0.5, 0.5, 0]])
PROBABILITIES = np.array([[0.8, 0.1, 0.1], [0.2, 0.6, 0.2], [0.25, 0.5, 0.25]])


def value(fit_plan, loss, **changes):
    return float(losses.build(fit_plan(loss=loss, **changes))(LABELS, PROBABILITIES))


def crossentropy(labels):
    return -(labels * np.log(PROBABILITIES)).sum(axis=1)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("crossentropy", crossentropy(LABELS)),
        ({"name": "focal", "gamma": 0.0}, crossentropy(LABELS)),
        ({"name": "focal", "gamma": 2.0}, -(LABELS * (1 - PROBABILITIES) ** 2 * np.log(PROBABILITIES)).sum(axis=1)),
        ("squared_error", ((LABELS - PROBABILITIES) ** 2).sum(axis=1)),
        # Errors above delta are linear: delta * error - delta^2 / 2.
        ({"name": "huber", "delta": 0.25}, [0.03, 0.02 + 0.02 + 0.25 * 0.4 - 0.25**2 / 2, 2 * 0.25**2 / 2]),
        ("huber", ((LABELS - PROBABILITIES) ** 2).sum(axis=1) / 2),
    ],
)
def test_losses_of_each_image(loss, expected, fit_plan):
    assert value(fit_plan, loss) == pytest.approx(np.mean(expected), rel=1e-5)


@pytest.mark.parametrize("loss", ["crossentropy", {"name": "focal", "gamma": 0.0}])
def test_labels_are_smoothed(loss, fit_plan):
    smooth = 0.9 * LABELS + 0.1 / 3
    assert value(fit_plan, loss, label_smoothing=0.1) == pytest.approx(crossentropy(smooth).mean(), rel=1e-5)


LAST_STAGE = [("head", 1.0), ("backbone/last_stage", 1.0), ("backbone", "frozen")]


def frozen_but_last(network, facts, fresh=()):
    freeze(network, layer_patterns.group_layers(LAST_STAGE, facts, "trainable"), "frozen", fresh=fresh)


def shift(variables, by):
    for variable in variables:
        variable.assign_add(np.full(variable.shape, by))


def test_l2_sp_is_half_the_squared_distance_from_the_start(assembled):
    _, facts, network = assembled()
    frozen_but_last(network, facts)
    trained = [variable for layer in network.backbone.layers for variable in layer.trainable_variables]
    kernel = np.array(network.head.kernel)
    with losses.l2_sp(network, 0.01):
        assert float(sum(network.core.losses)) == pytest.approx(0.005 * (kernel**2).sum(), rel=1e-5)
        shift([*trained, network.head.bias], by=0.5)
        shift(network.backbone.get_layer("stem_conv").weights, by=0.5)  # frozen, so without a penalty
        moved = sum(int(np.prod(variable.shape)) for variable in trained)
        expected = 0.005 * ((kernel**2).sum() + 0.25 * moved)
        assert float(sum(network.core.losses)) == pytest.approx(expected, rel=1e-5)
    assert network.core.losses == []


def test_reinitialized_layers_and_the_head_are_pulled_to_zero(assembled):
    _, facts, network = assembled()
    fresh = layer_patterns.match_layers(["backbone/last_stage"], facts, "reinitialize")
    frozen_but_last(network, facts, fresh)
    kernels = [variable for variable in network.core.trainable_variables if variable.name == "kernel"]
    assert {variable.name for variable in network.core.trainable_variables} == {"kernel", "bias", "gamma", "beta"}
    with losses.l2_sp(network, 2.0, fresh):
        squares = sum((np.array(kernel) ** 2).sum() for kernel in kernels)
        assert float(sum(network.core.losses)) == pytest.approx(squares, rel=1e-5)


def test_a_users_regularizer_is_kept(assembled):
    _, facts, network = assembled()
    frozen_but_last(network, facts)
    own = keras.regularizers.L2(1.0)
    kernel = network.backbone.get_layer("stage3_1_conv").kernel
    kernel.regularizer = own
    with losses.l2_sp(network, 1.0):
        head = 0.5 * (np.array(network.head.kernel) ** 2).sum()
        both = head + (np.array(kernel) ** 2).sum()
        assert float(sum(network.core.losses)) == pytest.approx(both, rel=1e-5)
    assert kernel.regularizer is own


def test_without_a_strength_there_is_no_penalty(assembled):
    _, facts, network = assembled()
    frozen_but_last(network, facts)
    with losses.l2_sp(network, None):
        assert network.core.losses == []
