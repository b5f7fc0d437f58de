"""Finding the workers of a run from TF_CONFIG or SLURM, and waiting until all of them are reachable."""

import errno
import json
import os
import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from kerastune_recipes.devices import loopback
from kerastune_recipes.errors import RequestError, listed

# Seconds that workers wait for each other: enough for a cluster that still pulls container images.
DEFAULT_WAIT = 600.0
_POLL_SECONDS = 0.2
# Seconds of waiting after which the user is notified.
_NOTIFY_AFTER = 5.0
_WAIT_VARIABLE = "KERASTUNE_WAIT"
_FORMAT = 'write {"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}'
_ADDRESS = re.compile(r"^(.+):(\d{1,5})$")


@dataclass(frozen=True)
class Cluster:
    """Addresses of all workers, and which worker this process is.

    Args:
        addresses: "host:port" of each worker; the first is the main worker, the only one that writes files.
        index: Index of this process in `addresses`.
        source: Where the description comes from: "TF_CONFIG" or "SLURM".
    """

    addresses: tuple[str, ...]
    index: int
    source: str = "TF_CONFIG"

    def name(self, index: int) -> str:
        """Return the name of a worker in messages: its index and address."""
        return f"worker {index} ({self.addresses[index]})"

    @property
    def port(self) -> int:
        """Port that this process listens on."""
        return _host_and_port(self.addresses[self.index])[1]

    @property
    def on_this_machine(self) -> bool:
        """Whether all addresses are loopback addresses, so that no other machine takes part."""
        return all(loopback.is_loopback(_host_and_port(address)[0]) for address in self.addresses)


def find_cluster(environment: Mapping[str, str] = os.environ) -> Cluster | None:
    """Return the cluster that environment variables describe, or None.

    Args:
        environment: Environment variables: TF_CONFIG as TensorFlow defines it, or the variables of a SLURM step
            of several tasks. TF_CONFIG takes precedence.

    Raises:
        RequestError: TF_CONFIG or the variables of SLURM are malformed; all problems at once.

    Example:
        >>> config = {"cluster": {"worker": ["a:2222", "b:2222"]}, "task": {"type": "worker", "index": 1}}
        >>> find_cluster({"TF_CONFIG": json.dumps(config)})
        Cluster(addresses=('a:2222', 'b:2222'), index=1, source='TF_CONFIG')
    """
    if environment.get("TF_CONFIG"):
        return _from_tf_config(environment["TF_CONFIG"])
    # `srun` sets it for each task; the batch script itself is not a worker.
    if environment.get("SLURM_STEP_NUM_TASKS", "1") != "1":
        return _from_slurm(environment["SLURM_STEP_NUM_TASKS"])
    return None


def _from_tf_config(text: str) -> Cluster | None:
    try:
        config = json.loads(text)
    except ValueError as error:
        raise RequestError(f"TF_CONFIG: not valid JSON ({error}); {_FORMAT}; received {_shortened(text)}.") from None
    if not isinstance(config, dict) or not all(isinstance(config.get(key, {}), dict) for key in ("cluster", "task")):
        raise RequestError(f"TF_CONFIG: cluster and task must be JSON objects; {_FORMAT}; received {_shortened(text)}.")
    if not config.get("cluster"):
        return None
    problems = list(_problems(config["cluster"], config.get("task", {})))
    if problems:
        raise RequestError(*problems)
    chiefs = config["cluster"].get("chief", [])
    index = int(config["task"]["index"]) + (len(chiefs) if config["task"]["type"] == "worker" else 0)
    return Cluster((*chiefs, *config["cluster"].get("worker", [])), index)


def _problems(cluster: Mapping[str, Any], task: Mapping[str, Any]) -> Iterator[str]:
    kinds = ("chief", "worker")
    addresses: list[str] = []
    for kind, given in cluster.items():
        if kind not in kinds:
            yield f'TF_CONFIG: cluster.{kind}: not supported; list only "chief" and "worker".'
        elif not isinstance(given, list) or not given:
            yield f'TF_CONFIG: cluster.{kind}: must be a list of "host:port"; received {json.dumps(given)}.'
        else:
            addresses += map(str, given)
            yield from (
                f'TF_CONFIG: cluster.{kind}: "{one}" is not an address; write "host:port" with a port up to 65535.'
                for one in map(str, given)
                if not (match := _ADDRESS.match(one)) or not 0 < int(match[2]) < 2**16
            )
    duplicates = sorted({one for one in addresses if addresses.count(one) > 1})
    yield from (f"TF_CONFIG: cluster: {one} is listed twice; each worker needs its own address." for one in duplicates)
    own, index = task.get("type"), task.get("index")
    if own not in kinds or own not in cluster:
        yield f'TF_CONFIG: task.type: must be "worker" or "chief" and listed in cluster; received {json.dumps(own)}.'
    elif not str(index).isdecimal() or (isinstance(cluster[own], list) and int(str(index)) >= len(cluster[own])):
        yield (
            f"TF_CONFIG: task.index: must be this worker's index in cluster.{own}, 0..{len(cluster[own]) - 1}; "
            f"received {json.dumps(index)}."
        )


