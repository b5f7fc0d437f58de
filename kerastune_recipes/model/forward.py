"""Forward passes through a network: compiled once, on all replicas of this machine."""

import time
import warnings
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import numpy as np

from kerastune_recipes.devices import data_parallel
from kerastune_recipes.devices.graphs import forget_gradients
from kerastune_recipes.devices.out_of_memory import is_out_of_memory
from kerastune_recipes.devices.strategies import local_replicas
from kerastune_recipes.devices.workers import SINGLE, Workers
from kerastune_recipes.errors import OutOfMemoryWarning, WorkError
from kerastune_recipes.progress import Tick

BATCH = 32

# Compiled functions of each network by the dtype of its input; the key None is for all replicas.
_GRAPHS: weakref.WeakKeyDictionary[keras.Model, dict[str | None, Any]] = weakref.WeakKeyDictionary()

# Images that each device has memory for at once, for networks with less than that of a batch.
_AT_ONCE: weakref.WeakKeyDictionary[keras.Model, int] = weakref.WeakKeyDictionary()


def forward(network: keras.Model, dtype: str = "uint8") -> tuple[Callable[[np.ndarray], Any], int]:
    """Return a compiled forward pass of a network, and the number of images to give it at once.

    Args:
        network: Model from images (b, s, s, 3) to a tensor or a list of tensors.
        dtype: dtype of the images.

    Returns:
        A function of images (b, s, s, 3), 1 <= b <= the number at once, to NumPy arrays; and that number. Where the
        devices run out of memory, it passes fewer images through the network at once.

    Example:
        >>> run, batch_size = forward(network.extractor)
        >>> features = run(images[:batch_size])
    """
    run, devices = _compiled(network, dtype)
    return partial(as_memory_allows, network, run, devices=devices), BATCH * devices


def as_memory_allows(
    network: keras.Model, run: Callable[[np.ndarray, int], Any], images: np.ndarray, devices: int = 1
) -> Any:
    """Run a forward pass, on half as many images at once as often as the devices run out of memory.

    How many there is memory for is remembered for the network.

    Args:
        network: The network that computes.
        run: The forward pass: images, and the number of images to pad them to where they need padding.
        images: Images (b, s, s, 3).
        devices: Number of devices that share them.

    Raises:
        WorkError: There is not enough memory for one image.
    """
    while True:
        size = _AT_ONCE.get(network, BATCH) * devices
        try:
            parts = [run(images[start : start + size], size) for start in range(0, len(images), size)]
            return parts[0] if len(parts) == 1 else keras.tree.map_structure(lambda *each: np.concatenate(each), *parts)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        # After the handler, which keeps what the failed pass has in memory.
        _halve(network, images.shape[1])


def _halve(network: keras.Model, image_size: int) -> None:
    before = _AT_ONCE.get(network, BATCH)
    if before == 1:
        raise WorkError(
            f"the device has no memory for a forward pass of a single image of {image_size} x {image_size} pixels; "
            "give a smaller backbone.image_size or a smaller backbone, or end other programs that use the device."
        )
    _AT_ONCE[network] = before // 2
    warnings.warn(
        f"The device has no memory for a forward pass of {before} images at once; it gets {before // 2} at once, which "
        "changes results by rounding only.",
        OutOfMemoryWarning,
        stacklevel=3,
    )


def _compiled(network: keras.Model, dtype: str) -> tuple[Callable[[np.ndarray, int], Any], int]:
    """Return a compiled forward pass, which takes images and their number on all devices, and the number of devices."""
    if keras.backend.backend() != "tensorflow":
        data_parallel.refresh_predict_function(network)
        devices = data_parallel.device_count()
        return partial(_padded, lambda batch: network.predict_on_batch(data_parallel.shard(batch))), devices
    strategy = network.distribute_strategy
    replicas = local_replicas(strategy)
    if replicas > 1:
        return partial(_padded, partial(_on_replicas, strategy, replicas, _graph(network, None))), replicas
    graph = _graph(network, dtype)
    return lambda batch, size: keras.tree.map_structure(np.asarray, graph(batch)), 1


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


def _padded(run: Callable[[np.ndarray], Any], batch: np.ndarray, size: int) -> Any:
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
