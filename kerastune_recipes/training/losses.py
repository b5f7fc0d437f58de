"""Losses as a plan's `fit` phase states them, and the pull towards the weights that a phase starts from."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from kerastune_recipes.model.network import Network
from kerastune_recipes.planning.plan import FitPlan

# Biases, and what normalisation multiplies and adds, are not drawn to zero (Jia et al. 2018).
NOT_DECAYED = ("bias", "gamma", "beta")


def build(fit: FitPlan) -> keras.losses.Loss:
    """Make the loss of a phase: of probabilities (b, classes), given labels (b, classes) that sum to 1.

    Example:
        >>> loss = build(fit)  # its plan says "squared_error"
        >>> float(loss([[0.0, 1.0]], [[0.5, 0.5]]))
        0.5
    """
    given = fit.loss.model_dump(exclude={"name"}, exclude_none=True)
    match fit.loss.name:
        case "crossentropy":
            return keras.losses.CategoricalCrossentropy(label_smoothing=fit.label_smoothing)
        case "focal":
            # Weighing all classes 1, where Keras has 0.25, keeps the learning rates of cross-entropy.
            return keras.losses.CategoricalFocalCrossentropy(1.0, label_smoothing=fit.label_smoothing, **given)
        case "squared_error":
            return _OverClasses(keras.losses.MeanSquaredError())
        case "huber":
            return _OverClasses(keras.losses.Huber(**given))


class _OverClasses(keras.losses.Loss):
    """A mean over the classes made their sum, so that more classes do not mean smaller gradients.

    It lives only as long as its phase: the model that is handed over is compiled with a loss of Keras.
    """

    def __init__(self, mean: keras.losses.Loss):
        super().__init__(name=mean.name)
        self.mean = mean

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return self.mean.call(y_true, y_pred) * y_pred.shape[-1]


@contextmanager
def pulled(network: Network, strength: float | None, fresh: Collection[str] = ()) -> Iterator[None]:
    """Pull weights towards those that a phase starts from, while the context lasts: L2-SP (Li et al. 2018).

    Half of `strength` times the squared distance is added to the loss of every model that holds the network's layers.
    What is trained in the backbone is pulled towards its present values. The kernels of the head and of layers with
    fresh weights, which have no start worth keeping, are pulled towards zero: the paper's beta, here equal to alpha.

    Args:
        network: The layers, as `freeze` set them.
        strength: Above 0; None pulls nothing.
        fresh: Names of the layers that begin with fresh weights.
    """
    before = {}
    if strength is not None:
        for variable, start in _starts(network, fresh):
            before[variable.path] = variable, variable.regularizer
            variable.regularizer = _Pull(strength, start, variable.regularizer)
    try:
        yield
    finally:
        for variable, regularizer in before.values():
            variable.regularizer = regularizer


def _starts(network: Network, fresh: Collection[str]) -> Iterator[tuple[keras.Variable, Any]]:
    """Yield each trained variable that is pulled, with the values that it is pulled to."""
    for layer in (*network.backbone.layers, network.head):
        new = layer is network.head or layer.name in fresh
        for variable in layer.trainable_variables:
            if not new:
                # A copy, as the values of a variable may be changed in place.
                yield variable, np.array(keras.ops.convert_to_numpy(variable))
            elif variable.name not in NOT_DECAYED:
                yield variable, np.zeros((), variable.dtype)


class _Pull(keras.regularizers.Regularizer):
    def __init__(self, strength: float, start: np.ndarray, also: Callable[[Any], Any] | None):
        self.strength = strength
        # On the device once, instead of a constant in the graph of every step.
        self.start = keras.ops.convert_to_tensor(start)
        self.also = also

    def __call__(self, x: Any) -> Any:
        pull = 0.5 * self.strength * keras.ops.sum(keras.ops.square(x - self.start))
        return pull if self.also is None else pull + self.also(x)
