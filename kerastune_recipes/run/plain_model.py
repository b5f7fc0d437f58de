"""The model that a run returns: plain Keras, compiled so that `evaluate` and `fit` work."""

import keras

from kerastune_recipes.devices.facts import Precision
from kerastune_recipes.planning import rules
from kerastune_recipes.training import optimizers


def without_strategy(model: keras.Model) -> keras.Model:
    """Return a copy of a model that was built for several workers, and would need all of them for each prediction."""
    copy = keras.Model.from_config(model.get_config())
    copy.set_weights(model.get_weights())
    return copy


def compile_plainly(model: keras.Model, one_hot_labels: bool, precision: Precision) -> None:
    """Compile a model so that `evaluate` and `fit` work, and any Keras can load it.

    Args:
        model: Raw images to probabilities.
        one_hot_labels: Whether the labels were given as one-hot rows.
        precision: What the backbone computes in.
    """
    loss = keras.losses.CategoricalCrossentropy if one_hot_labels else keras.losses.SparseCategoricalCrossentropy
    # Without momentum, whose variables would double the file and take a moment to make.
    optimizer = optimizers.with_loss_scaling(keras.optimizers.SGD(rules.FINE_TUNING_RATES["sgd"]), precision)
    # Without XLA, which has no antialiased resizing under TensorFlow. The saved file keeps this setting and may be
    # loaded under any backend.
    model.compile(optimizer=optimizer, loss=loss(), metrics=["accuracy"], jit_compile=False)
    # Built, so that the saved file holds its variables and loads without a warning.
    model.optimizer.build(model.trainable_variables)
