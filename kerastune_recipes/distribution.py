"""Where the work runs: one device, or several through tf.distribute or, under JAX, keras.distribution."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras

from kerastune_recipes import data_parallel
from kerastune_recipes.errors import RequestError, did_you_mean

STRATEGIES = ("auto", "none", "mirrored")


def choose(strategy: Any) -> Any | None:
    """Return the strategy to use, or None for Keras's own placement on one device.

    Args:
        strategy: "auto" (mirrored where there are two GPUs or more; under JAX data-parallel where there are two devices
            or more), "none", "mirrored", None (as "auto"), or a tf.distribute.Strategy; under JAX a
            keras.distribution.DataParallel.

    Raises:
        RequestError: The name is unknown, or tf.distribute is asked for under another Keras backend.
    """
    if strategy is not None and not isinstance(strategy, str):
        return strategy
    name = strategy or "auto"
    if name not in STRATEGIES:
        raise RequestError(
            f'strategy: there is no "{name}".{did_you_mean(name, STRATEGIES)} Give one of {", ".join(STRATEGIES)} '
            "or a tf.distribute.Strategy."
        )
    if keras.backend.backend() != "tensorflow":
        if name == "mirrored":
            raise RequestError(
                f'strategy: "mirrored" is tf.distribute and needs KERAS_BACKEND=tensorflow; '
                f'the backend in use is {keras.backend.backend()}. Give "auto" or "none".'
            )
        return data_parallel.choose() if keras.backend.backend() == "jax" and name == "auto" else None
    import tensorflow as tf

    gpus = tf.config.list_logical_devices("GPU")
    if name == "none" or (name == "auto" and len(gpus) < 2):
        return None
    return tf.distribute.MirroredStrategy([device.name for device in gpus] or _cpus(tf))


def _cpus(tf: Any) -> list[str]:
    """Without a GPU, mirror over the logical CPU devices; there is one unless the user configured more."""
    return [device.name for device in tf.config.list_logical_devices("CPU")]


def replicas(strategy: Any | None) -> int:
    """Return how many copies of the model train at once."""
    if isinstance(strategy, keras.distribution.DataParallel):
        return strategy.num_model_replicas
    return 1 if strategy is None else strategy.num_replicas_in_sync


def scope(strategy: Any | None) -> AbstractContextManager:
    """Return the context in which models and optimizers must be made and compiled."""
    return nullcontext() if strategy is None else strategy.scope()
