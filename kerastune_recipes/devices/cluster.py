"""Which workers there are, by TF_CONFIG or SLURM, and waiting until all of them have come."""

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

from kerastune_recipes.errors import RequestError, listed

# How long workers wait for one another, seconds: enough for a cluster that still fetches its images.
PATIENCE = 600.0
_PAUSE = 0.2
_A_WHILE = 5.0
_WAIT = "KERASTUNE_WAIT"
_FORM = 'write {"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}'
_ADDRESS = re.compile(r"^(.+):(\d{1,5})$")


@dataclass(frozen=True)
class Cluster:
    """The workers, and which of them this process is.

    Args:
        addresses: "host:port" of each; the first is the main worker, who alone writes.
        index: This one's place among them.
        source: What said so: "TF_CONFIG" or "SLURM".
    """

    addresses: tuple[str, ...]
    index: int
    source: str = "TF_CONFIG"

    def name(self, index: int) -> str:
        """Return how a person would name a worker."""
        return f"worker {index} ({self.addresses[index]})"


def find(environment: Mapping[str, str] = os.environ) -> Cluster | None:
    """Return the cluster that the environment describes, or None where it describes none.

    Args:
        environment: With TF_CONFIG as TensorFlow defines it, or else the variables of a SLURM step of several tasks.

    Raises:
        RequestError: TF_CONFIG or the variables of SLURM cannot be understood, with all that is wrong.
    """
    if environment.get("TF_CONFIG"):
        return _of_tf_config(environment["TF_CONFIG"])
    # Set within `srun` only; a script that a batch job runs once is no worker among several.
    if environment.get("SLURM_STEP_NUM_TASKS", "1") != "1":
        return _of_slurm(environment["SLURM_STEP_NUM_TASKS"])
    return None


def _of_tf_config(text: str) -> Cluster | None:
    try:
        told = json.loads(text)
    except ValueError as error:
        raise RequestError(f"TF_CONFIG: this is no JSON ({error}); {_FORM}; received {_shortened(text)}.") from None
    if not isinstance(told, dict) or not all(isinstance(told.get(key, {}), dict) for key in ("cluster", "task")):
        raise RequestError(f"TF_CONFIG: cluster and task are JSON objects; {_FORM}; received {_shortened(text)}.")
    if not told.get("cluster"):
        return None
    problems = list(_problems(told["cluster"], told.get("task", {})))
    if problems:
        raise RequestError(*problems)
    chiefs = told["cluster"].get("chief", [])
    index = int(told["task"]["index"]) + (len(chiefs) if told["task"]["type"] == "worker" else 0)
    return Cluster((*chiefs, *told["cluster"].get("worker", [])), index)


def _problems(cluster: Mapping[str, Any], task: Mapping[str, Any]) -> Iterator[str]:
    kinds = ("chief", "worker")
    addresses: list[str] = []
    for kind, given in cluster.items():
        if kind not in kinds:
            yield f'TF_CONFIG: cluster.{kind}: all replicas work alike here; name none but "chief" and "worker".'
        elif not isinstance(given, list) or not given:
            yield f'TF_CONFIG: cluster.{kind}: give a list of "host:port"; received {json.dumps(given)}.'
        else:
            addresses += map(str, given)
            yield from (
                f'TF_CONFIG: cluster.{kind}: "{one}" is no address; write "host:port" with a port up to 65535.'
                for one in map(str, given)
                if not (found := _ADDRESS.match(one)) or not 0 < int(found[2]) < 2**16
            )
    twice = sorted({one for one in addresses if addresses.count(one) > 1})
    yield from (f"TF_CONFIG: cluster: {one} is listed twice; each worker has an address of its own." for one in twice)
    own, index = task.get("type"), task.get("index")
    if own not in kinds or own not in cluster:
        yield f'TF_CONFIG: task.type: name "worker" or "chief", as in cluster; received {json.dumps(own)}.'
    elif not str(index).isdecimal() or (isinstance(cluster[own], list) and int(str(index)) >= len(cluster[own])):
        yield (
            f"TF_CONFIG: task.index: give this worker's place in cluster.{own}, from 0 to {len(cluster[own]) - 1}; "
            f"received {json.dumps(index)}."
        )


def _shortened(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:100]}..."


def _of_slurm(tasks: str) -> Cluster:
    import tensorflow as tf

    try:
        # Which GPUs a task sees is left to SLURM (--gpus-per-task); the resolver is told of enough for any division.
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
            gpus_per_node=int(tasks), gpus_per_task=1, auto_set_gpu=False
        )
        addresses = resolver.cluster_spec().as_dict()["worker"]
        _, index = resolver.get_task_info()
    except (RuntimeError, ValueError) as error:
        raise RequestError(
            f"SLURM: the step's nodes and tasks cannot be read from its variables: {str(error).strip().rstrip('.')}; "
            "start the workers with srun, or describe them in TF_CONFIG."
        ) from None
    return Cluster(tuple(addresses), index, "SLURM")


def wait(cluster: Cluster, seconds: float | None = None, tell: Callable[[str], None] = lambda text: None) -> None:
    """Wait until every worker has come; without it TensorFlow would wait for an hour and not say for whom.

    Args:
        cluster: The workers. The port of this one is held open meanwhile, so that the others see it.
        seconds: At most; by default the environment variable KERASTUNE_WAIT, or ten minutes.
        tell: Message whom it waits for, once it takes a while.

    Raises:
        RequestError: The port is in use, or a worker has not come in time; all of them are named.
    """
    seconds = patience() if seconds is None else seconds
    began = time.monotonic()
    told = False
    _, port = _parts(cluster.addresses[cluster.index])
    missing = {index: "" for index in range(len(cluster.addresses)) if index != cluster.index}
    with closing(_listening(port, cluster)):
        while True:
            for index in list(missing):
                try:
                    socket.create_connection(_parts(cluster.addresses[index]), timeout=5).close()
                    del missing[index]
                except OSError as error:
                    missing[index] = error.strerror or str(error)
            if not missing:
                return
            waited = time.monotonic() - began
            if waited > seconds:
                break
            if waited > _A_WHILE and not told:
                tell(f"waiting for {listed(map(cluster.name, missing))}, for {seconds:g} s at most")
                told = True
            time.sleep(_PAUSE)
    raise RequestError(
        *(
            f"{cluster.name(index)} has not come within {seconds:g} s ({why}); see that it runs, that all workers are "
            f"given the same addresses, and that {cluster.name(cluster.index)} can reach its port. {_WAIT} says how "
            "many seconds to wait."
            for index, why in missing.items()
        )
    )


def patience(environment: Mapping[str, str] = os.environ) -> float:
    """Return how many seconds workers wait for one another.

    Raises:
        RequestError: KERASTUNE_WAIT is no such number.
    """
    text = environment.get(_WAIT) or str(PATIENCE)
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise RequestError(f"{_WAIT}: give a number of seconds above 0; received {text}.")
    return seconds


def _listening(port: int, cluster: Cluster) -> socket.socket:
    """Hold a port open; nothing is read from it, to be reached is enough."""
    family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
    try:
        return socket.create_server(("", port), family=family, backlog=128, dualstack_ipv6=family is socket.AF_INET6)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise RequestError(
                f"port {port}, where {cluster.name(cluster.index)} is to listen, cannot be opened: {error.strerror}; "
                f"name another in {cluster.source}."
            ) from None
        raise RequestError(
            f"port {port}, where {cluster.name(cluster.index)} is to listen, is in use on this machine; end what "
            f"listens there, or name another port in {cluster.source}."
        ) from None


def _parts(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
