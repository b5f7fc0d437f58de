"""Passing images through a network that is not trained: by one graph, and by all replicas of this machine."""

import time
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import numpy as np

from kerastune_recipes.devices import data_parallel
from kerastune_recipes.devices.strategies import local_replicas
from kerastune_recipes.devices.workers import SINGLE, Workers
from kerastune_recipes.progress import Tick

BATCH = 32

# The graphs of each network by the type of its input, None for all replicas; gone when the network is.
_GRAPHS: weakref.WeakKeyDictionary[keras.Model, dict[str | None, Any]] = weakref.WeakKeyDictionary()


def forward(network: keras.Model, dtype: str = "uint8") -> tuple[Callable[[np.ndarray], Any], int]:
    """Return how to pass images through a network, and how many at once.

    Args:
        network: Images (b, s, s, 3), at least one, to a tensor or a list of them.
        dtype: Of the images.
    """
    if keras.backend.backend() != "tensorflow":
        data_parallel.prepare(network)
        whole = BATCH * data_parallel.sharing()
        return partial(_filled_up, lambda batch: network.predict_on_batch(data_parallel.shared(batch)), whole), whole
    strategy = network.distribute_strategy
    replicas = local_replicas(strategy)
    if replicas > 1:
        whole = BATCH * replicas
        return partial(_filled_up, partial(_by_replicas, strategy, replicas, _graph(network, None)), whole), whole
    graph = _graph(network, dtype)
    return lambda batch: keras.tree.map_structure(np.asarray, graph(batch)), BATCH


def _graph(network: keras.Model, dtype: str | None) -> Any:
    """Return the network as a TensorFlow function of any number of images, or with None of what all replicas are given.

    `predict` would put tf.data in between, whose iterator may take long to close (see
    `distribution.replicated`), and `predict_on_batch` would trace a graph for each number of images.
    """
    import tensorflow as tf

    graphs = _GRAPHS.setdefault(network, {})
    if dtype not in graphs:
        seen: Callable[[], Any] = weakref.ref(network)

        def call(batch: Any) -> Any:
            return seen()(batch, training=False)

        if dtype is None:
            graphs[dtype] = tf.function(lambda shares: seen().distribute_strategy.run(call, args=(shares,)))
        else:
            images = tf.TensorSpec((None, *network.input_shape[1:]), dtype)
            graphs[dtype] = tf.function(call, input_signature=[images])
    return graphs[dtype]


def _by_replicas(strategy: Any, replicas: int, graph: Callable[[Any], Any], batch: np.ndarray) -> Any:
    """Divide a batch among the replicas of this machine; `predict` would have every worker take part."""
    import tensorflow as tf

    parts = np.split(batch, replicas)
    shares = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(parts[context.replica_id_in_sync_group % replicas])
    )
    return keras.tree.map_structure(
        lambda one: np.concatenate([part.numpy() for part in strategy.experimental_local_results(one)]), graph(shares)
    )


def _filled_up(pass_on: Callable[[np.ndarray], Any], whole: int, batch: np.ndarray) -> Any:
    """Pass images on, filled up to a whole batch, so that one graph of one shape serves for all."""
    filling = np.zeros((whole - len(batch), *batch.shape[1:]), batch.dtype)
    found = pass_on(np.concatenate([batch, filling]))
    return keras.tree.map_structure(lambda one: np.asarray(one)[: len(batch)], found)


# Images timed to learn what one forward pass costs, where none is made: a few batches settle the median.
SAMPLE = 3 * BATCH


def seconds_one_forward_pass(extractor: keras.Model, pixels: np.ndarray, count: int) -> float:
    """Measure what passing `count` images through the network once takes, on a sample of them.

    Args:
        extractor: The network, resized images to its last activations.
        pixels: uint8 (n, s, s, 3), of which the first `SAMPLE` are taken.
        count: Images in the pass to be told of.

    Returns:
        Seconds: the median time of a batch, times the batches in the pass. Decoding is not in it.
    """
    pass_on, _ = forward(extractor)
    sample = [np.asarray(pixels[start : start + BATCH]) for start in range(0, min(SAMPLE, len(pixels)), BATCH)]
    # The first call may trace the graph, which is no part of the pass.
    pass_on(sample[0][:1])
    return float(np.median([timed(partial(pass_on, batch)) / len(batch) for batch in sample])) * count


def predict(network: keras.Model, pixels: Any, tick: Tick | None = None, workers: Workers = SINGLE) -> np.ndarray:
    """Pass decoded images through a network that is not kept; several workers each pass a part.

    Args:
        network: Resized images (b, s, s, 3) to anything (b, d).
        pixels: uint8 (n, s, s, 3).
        tick: Message how many images are done.
        workers: Who shares the work; `pixels` are the same for all.

    Returns:
        float32 (n, d), the same on every worker.
    """
    pass_on, at_once = forward(network)
    mine = workers.shard(np.arange(len(pixels)))
    found = [np.empty((0, network.output_shape[-1]), np.float32)]
    for start in range(0, len(mine), at_once):
        found.append(pass_on(np.asarray(pixels[mine[start : start + at_once]])))
        if tick:
            tick(min(start + at_once, len(mine)) * workers.size)
    parts = workers.all_gather(lambda: ({"rows": np.concatenate(found)}, None))
    return np.concatenate([part["rows"] for part, _ in parts])


def timed(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
