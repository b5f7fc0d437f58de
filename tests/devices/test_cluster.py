"""Clusters from TF_CONFIG or SLURM, and waiting for their workers."""

import json
import socket
import sys
from contextlib import closing

import pytest

from kerastune_recipes.devices import cluster, loopback
from kerastune_recipes.devices.cluster import Cluster, find_cluster, wait_for_workers, wait_seconds
from kerastune_recipes.errors import RequestError


def config(addresses, **task):
    return {"TF_CONFIG": json.dumps({"cluster": addresses, "task": task})}


def test_tf_config_lists_the_workers():
    found = find_cluster(config({"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, type="worker", index=1))
    assert found == Cluster(("10.0.0.1:2222", "10.0.0.2:2222"), index=1)
    assert found.name(1) == "worker 1 (10.0.0.2:2222)"


def test_a_chief_is_the_first_of_the_workers():
    both = {"chief": ["a:1"], "worker": ["b:1", "c:1"]}
    assert find_cluster(config(both, type="chief", index=0)) == Cluster(("a:1", "b:1", "c:1"), 0)
    assert find_cluster(config(both, type="worker", index=1)) == Cluster(("a:1", "b:1", "c:1"), 2)


def test_a_cluster_is_on_this_machine_if_all_addresses_are_loopback():
    assert Cluster(("127.0.0.1:2222", "localhost:2223", "[::1]:2224"), 2).on_this_machine
    assert not Cluster(("127.0.0.1:2222", "10.0.0.1:2222"), 0).on_this_machine
    assert Cluster(("127.0.0.1:2222", "[::1]:2224"), 1).port == 2224


@pytest.mark.parametrize("environment", [{}, {"TF_CONFIG": ""}, {"TF_CONFIG": "{}"}, {"SLURM_STEP_NUM_TASKS": "1"}])
def test_no_cluster(environment):
    assert find_cluster(environment) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{cluster", r"TF_CONFIG: not valid JSON \(.*\); write .*; received {cluster\."),
        ("[]", "TF_CONFIG: cluster and task must be JSON objects; write"),
    ],
)
def test_tf_config_malformed(text, message):
    with pytest.raises(RequestError, match=message):
        find_cluster({"TF_CONFIG": text})


def test_all_problems_of_tf_config_are_reported_at_once():
    addresses = {"worker": ["a:1", "a:1", "b"], "ps": ["c:1"], "chief": "d:1"}
    with pytest.raises(RequestError) as caught:
        find_cluster(config(addresses, type="worker", index=3))
    assert caught.value.problems == (
        'TF_CONFIG: cluster.worker: "b" is not an address; write "host:port" with a port up to 65535.',
        'TF_CONFIG: cluster.ps: not supported; list only "chief" and "worker".',
        'TF_CONFIG: cluster.chief: must be a list of "host:port"; received "d:1".',
        "TF_CONFIG: cluster: a:1 is listed twice; each worker needs its own address.",
        "TF_CONFIG: task.index: must be this worker's index in cluster.worker, 0..2; received 3.",
    )


@pytest.mark.parametrize("kind", [None, "evaluator", "chief"])
def test_tf_config_with_a_task_that_is_not_in_the_cluster(kind):
    with pytest.raises(RequestError, match='TF_CONFIG: task.type: must be "worker" or "chief" and listed'):
        find_cluster(config({"worker": ["a:1"]}, type=kind, index=0))


def test_slurm_variables_describe_the_workers(monkeypatch):
    step = {"PROCID": "2", "STEP_NUM_TASKS": "3", "STEP_NODELIST": "n[7-8]", "STEP_TASKS_PER_NODE": "2,1"}
    for name, value in step.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    assert find_cluster() == Cluster(("n7:8888", "n7:8889", "n8:8888"), 2, "SLURM")


def test_missing_slurm_variables_are_reported(monkeypatch):
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "3")
    monkeypatch.delenv("SLURM_PROCID", raising=False)
    with pytest.raises(RequestError, match="SLURM: cannot read the nodes and tasks of the step from its variables: "):
        find_cluster()


@pytest.fixture
def ports():
    """Two ports on which nothing listens."""
    with closing(socket.create_server(("", 0))) as one, closing(socket.create_server(("", 0))) as other:
        found = one.getsockname()[1], other.getsockname()[1]
    return found


@pytest.fixture
def lines_while_waiting(monkeypatch):
    """Return a function that waits for workers at ports, and returns the lines that it printed; without a delay."""
    monkeypatch.setattr(cluster, "_NOTIFY_AFTER", 0.0)

    def wait(ports, seconds):
        lines = []
        wait_for_workers(Cluster(tuple(f"127.0.0.1:{port}" for port in ports), 0), seconds, lines.append)
        return lines

    return wait


def test_a_running_worker_is_found_at_once(ports, lines_while_waiting):
    _, other = ports
    with closing(socket.create_server(("", other))):
        assert lines_while_waiting(ports, seconds=5) == []


def test_a_single_worker_does_not_wait(ports, lines_while_waiting):
    assert lines_while_waiting(ports[:1], seconds=5) == []


def test_a_missing_worker_is_an_error(ports):
    mine, other = ports
    message = rf"worker 1 \(127.0.0.1:{other}\) was not reachable within 0.1 s \(Connection refused\); check that"
    with pytest.raises(RequestError, match=message):
        wait_for_workers(Cluster((f"127.0.0.1:{mine}", f"127.0.0.1:{other}"), 0), seconds=0.1)


def test_missing_workers_are_named_while_waiting(ports, monkeypatch):
    mine, other = ports
    monkeypatch.setattr(cluster, "_NOTIFY_AFTER", 0.0)
    lines = []
    with pytest.raises(RequestError):
        wait_for_workers(Cluster((f"127.0.0.1:{mine}", f"127.0.0.1:{other}"), 0), seconds=0.5, notify=lines.append)
    assert lines == [f"waiting for worker 1 (127.0.0.1:{other}), at most 0.5 s"]


@pytest.mark.skipif(sys.platform != "linux", reason="looks up the sockets of this process, as Linux shows them")
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_on_one_machine_no_other_machine_can_connect_while_waiting(ports, host, monkeypatch):
    mine, other = ports
    monkeypatch.setattr(cluster, "_NOTIFY_AFTER", 0.0)
    found = []

    def look(text):
        found.extend(one.getsockname()[0] for one in loopback.listening(mine))

    with pytest.raises(RequestError):
        wait_for_workers(Cluster((f"{host}:{mine}", f"{host}:{other}"), 0), seconds=0.5, notify=look)
    assert found == ["127.0.0.1"]


def test_a_port_that_launch_reserved_can_be_listened_on(monkeypatch):
    monkeypatch.setenv(loopback.REUSE_PORT, "1")
    with closing(socket.socket()) as reserved, closing(socket.create_server(("127.0.0.1", 0))) as other:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind(("", 0))
        addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in (reserved, other)]
        wait_for_workers(Cluster(tuple(addresses), 0), seconds=5)


def test_a_port_in_use_is_an_error(ports):
    mine, other = ports
    message = rf"port {mine}, on which worker 0 \(127.0.0.1:{mine}\) listens, is in use on this machine; stop"
    with closing(socket.create_server(("", mine))), pytest.raises(RequestError, match=message):
        wait_for_workers(Cluster((f"127.0.0.1:{mine}", f"127.0.0.1:{other}"), 0), seconds=5)


def test_kerastune_wait_sets_the_timeout():
    assert wait_seconds({}) == 600
    assert wait_seconds({"KERASTUNE_WAIT": "5"}) == 5
    with pytest.raises(RequestError, match="KERASTUNE_WAIT: must be a number of seconds above 0; received long."):
        wait_seconds({"KERASTUNE_WAIT": "long"})
