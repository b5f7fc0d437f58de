"""Collective operations; the messages of the other workers are faked here (tests/contracts/test_several_workers.py)."""

import numpy as np
import pytest

from kerastune_recipes.devices.cluster import Cluster
from kerastune_recipes.devices.workers import SINGLE, Workers
from kerastune_recipes.errors import DataError, RequestError, WorkError


class FakedWorkers(Workers):
    """One of three workers; the messages of the others are given."""

    others: tuple = ()

    def _exchange(self, content):
        from kerastune_recipes.devices.workers import _pack

        return [content, *(_pack(*other) + b"\0\0" for other in self.others)]


def three(*others, index=0):
    workers = FakedWorkers(Cluster(("a:1", "b:1", "c:1"), index))
    object.__setattr__(workers, "others", others)
    return workers


def test_a_single_worker_does_everything():
    assert (SINGLE.size, SINGLE.index, SINGLE.is_main) == (1, 0, True)
    assert SINGLE.all_gather(lambda: ({}, 5)) == [({}, 5)]
    assert SINGLE.broadcast(lambda: ({}, 5)) == ({}, 5)
    assert SINGLE.barrier(lambda: 5) == 5
    assert SINGLE.shard(np.arange(3)).tolist() == [0, 1, 2]
    with SINGLE.report_lost_worker():
        SINGLE.check_same(lambda: pytest.fail("no other worker to compare with"))


def test_shards_are_even_and_complete():
    shards = [three().shard(np.arange(8), index) for index in range(3)]
    assert [shard.tolist() for shard in shards] == [[0, 1, 2], [3, 4, 5], [6, 7]]


def test_messages_arrive_unchanged():
    rows = np.arange(6, dtype=np.float16).reshape(2, 3)
    empty = np.empty((0, 3), np.float32)
    workers = three(({"rows": rows}, {"value": [1, "ä"]}), ({"rows": empty}, {"value": None}))
    first, second, third = workers.all_gather(lambda: ({}, "mine"))
    assert first == ({}, "mine")
    assert second[0]["rows"].dtype == np.float16
    np.testing.assert_array_equal(second[0]["rows"], rows)
    assert second[1] == [1, "ä"]
    assert third[0]["rows"].shape == (0, 3)


def test_an_error_on_one_worker_is_raised_on_all():
    success = ({}, {"value": None})
    failure = ({}, {"error": "DataError", "problems": ["ants/1.jpg: this image is broken."]})
    with pytest.raises(DataError, match=r"^worker 2 \(c:1\): ants/1.jpg: this image is broken.$"):
        three(success, failure).barrier(lambda: None)


def test_an_error_on_all_workers_is_reported_once():
    def fail():
        raise DataError("photos: there is no such folder.")

    failure = ({}, {"error": "DataError", "problems": ["photos: there is no such folder."]})
    with pytest.raises(DataError, match="^photos: there is no such folder.$"):
        three(failure, failure).barrier(fail)


def test_workers_that_differ_are_named():
    same = ({}, {"value": {"data": "1", "recipe": "2"}})
    other = ({}, {"value": {"data": "9", "recipe": "9"}})
    with pytest.raises(RequestError) as caught:
        three(same, other).check_same(lambda: {"data": "1", "recipe": "2"})
    assert caught.value.problems == (
        "worker 2 (c:1) has different data and recipe than worker 0 (a:1); give all workers the same.",
    )


def test_a_lost_worker_is_named():
    import tensorflow as tf

    lost = tf.errors.UnavailableError(None, None, "Task /job:worker/replica:0/task:1 heartbeat timeout")
    message = r"worker 1 \(b:1\) was lost, and the others cannot continue without it"
    with pytest.raises(WorkError, match=message), three().report_lost_worker():
        raise lost


def test_the_main_worker_is_named_when_it_no_longer_answers():
    """Where it hangs, TensorFlow names only the service that it runs."""
    import tensorflow as tf

    text = "Collective ops is aborted by: Deadline Exceeded\n\nRPC: /tensorflow.CoordinationService/Heartbeat"
    message = r"worker 0 \(a:1\) was lost, and the others cannot continue without it"
    with pytest.raises(WorkError, match=message), three(index=2).report_lost_worker():
        raise tf.errors.DeadlineExceededError(None, None, text)
