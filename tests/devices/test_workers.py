import numpy as np
import pytest

from kerastune_recipes.devices.cluster import Cluster
from kerastune_recipes.devices.workers import SINGLE, Workers
from kerastune_recipes.errors import DataError, RequestError, WorkError


class Heard(Workers):
    """A workers of three in one process: what the others say is given."""

    others: tuple = ()

    def _exchanged(self, mine):
        from kerastune_recipes.devices.workers import _packed

        return [mine, *(_packed(*each) + b"\0\0" for each in self.others)]


def three(*others, index=0):
    workers = Heard(Cluster(("a:1", "b:1", "c:1"), index))
    object.__setattr__(workers, "others", others)
    return workers


def test_one_alone_does_all():
    assert (SINGLE.size, SINGLE.index, SINGLE.is_main) == (1, 0, True)
    assert SINGLE.all_gather(lambda: ({}, 5)) == [({}, 5)]
    assert SINGLE.barrier(lambda: 5) == 5
    assert SINGLE.share(np.arange(3)).tolist() == [0, 1, 2]
    with SINGLE.bound():
        SINGLE.agree(lambda: pytest.fail("nobody to agree with"))


def test_shares_are_as_even_as_can_be_and_none_is_lost():
    workers = three()
    shares = [workers.shard(np.arange(8), index) for index in range(3)]
    assert [share.tolist() for share in shares] == [[0, 1, 2], [3, 4, 5], [6, 7]]


def test_what_is_told_arrives_as_it_was():
    rows = np.arange(6, dtype=np.float16).reshape(2, 3)
    empty = np.empty((0, 3), np.float32)
    workers = three(({"rows": rows}, {"value": [1, "ä"]}), ({"rows": empty}, {"value": None}))
    mine, second, third = workers.all_gather(lambda: ({}, "mine"))
    assert mine == ({}, "mine")
    assert second[0]["rows"].dtype == np.float16
    np.testing.assert_array_equal(second[0]["rows"], rows)
    assert second[1] == [1, "ä"]
    assert third[0]["rows"].shape == (0, 3)


def test_what_is_wrong_on_one_worker_is_told_on_all():
    fine = ({}, {"value": None})
    broken = ({}, {"error": "DataError", "problems": ["ants/1.jpg: this image is broken."]})
    with pytest.raises(DataError, match=r"^worker 2 \(c:1\): ants/1.jpg: this image is broken.$"):
        three(fine, broken).barrier(lambda: None)


def test_what_is_wrong_on_all_workers_is_told_once():
    def fail():
        raise DataError("photos: there is no such folder.")

    broken = ({}, {"error": "DataError", "problems": ["photos: there is no such folder."]})
    with pytest.raises(DataError, match="^photos: there is no such folder.$"):
        three(broken, broken).barrier(fail)


def test_workers_that_differ_are_named():
    same = ({}, {"value": {"data": "1", "recipe": "2"}})
    other = ({}, {"value": {"data": "9", "recipe": "9"}})
    with pytest.raises(RequestError) as caught:
        three(same, other).agree(lambda: {"data": "1", "recipe": "2"})
    assert caught.value.problems == (
        "worker 2 (c:1) has other data and other recipe than worker 0 (a:1); give all workers the same.",
    )


def test_a_lost_worker_is_named():
    import tensorflow as tf

    gone = tf.errors.UnavailableError(None, None, "Task /job:worker/replica:0/task:1 heartbeat timeout")
    with pytest.raises(WorkError, match=r"worker 1 \(b:1\) was lost, and the others cannot go on"), three().bound():
        raise gone
