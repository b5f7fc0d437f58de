"""Undoing a training: the values that a model and callbacks had before it."""

from collections.abc import Callable, Sequence

import keras
import numpy as np

from kerastune_recipes.training.callback_state import set_state, state_of


def snapshot(model: keras.Model, callbacks: Sequence[keras.callbacks.Callback] = ()) -> Callable[[], None]:
    """Remember all variables of a model, and what callbacks remember.

    Args:
        model: Any model; its weights, the statistics of BatchNormalization and the states of random generators are
            remembered.
        callbacks: Callbacks, which are remembered as checkpoints do, see `callback_state`.

    Returns:
        A function that sets all of them to the remembered values.

    Example:
        >>> undo = snapshot(model)
        >>> model.fit(images, labels)
        >>> undo()
    """
    # Copies, because optimizers may change a variable in place.
    values = [(variable, np.array(keras.ops.convert_to_numpy(variable))) for variable in model.variables]
    arrays: dict[str, np.ndarray] = {}
    states = [(one, state_of(one, arrays, f"{number}.")) for number, one in enumerate(callbacks)]
    copies = {name: array.copy() for name, array in arrays.items()}

    def restore() -> None:
        for variable, value in values:
            variable.assign(value)
        for callback, state in states:
            set_state(callback, state, copies)

    return restore