def _shortened(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:100]}..."


def _from_slurm(tasks: str) -> Cluster:
    import tensorflow as tf

    try:
        # SLURM assigns the GPUs of a task (--gpus-per-task); the resolver only needs numbers that it accepts.
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
            gpus_per_node=int(tasks), gpus_per_task=1, auto_set_gpu=False
        )
        addresses = resolver.cluster_spec().as_dict()["worker"]
        _, index = resolver.get_task_info()
    except (RuntimeError, ValueError) as error:
        raise RequestError(
            f"SLURM: cannot read the nodes and tasks of the step from its variables: {str(error).strip().rstrip('.')}; "
            "start the workers with srun, or list them in TF_CONFIG."
        ) from None
    return Cluster(tuple(addresses), index, "SLURM")


def wait_for_workers(
    cluster: Cluster, seconds: float | None = None, notify: Callable[[str], None] = lambda text: None
) -> None:
    """Wait until every worker is reachable; TensorFlow itself waits for an hour and does not name who is missing.

    Args:
        cluster: The workers. Meanwhile this worker listens on its own port, so that the others can reach it.
        seconds: Timeout; None for the result of `wait_seconds`.
        notify: Called once with the names of the missing workers, after a few seconds.

    Raises:
        RequestError: The port is in use, or workers are not reachable in time; all of them are named.
    """
    seconds = wait_seconds() if seconds is None else seconds
    began = time.monotonic()
    notified = False
    missing = {index: "" for index in range(len(cluster.addresses)) if index != cluster.index}
    with closing(_listen(cluster)):
        while True:
            for index in list(missing):
                try:
                    socket.create_connection(_host_and_port(cluster.addresses[index]), timeout=5).close()
                    del missing[index]
                except OSError as error:
                    missing[index] = error.strerror or str(error)
            if not missing:
                return
            waited = time.monotonic() - began
            if waited > seconds:
                break
            if waited > _NOTIFY_AFTER and not notified:
                notify(f"waiting for {listed(map(cluster.name, missing))}, at most {seconds:g} s")
                notified = True
            time.sleep(_POLL_SECONDS)
    raise RequestError(
        *(
            f"{cluster.name(index)} was not reachable within {seconds:g} s ({why}); check that it runs, that all "
            f"workers have the same addresses, and that {cluster.name(cluster.index)} can reach its port. "
            f"{_WAIT_VARIABLE} sets the number of seconds to wait."
            for index, why in missing.items()
        )
    )


def wait_seconds(environment: Mapping[str, str] = os.environ) -> float:
    """Return how long workers wait for each other, seconds: KERASTUNE_WAIT, or ten minutes.

    Raises:
        RequestError: KERASTUNE_WAIT is not a number above 0.

    Example:
        >>> wait_seconds({"KERASTUNE_WAIT": "5"})
        5.0
    """
    text = environment.get(_WAIT_VARIABLE) or str(DEFAULT_WAIT)
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise RequestError(f"{_WAIT_VARIABLE}: must be a number of seconds above 0; received {text}.")
    return seconds


def _listen(cluster: Cluster) -> socket.socket:
    """Listen on this worker's port; nothing is read from it, the others only connect."""
    host, port = _host_and_port(cluster.addresses[cluster.index])
    host = ("127.0.0.1" if host == "localhost" else host) if cluster.on_this_machine else ""
    family = socket.AF_INET6 if ":" in host or (not host and socket.has_dualstack_ipv6()) else socket.AF_INET
    dualstack = family is socket.AF_INET6 and not host
    try:
        return socket.create_server(
            (host, port), family=family, backlog=128, reuse_port=loopback.reuses_ports(), dualstack_ipv6=dualstack
        )
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise RequestError(
                f"port {port}, on which {cluster.name(cluster.index)} listens, cannot be opened: {error.strerror}; "
                f"choose another in {cluster.source}."
            ) from None
        raise RequestError(
            f"port {port}, on which {cluster.name(cluster.index)} listens, is in use on this machine; stop the program "
            f"that uses it, or choose another port in {cluster.source}."
        ) from None


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
