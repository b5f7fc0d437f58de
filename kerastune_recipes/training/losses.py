"""Losses of a fit phase, and L2-SP, a penalty on the distance from the starting weights."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from kerastune_recipes.model.network import Network
from kerastune_recipes.planning.plan import FitPlan

# Biases, and the scales and offsets of normalisation, are not decayed (Jia et al. 2018).
NOT_DECAYED = ("bias", "gamma", "beta")


def build(fit: FitPlan) -> keras.losses.Loss:
    """Build the loss of a phase: labels (b, classes), which sum to 1, and probabilities (b, classes) to a scalar.

    Example:
        >>> loss = build(fit)  # a plan with the loss "squared_error"
        >>> float(loss([[0.0, 1.0]], [[0.5, 0.5]]))
        0.5
    """
    given = fit.loss.model_dump(exclude={"name"}, exclude_none=True)
    match fit.loss.name:
        case "crossentropy":
            return keras.losses.CategoricalCrossentropy(label_smoothing=fit.label_smoothing)
        case "focal":
            # alpha 1, where Keras has 0.25, keeps the learning rates of cross-entropy.
            return keras.losses.CategoricalFocalCrossentropy(1.0, label_smoothing=fit.label_smoothing, **given)
        case "squared_error":
            return _SummedOverClasses(keras.losses.MeanSquaredError())
        case "huber":
            return _SummedOverClasses(keras.losses.Huber(**given))


class _SummedOverClasses(keras.losses.Loss):
    """A loss summed over classes instead of averaged, so that gradients do not shrink with the number of classes.

    Only used during a phase: the model that a run returns is compiled with a loss of Keras.
    """

    def __init__(self, mean: keras.losses.Loss):
        super().__init__(name=mean.name)
        self.mean = mean

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return self.mean.call(y_true, y_pred) * y_pred.shape[-1]


@contextmanager
def l2_sp(network: Network, strength: float | None, fresh: Collection[str] = ()) -> Iterator[None]:
    """Penalize the distance from the starting weights while the context lasts: L2-SP (Li et al. 2018).

    Adds `strength` / 2 times the squared distance to the loss of every model with the network's layers. Trained weights
    of the backbone are pulled towards their present values. Kernels of the head and of reinitialized layers are pulled
    towards zero, with the same strength (the paper's alpha and beta).

    Args:
        network: The layers, after `freeze`.
        strength: Strength of the penalty, above 0; None for no penalty.
        fresh: Names of reinitialized layers.
    """
    before = {}
    if strength is not None:
        for variable, start in _starts(network, fresh):
            before[variable.path] = variable, variable.regularizer
            variable.regularizer = _L2Distance(strength, start, variable.regularizer)
    try:
        yield
    finally:
        for variable, regularizer in before.values():
            variable.regularizer = regularizer


def _starts(network: Network, fresh: Collection[str]) -> Iterator[tuple[keras.Variable, Any]]:
    """Yield each penalized variable, with the values that it is pulled towards."""
    for layer in (*network.backbone.layers, network.head):
        is_fresh = layer is network.head or layer.name in fresh
        for variable in layer.trainable_variables:
            if not is_fresh:
                # A copy, because optimizers may change a variable in place.
                yield variable, np.array(keras.ops.convert_to_numpy(variable))
            elif variable.name not in NOT_DECAYED:
                yield variable, np.zeros((), variable.dtype)


class _L2Distance(keras.regularizers.Regularizer):
    def __init__(self, strength: float, start: np.ndarray, other: Callable[[Any], Any] | None):
        self.strength = strength
        # A tensor on the device, instead of a constant in each traced graph.
        self.start = keras.ops.convert_to_tensor(start)
        self.other = other

    def __call__(self, x: Any) -> Any:
        penalty = 0.5 * self.strength * keras.ops.sum(keras.ops.square(x - self.start))
        return penalty if self.other is None else penalty + self.other(x)
