"""Forward passes through a network: compiled once, on all replicas of this machine."""

import time
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import numpy as np

from kerastune_recipes.devices import data_parallel
from kerastune_recipes.devices.graphs import forget_gradients
from kerastune_recipes.devices.strategies import local_replicas
from kerastune_recipes.devices.workers import SINGLE, Workers
from kerastune_recipes.progress import Tick

BATCH = 32

# Compiled functions of each network by the dtype of its input; the key None is for all replicas.
_GRAPHS: weakref.WeakKeyDictionary[keras.Model, dict[str | None, Any]] = weakref.WeakKeyDictionary()


def forward(network: keras.Model, dtype: str = "uint8") -> tuple[Callable[[np.ndarray], Any], int]:
    """Return a compiled forward pass of a network, and the number of images to give it at once.

    Args:
        network: Model from images (b, s, s, 3) to a tensor or a list of tensors.
        dtype: dtype of the images.

    Returns:
        A function of images (b, s, s, 3), 1 <= b <= the number at once, to NumPy arrays; and that number.

    Example:
        >>> run, batch_size = forward(network.extractor)
        >>> features = run(images[:batch_size])
    """
    if keras.backend.backend() != "tensorflow":
        data_parallel.refresh_predict_function(network)
        size = BATCH * data_parallel.device_count()
        return partial(_padded, lambda batch: network.predict_on_batch(data_parallel.shard(batch)), size), size
    strategy = network.distribute_strategy
    replicas = local_replicas(strategy)
    if replicas > 1:
        size = BATCH * replicas
        return partial(_padded, partial(_on_replicas, strategy, replicas, _graph(network, None)), size), size
    graph = _graph(network, dtype)
    return lambda batch: keras.tree.map_structure(np.asarray, graph(batch)), BATCH


def _graph(network: keras.Model, dtype: str | None) -> Any:
    """Return a tf.function of the network for any number of images; for the dtype None, of the shards of all replicas.

    `predict` would go through tf.data, whose iterator may take long to close (see `devices.replicated`), and
    `predict_on_batch` would trace a graph for each number of images.
    """
    import tensorflow as tf

    graphs = _GRAPHS.setdefault(network, {})
    if dtype not in graphs:
        # A strong reference would keep the network alive as long as its graph.
        network_of: Callable[[], Any] = weakref.ref(network)

        def call(batch: Any) -> Any:
            outputs = network_of()(batch, training=False)
            forget_gradients()
            return outputs

        if dtype is None:
            graphs[dtype] = tf.function(lambda shards: network_of().distribute_strategy.run(call, args=(shards,)))
        else:
            images = tf.TensorSpec((None, *network.input_shape[1:]), dtype)
            graphs[dtype] = tf.function(call, input_signature=[images])
    return graphs[dtype]


def _on_replicas(strategy: Any, replicas: int, graph: Callable[[Any], Any], batch: np.ndarray) -> Any:
    """Run a batch on the replicas of this machine; `predict` would need every worker to take part."""
    import tensorflow as tf

    parts = np.split(batch, replicas)
    shards = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(parts[context.replica_id_in_sync_group % replicas])
    )
    return keras.tree.map_structure(
        lambda one: np.concatenate([part.numpy() for part in strategy.experimental_local_results(one)]), graph(shards)
    )


def _padded(run: Callable[[np.ndarray], Any], size: int, batch: np.ndarray) -> Any:
    """Run a forward pass on a batch padded to a fixed size, so that it is compiled once."""
    padding = np.zeros((size - len(batch), *batch.shape[1:]), batch.dtype)
    outputs = run(np.concatenate([batch, padding]))
    return keras.tree.map_structure(lambda one: np.asarray(one)[: len(batch)], outputs)


# Images timed to estimate the cost of a forward pass; a few batches are enough for a stable median.
SAMPLE = 3 * BATCH


def seconds_one_forward_pass(extractor: keras.Model, pixels: np.ndarray, count: int) -> float:
    """Estimate the time of one forward pass over `count` images, from a sample.

    Args:
        extractor: Model from resized images (b, s, s, 3) to features.
        pixels: uint8 (n, s, s, 3); the first `SAMPLE` are timed.
        count: Number of images in the pass.

    Returns:
        Seconds: the median time for an image, times `count`, without decoding.
    """
    run, _ = forward(extractor)
    sample = [np.asarray(pixels[start : start + BATCH]) for start in range(0, min(SAMPLE, len(pixels)), BATCH)]
    # The first call may trace the graph, which is not part of the pass.
    run(sample[0][:1])
    return float(np.median([timed(partial(run, batch)) / len(batch) for batch in sample])) * count


def predict(network: keras.Model, pixels: Any, tick: Tick | None = None, workers: Workers = SINGLE) -> np.ndarray:
    """Return the outputs of a network for decoded images, without caching; each worker computes a shard.

    Args:
        network: Model from resized images (b, s, s, 3) to outputs (b, d).
        pixels: uint8 (n, s, s, 3), the same on every worker.
        tick: Called with the number of images done.
        workers: The workers that share the work.

    Returns:
        float32 (n, d), the same on every worker.
    """
    run, batch_size = forward(network)
    positions = workers.shard(np.arange(len(pixels)))
    outputs = [np.empty((0, network.output_shape[-1]), np.float32)]
    for start in range(0, len(positions), batch_size):
        outputs.append(run(np.asarray(pixels[positions[start : start + batch_size]])))
        if tick:
            tick(min(start + batch_size, len(positions)) * workers.size)
    shards = workers.all_gather(lambda: ({"rows": np.concatenate(outputs)}, None))
    return np.concatenate([arrays["rows"] for arrays, _ in shards])


def timed(work: Callable[[], Any]) -> float:
    """Run a function and return the seconds that it took."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
