"""Where the work runs: one device, or several through tf.distribute."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras

from kerastune_recipes.devices import cluster as clusters
from kerastune_recipes.devices import data_parallel
from kerastune_recipes.devices.cluster import Cluster
from kerastune_recipes.devices.workers import SINGLE, Workers
from kerastune_recipes.errors import RequestError, did_you_mean, reason

STRATEGIES = ("auto", "none", "mirrored", "multi_worker", "tpu")

# TensorFlow's server cannot be started twice in a process, and the sums of two strategies of the same devices are taken
# for one another.
_MADE: dict[Any, Any] = {}


def choose(strategy: Any, tell: Callable[[str], None] = lambda text: None) -> Any | None:
    """Return the tf.distribute.Strategy to use, or None for Keras's own placement on one device.

    Args:
        strategy: "auto" (multi_worker where TF_CONFIG or SLURM names several workers, else mirrored where there are
            two GPUs or more; under JAX data-parallel where there are two devices or more), "none", "mirrored" (the GPUs
            of this machine), "multi_worker", "tpu", None (as "auto"), or a tf.distribute.Strategy; under JAX a
            keras.distribution.DataParallel.
        tell: Message for whom it waits, where workers do not come at once.

    Raises:
        RequestError: The name is unknown, what it stands for is not there, or tf.distribute is asked for under another
            Keras backend.
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
        if name not in ("auto", "none"):
            raise RequestError(
                f'strategy: "{name}" is tf.distribute and needs KERAS_BACKEND=tensorflow; '
                f'the backend in use is {keras.backend.backend()}. Give "auto" or "none".'
            )
        return data_parallel.choose() if keras.backend.backend() == "jax" and name == "auto" else None
    match name:
        case "none":
            return None
        case "tpu":
            return _tpu()
        case "multi_worker":
            return _multi_worker(_cluster_asked_for(), tell)
    cluster = clusters.find() if name == "auto" else None
    if cluster and len(cluster.addresses) > 1:
        return _multi_worker(cluster, tell)
    import tensorflow as tf

    gpus = tf.config.list_logical_devices("GPU")
    if name == "auto" and len(gpus) < 2:
        return None
    # Without a GPU, mirror over the logical CPU devices; there is one unless the user configured more.
    devices = tuple(device.name for device in gpus or tf.config.list_logical_devices("CPU"))
    return _once(devices, lambda: tf.distribute.MirroredStrategy(devices))


def _once(key: Any, make: Callable[[], Any]) -> Any:
    """Make a strategy once in a process; a second one of the same devices would get into the way of the first."""
    if key not in _MADE:
        _MADE[key] = make()
    return _MADE[key]


def _cluster_asked_for() -> Cluster:
    cluster = clusters.find()
    if cluster is None:
        raise RequestError(
            'strategy: "multi_worker" needs to know the workers: set TF_CONFIG on each, start them with srun, or try '
            "it on this machine with kerastune launch --workers 2 -- run ..."
        )
    return cluster


def _multi_worker(cluster: Cluster, tell: Callable[[str], None]) -> Any:
    def start() -> Any:
        clusters.wait(cluster, tell=tell)
        return _bound(cluster)

    return _once(cluster, start)


def _bound(cluster: Cluster) -> Any:
    import tensorflow as tf

    # Not by TensorFlow's own reading of TF_CONFIG: SLURM has none, and a chief is the first of the workers here.
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(cluster.addresses)}),
        task_type="worker",
        task_id=cluster.index,
        num_accelerators={"GPU": len(tf.config.get_visible_devices("GPU"))},
        rpc_layer="grpc",
    )
    try:
        return tf.distribute.MultiWorkerMirroredStrategy(resolver)
    except RuntimeError as error:
        raise RequestError(
            f'strategy: "multi_worker" must begin before TensorFlow has computed anything in this process '
            f"({reason(error)}); start it in a fresh one."
        ) from error
    except tf.errors.OpError as error:
        raise RequestError(
            f"{cluster.name(cluster.index)} cannot be joined to the others: {reason(error)}; see that its port is "
            "free and that all workers run the same version of TensorFlow."
        ) from error


def _tpu() -> Any:
    import tensorflow as tf

    try:
        return tf.distribute.TPUStrategy(tf.distribute.cluster_resolver.TPUClusterResolver.connect())
    except Exception as error:  # whatever it meets where there is no TPU
        raise RequestError(f'strategy: "tpu": no TPU can be reached from here: {reason(error)}.') from error


def workers_of(strategy: Any | None) -> Workers:
    """Return the workers that a strategy binds; one alone where it is no strategy of several.

    Args:
        strategy: What `choose` returned.
    """
    if strategy is None or not hasattr(strategy, "cluster_resolver"):
        return SINGLE
    resolver = strategy.cluster_resolver
    workers = resolver.cluster_spec().as_dict() if resolver else {}
    addresses = (*workers.get("chief", ()), *workers.get("worker", ()))
    if len(addresses) < 2 or "TPU" in type(strategy).__name__:
        return SINGLE
    index = resolver.task_id + (len(workers.get("chief", ())) if resolver.task_type == "worker" else 0)
    return Workers(Cluster(tuple(addresses), index), strategy)


def reports(strategy: str) -> bool:
    """Say whether this process is the one that tells the user of a run: any but a worker that is not the main worker.

    Args:
        strategy: The name that was asked for.
    """
    cluster = clusters.find() if strategy in ("auto", "multi_worker") else None
    return cluster is None or cluster.index == 0


def check_alone(strategy: Any, what: str) -> None:
    """Refuse several workers where one machine is to do all.

    Args:
        strategy: What was asked for.
        what: What is to be done, such as "a comparison".

    Raises:
        RequestError: The strategy means several workers.
    """
    cluster = clusters.find() if strategy in (None, "auto", "multi_worker") else workers_of(strategy).cluster
    if strategy == "multi_worker" or (cluster and len(cluster.addresses) > 1):
        raise RequestError(
            f"strategy: several workers do one run, not {what}; do it on one machine, with TF_CONFIG unset and "
            '"auto", "mirrored" or "none".'
        )


def replicas(strategy: Any | None) -> int:
    """Return how many copies of the model train at once."""
    if isinstance(strategy, keras.distribution.DataParallel):
        return strategy.num_model_replicas
    return 1 if strategy is None else strategy.num_replicas_in_sync


def local_replicas(strategy: Any) -> int:
    """Return how many of the replicas of a tf.distribute.Strategy are on this machine."""
    return 1 if strategy.num_replicas_in_sync == 1 else len(strategy.extended.worker_devices)


def scope(strategy: Any | None) -> AbstractContextManager:
    """Return the context in which models and optimizers must be made and compiled."""
    return nullcontext() if strategy is None else strategy.scope()
