"""Choosing the distribution strategy: one device, or several through tf.distribute or keras.distribution."""

import signal
import threading
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras

from kerastune_recipes.devices import data_parallel, loopback
from kerastune_recipes.devices.cluster import Cluster, find_cluster, wait_for_workers, wait_seconds
from kerastune_recipes.devices.time_limit import time_limit
from kerastune_recipes.devices.workers import SINGLE, Workers
from kerastune_recipes.errors import RequestError, did_you_mean, listed, reason

STRATEGIES = ("auto", "none", "mirrored", "multi_worker", "tpu")

# One strategy for each set of devices: TensorFlow's server cannot be started twice in a process, and two strategies of
# the same devices would mix up their collective operations.
_STRATEGIES: dict[Any, Any] = {}


def choose(strategy: Any, notify: Callable[[str], None] = lambda text: None) -> Any | None:
    """Return the strategy to use, or None for Keras's own placement on one device.

    Args:
        strategy: "auto" (multi_worker if TF_CONFIG or SLURM lists several workers, else mirrored with two or more GPUs;
            under JAX data parallel with two or more devices), "none", "mirrored" (the GPUs
            of this machine), "multi_worker", "tpu", None (as "auto"), or a tf.distribute.Strategy; under JAX a
            keras.distribution.DataParallel.
        notify: Called with a line about missing workers, when they take a while to start.

    Raises:
        RequestError: The name is unknown, its devices are not available, or it needs another Keras backend.

    Example:
        >>> choose("none") is None
        True
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
            return _multi_worker(_required_cluster(), notify)
    cluster = find_cluster() if name == "auto" else None
    if cluster and len(cluster.addresses) > 1:
        return _multi_worker(cluster, notify)
    import tensorflow as tf

    gpus = tf.config.list_logical_devices("GPU")
    if name == "auto" and len(gpus) < 2:
        return None
    # Without a GPU, mirror over the logical CPU devices: one, unless the user configured more.
    devices = tuple(device.name for device in gpus or tf.config.list_logical_devices("CPU"))
    return _create_once(devices, lambda: tf.distribute.MirroredStrategy(devices))


def _create_once(key: Any, create: Callable[[], Any]) -> Any:
    """Return the strategy of a key, created on the first call."""
    if key not in _STRATEGIES:
        _STRATEGIES[key] = create()
    return _STRATEGIES[key]


def _required_cluster() -> Cluster:
    cluster = find_cluster()
    if cluster is None:
        raise RequestError(
            'strategy: "multi_worker" needs a list of workers: set TF_CONFIG on each, start them with srun, or try it '
            "on this machine with kerastune launch --workers 2 -- run ..."
        )
    return cluster


def _multi_worker(cluster: Cluster, notify: Callable[[str], None]) -> Any:
    def start() -> Any:
        if not cluster.on_this_machine:
            _warn_of_open_ports(cluster)
        wait_for_workers(cluster, notify=notify)
        seconds = wait_seconds()
        late = (
            f"kerastune: {cluster.name(cluster.index)} could not connect to the others within {seconds:g} s, though "
            "all were reachable; one has failed since, and its own output shows the cause. Start all workers again."
        )
        # TensorFlow waits up to an hour for a worker that fails at this point.
        with time_limit(seconds, late):
            if not cluster.on_this_machine:
                return _connect(cluster)
            with loopback.closed(cluster.port):
                strategy = _connect(cluster)
        if not loopback.is_closed(cluster.port):
            _warn_of_open_ports(cluster)
        return strategy

    return _create_once(cluster, start)


def _warn_of_open_ports(cluster: Cluster) -> None:
    if cluster.index == 0:  # once for all workers
        warnings.warn(
            f"the ports of the workers ({listed(cluster.addresses)}) are open to every machine that can reach them: "
            "TensorFlow listens on all network interfaces, without a password or encryption, and who connects can run "
            "programs as this user. Keep them in a private network, or behind a firewall that admits the workers only.",
            stacklevel=2,
        )


def _connect(cluster: Cluster) -> Any:
    import tensorflow as tf

    # TensorFlow's TFConfigClusterResolver does not read SLURM, and treats a chief as another kind of task.
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
            f'strategy: "multi_worker" must be created before TensorFlow computes anything in this process '
            f"({reason(error)}); start a new process."
        ) from error
    except tf.errors.OpError as error:
        raise RequestError(
            f"{cluster.name(cluster.index)} cannot connect to the others: {reason(error)}; check that its port is free "
            "and that all workers run the same version of TensorFlow."
        ) from error
    finally:
        _take_sigterm_back()


def _take_sigterm_back() -> None:
    """Install the handler of SIGTERM again: TensorFlow has put its own in its place, after which the signal is lost."""
    handler = signal.getsignal(signal.SIGTERM)
    if handler is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)


def _tpu() -> Any:
    import tensorflow as tf

    try:
        return tf.distribute.TPUStrategy(tf.distribute.cluster_resolver.TPUClusterResolver.connect())
    except Exception as error:  # TensorFlow documents none
        raise RequestError(f'strategy: "tpu": no TPU is reachable: {reason(error)}.') from error


def workers_of(strategy: Any | None) -> Workers:
    """Return the workers of a strategy; `SINGLE` unless it connects several processes.

    Args:
        strategy: The result of `choose`.
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


def reports_to_user(strategy: str) -> bool:
    """Return whether this process prints the results of a run: of several workers, only the main one does.

    Args:
        strategy: Name of a strategy, as for `choose`.
    """
    cluster = find_cluster() if strategy in ("auto", "multi_worker") else None
    return cluster is None or cluster.index == 0


def check_single_machine(strategy: Any, work: str) -> None:
    """Refuse a strategy of several workers for work that runs on one machine.

    Args:
        strategy: As for `choose`.
        work: Name of the work in the message, such as "a comparison".

    Raises:
        RequestError: The strategy uses several workers.
    """
    cluster = find_cluster() if strategy in (None, "auto", "multi_worker") else workers_of(strategy).cluster
    if strategy == "multi_worker" or (cluster and len(cluster.addresses) > 1):
        raise RequestError(
            f"strategy: several workers can share a run, but not {work}; run it on one machine, with TF_CONFIG unset "
            'and "auto", "mirrored" or "none".'
        )


def replicas(strategy: Any | None) -> int:
    """Return the number of replicas of the model that train in parallel."""
    if isinstance(strategy, keras.distribution.DataParallel):
        return strategy.num_model_replicas
    return 1 if strategy is None else strategy.num_replicas_in_sync


def local_replicas(strategy: Any) -> int:
    """Return the number of replicas of a tf.distribute.Strategy on this machine."""
    return 1 if strategy.num_replicas_in_sync == 1 else len(strategy.extended.worker_devices)


def scope(strategy: Any | None) -> AbstractContextManager:
    """Return the context in which models and optimizers must be created and compiled."""
    return nullcontext() if strategy is None else strategy.scope()
