import json
import socket
from contextlib import closing

import pytest

from kerastune_recipes.devices import cluster as clusters
from kerastune_recipes.devices.cluster import Cluster
from kerastune_recipes.errors import RequestError


def config(cluster, **task):
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})}


def test_tf_config_names_the_workers():
    found = clusters.find(config({"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, type="worker", index=1))
    assert found == Cluster(("10.0.0.1:2222", "10.0.0.2:2222"), index=1)
    assert found.name(1) == "worker 1 (10.0.0.2:2222)"


def test_a_chief_is_the_first_of_the_workers():
    both = {"chief": ["a:1"], "worker": ["b:1", "c:1"]}
    assert clusters.find(config(both, type="chief", index=0)) == Cluster(("a:1", "b:1", "c:1"), 0)
    assert clusters.find(config(both, type="worker", index=1)) == Cluster(("a:1", "b:1", "c:1"), 2)


@pytest.mark.parametrize("environment", [{}, {"TF_CONFIG": ""}, {"TF_CONFIG": "{}"}, {"SLURM_STEP_NUM_TASKS": "1"}])
def test_no_cluster(environment):
    assert clusters.find(environment) is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{cluster", r"TF_CONFIG: this is no JSON \(.*\); write .*; received {cluster\."),
        ("[]", "TF_CONFIG: cluster and task are JSON objects; write"),
    ],
)
def test_tf_config_malformed(text, told):
    with pytest.raises(RequestError, match=told):
        clusters.find({"TF_CONFIG": text})


def test_all_that_is_wrong_with_tf_config_is_told_at_once():
    cluster = {"worker": ["a:1", "a:1", "b"], "ps": ["c:1"], "chief": "d:1"}
    with pytest.raises(RequestError) as caught:
        clusters.find(config(cluster, type="worker", index=3))
    assert caught.value.problems == (
        'TF_CONFIG: cluster.worker: "b" is no address; write "host:port" with a port up to 65535.',
        'TF_CONFIG: cluster.ps: all replicas work alike here; name none but "chief" and "worker".',
        'TF_CONFIG: cluster.is_main: give a list of "host:port"; received "d:1".',
        "TF_CONFIG: cluster: a:1 is listed twice; each worker has an address of its own.",
        "TF_CONFIG: task.index: give this worker's place in cluster.worker, from 0 to 2; received 3.",
    )


@pytest.mark.parametrize("kind", [None, "evaluator", "chief"])
def test_tf_config_with_a_task_that_is_not_in_the_cluster(kind):
    with pytest.raises(RequestError, match='TF_CONFIG: task.type: name "worker" or "chief", as in cluster; received'):
        clusters.find(config({"worker": ["a:1"]}, type=kind, index=0))


def test_slurm_by_the_resolver_of_tensorflow(monkeypatch):
    step = {"PROCID": "2", "STEP_NUM_TASKS": "3", "STEP_NODELIST": "n[7-8]", "STEP_TASKS_PER_NODE": "2,1"}
    for name, value in step.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    assert clusters.find() == Cluster(("n7:8888", "n7:8889", "n8:8888"), 2, "SLURM")


def test_slurm_without_its_variables(monkeypatch):
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "3")
    monkeypatch.delenv("SLURM_PROCID", raising=False)
    with pytest.raises(RequestError, match="SLURM: the step's nodes and tasks cannot be read from its variables: "):
        clusters.find()


@pytest.fixture
def ports():
    """Two ports at which nobody listens."""
    with closing(socket.create_server(("", 0))) as one, closing(socket.create_server(("", 0))) as other:
        found = one.getsockname()[1], other.getsockname()[1]
    return found


@pytest.fixture
def waited_for(monkeypatch):
    """Return a function that waits for the workers at ports, and returns what it told meanwhile; it tells at once."""
    monkeypatch.setattr(clusters, "_A_WHILE", 0.0)

    def wait(ports, seconds):
        lines = []
        clusters.wait(Cluster(tuple(f"127.0.0.1:{port}" for port in ports), 0), seconds, lines.append)
        return lines

    return wait


def test_a_worker_that_is_there_is_not_waited_for(ports, waited_for):
    _, other = ports
    with closing(socket.create_server(("", other))):
        assert waited_for(ports, seconds=5) == []


def test_one_worker_waits_for_nobody(ports, waited_for):
    assert waited_for(ports[:1], seconds=5) == []


def test_a_worker_that_does_not_come(ports):
    mine, other = ports
    told = rf"worker 1 \(127.0.0.1:{other}\) has not come within 0.1 s \(Connection refused\); see that it runs"
    with pytest.raises(RequestError, match=told):
        clusters.wait(Cluster((f"127.0.0.1:{mine}", f"127.0.0.1:{other}"), 0), seconds=0.1)


def test_whom_one_waits_for_is_told(ports, monkeypatch):
    mine, other = ports
    monkeypatch.setattr(clusters, "_A_WHILE", 0.0)
    lines = []
    with pytest.raises(RequestError):
        clusters.wait(Cluster((f"127.0.0.1:{mine}", f"127.0.0.1:{other}"), 0), seconds=0.5, tell=lines.append)
    assert lines == [f"waiting for worker 1 (127.0.0.1:{other}), for 0.5 s at most"]


def test_a_port_in_use(ports):
    mine, other = ports
    told = rf"port {mine}, where worker 0 \(127.0.0.1:{mine}\) is to listen, is in use on this machine; end what"
    with closing(socket.create_server(("", mine))), pytest.raises(RequestError, match=told):
        clusters.wait(Cluster((f"127.0.0.1:{mine}", f"127.0.0.1:{other}"), 0), seconds=5)


def test_how_long_to_wait():
    assert clusters.patience({}) == 600
    assert clusters.patience({"KERASTUNE_WAIT": "5"}) == 5
    with pytest.raises(RequestError, match="KERASTUNE_WAIT: give a number of seconds above 0; received long."):
        clusters.patience({"KERASTUNE_WAIT": "long"})
