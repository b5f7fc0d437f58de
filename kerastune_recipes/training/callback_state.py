"""The state of Keras callbacks as plain data: what EarlyStopping and others remember, saved and set again."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

# Attributes that are no state. The sign of `min_delta` is flipped by Keras itself at the first epoch.
_NOT_STATE = ("_model", "params", "min_delta")
# Nested deeper than any record of a callback; a list that contains itself ends here.
_DEEPEST = 20


class _NotPlainError(Exception):
    """A value that is neither numbers, text nor arrays."""


def state_of(callback: keras.callbacks.Callback, arrays: dict[str, np.ndarray], prefix: str) -> dict[str, Any]:
    """Return the attributes of a callback that are numbers, text, arrays, or lists and dictionaries of them.

    Other attributes, such as functions and open files, are left out.

    Args:
        callback: Any callback.
        arrays: Arrays are added to these, under names that begin with `prefix`.
        prefix: A text that no other callback has.

    Returns:
        Data for JSON, from which `set_state` sets the attributes.

    Example:
        >>> arrays = {}
        >>> state_of(keras.callbacks.EarlyStopping(patience=3), arrays, "0.")["patience"]
        3
    """
    found = {}
    for name, value in vars(callback).items():
        if name not in _NOT_STATE:
            own: dict[str, np.ndarray] = {}
            try:
                found[name] = _encoded(value, own, f"{prefix}{name}", 0)
            except _NotPlainError:
                continue
            arrays |= own
    return found


def set_state(callback: keras.callbacks.Callback, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Set the attributes that `state_of` returned."""
    for name, value in state.items():
        setattr(callback, name, _decoded(value, arrays))


def _encoded(value: Any, arrays: dict[str, np.ndarray], name: str, depth: int) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic | np.ndarray) and value.dtype.kind in "biuf":
        arrays[name] = np.asarray(value)
        return {"scalar" if isinstance(value, np.generic) else "array": name}
    if depth < _DEEPEST and isinstance(value, list | tuple):
        items = [_encoded(item, arrays, f"{name}.{index}", depth + 1) for index, item in enumerate(value)]
        return {"list" if isinstance(value, list) else "tuple": items}
    if depth < _DEEPEST and isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"dict": {key: _encoded(item, arrays, f"{name}.{key}", depth + 1) for key, item in value.items()}}
    raise _NotPlainError


def _decoded(value: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    if not isinstance(value, dict):
        return value
    (kind, content), *_ = value.items()
    match kind:
        case "array":
            return arrays[content]
        case "scalar":
            return arrays[content][()]
        case "dict":
            return {key: _decoded(item, arrays) for key, item in content.items()}
        case _:
            items = [_decoded(item, arrays) for item in content]
            return items if kind == "list" else tuple(items)
