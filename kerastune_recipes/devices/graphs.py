"""Letting go of graphs that TensorFlow would keep until the process ends.

TensorFlow registers the gradient of each `tf.custom_gradient` in a graph under a new name, for good, and with it keeps
the graph: https://github.com/tensorflow/tensorflow/issues/97697. `tf.nn.silu` is one, so that each graph of an
EfficientNetB0 would cost 26 MiB. No public function takes a name out again.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras


def forget_gradients() -> None:
    """Take the gradients of the graph that is being traced out of TensorFlow's registry.

    Call it at the end of a trace, after all gradients of the graph were built: none can be built any more.
    """
    import tensorflow as tf
    from tensorflow.python.framework import ops

    if tf.executing_eagerly():
        return
    registered = getattr(ops.gradient_registry, "_registry", {})
    for operation in tf.compat.v1.get_default_graph().get_operations():
        # The other operations with this attribute share their gradient with other graphs.
        if operation.type == "IdentityN":
            registered.pop(_gradient(operation), None)


def _gradient(operation: Any) -> str:
    """Return the name under which the own gradient of an operation is registered; empty where it has none."""
    try:
        name = operation.get_attr("_gradient_op_type").decode()
    except ValueError:
        return ""
    return name if name.startswith("CustomGradient-") else ""


@contextmanager
def forgotten_after_fit(model: keras.Model) -> Iterator[None]:
    """Let the graphs of a model's `fit` go with the model; call `fit` once, while the context lasts.

    Args:
        model: A compiled model.

    Example:
        >>> with forgotten_after_fit(model):
        ...     model.fit(images, labels)
    """
    if keras.backend.backend() != "tensorflow":
        yield
        return
    model.train_step, model.test_step = _forgetting(model.train_step), _forgetting(model.test_step)
    try:
        yield
    finally:
        # The methods of the class are there again.
        del model.train_step, model.test_step


def _forgetting(step: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def run(data: Any) -> Any:
        results = step(data)
        forget_gradients()
        return results

    return run
