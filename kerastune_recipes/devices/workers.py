"""The workers of one run, talking to each other: all run the same program, and each does its share.

Whatever is decided by chance, by a clock or by what lies on a disk is decided by the main worker and told to the others, so
that all of them go the same way. What they tell each other goes through tf.distribute, as the gradients do.
"""

import functools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from safetensors.numpy import load, save

from kerastune_recipes import errors
from kerastune_recipes.devices.cluster import Cluster
from kerastune_recipes.errors import KerastuneError, RequestError, WorkError, listed

# What workers tell each other: arrays by name, and what JSON can hold.
Message = tuple[Mapping[str, np.ndarray], Any]
_WORD = 4
_JSON = "json"


@dataclass(frozen=True)
class Workers:
    """The workers of one run; one process alone is a workers too.

    Args:
        cluster: Who they are; None where there is one only.
        strategy: The tf.distribute.MultiWorkerMirroredStrategy that binds them.

    Example:
        >>> Workers().broadcast(lambda: ({}, "a word"))
        ({}, 'a word')
    """

    cluster: Cluster | None = None
    strategy: Any | None = None

    @property
    def size(self) -> int:
        """How many workers there are."""
        return len(self.cluster.addresses) if self.cluster else 1

    @property
    def index(self) -> int:
        """This worker's number; the main worker's is 0."""
        return self.cluster.index if self.cluster else 0

    @property
    def is_main(self) -> bool:
        """Whether this worker decides and writes."""
        return self.index == 0

    def shard(self, items: np.ndarray, index: int | None = None) -> np.ndarray:
        """Return a worker's part of some items, by default this one's: as many in a row as the others have, or one."""
        return np.array_split(items, self.size)[self.index if index is None else index]

    def all_gather(self, work: Callable[[], Message]) -> list[Message]:
        """Do something on every worker, and give each what all of them found, by worker.

        Raises:
            KerastuneError: The work raised one on any worker; it is then raised on every worker.
        """
        if self.cluster is None:
            return [work()]
        try:
            arrays, value = work()
            mine: dict[str, Any] = {"value": value}
        except KerastuneError as error:
            arrays, mine = {}, {"error": type(error).__name__, "problems": error.problems}
        found = [_unpacked(each) for each in self._exchanged(_packed(arrays, mine))]
        self._raise_what_was_raised([value for _, value in found])
        return [(arrays, value["value"]) for arrays, value in found]

    def broadcast(self, work: Callable[[], Message]) -> Message:
        """Do something on the main worker, and give what it found to every worker.

        Raises:
            KerastuneError: As for `gathered`.
        """
        return self.all_gather(lambda: work() if self.is_main else ({}, None))[0]

    def barrier(self, work: Callable[[], Any]) -> Any:
        """Do something on every worker, and return what this one found once all have done it.

        The work must not need the others: it may fail on one of them.

        Raises:
            KerastuneError: As for `gathered`.
        """
        found = []

        def do() -> Message:
            found.append(work())
            return {}, None

        self.all_gather(do)
        return found[0]

    def check_same(self, marks: Callable[[], Mapping[str, str]]) -> None:
        """See that all workers have the same; one alone is not asked.

        Args:
            marks: Gives digests by what they are of, such as "data".

        Raises:
            RequestError: Some worker has another; raised on every worker.
        """
        if self.size == 1:
            return
        first, *others = [value for _, value in self.all_gather(lambda: ({}, dict(marks())))]
        problems = []
        for index, each in enumerate(others, 1):
            differing = [what for what in first if each[what] != first[what]]
            if differing and self.cluster:
                problems.append(
                    f"{self.cluster.name(index)} has other {' and other '.join(differing)} than "
                    f"{self.cluster.name(0)}; give all workers the same."
                )
        if problems:
            raise RequestError(*problems)

    @contextmanager
    def report_lost_worker(self) -> Iterator[None]:
        """Say it in a sentence when a worker is lost while the context lasts.

        Raises:
            WorkError: A worker is gone, so that the others cannot go on.
        """
        if self.cluster is None:
            yield
            return
        import tensorflow as tf

        try:
            yield
        except tf.errors.OpError as error:
            gone_for_good = isinstance(error, (tf.errors.UnavailableError, tf.errors.AbortedError))
            if not gone_for_good and "Collective ops is aborted" not in str(error):
                raise
            gone = sorted({int(task) for task in re.findall(r"/task:(\d+)", str(error))} - {self.index})
            names = listed(self.cluster.name(index) for index in gone if index < self.size) or "a worker"
            raise WorkError(
                f"{names} was lost, and the others cannot go on without; its own output says why. Start all workers "
                "again; with --resume they go on from the last finished epoch."
            ) from error

    def _raise_what_was_raised(self, found: list[dict[str, Any]]) -> None:
        kinds = {index: each["error"] for index, each in enumerate(found) if "error" in each}
        if not kinds:
            return
        assert self.cluster is not None  # alone, errors are raised where they arise
        told: dict[str, list[int]] = {}
        for index in kinds:
            for problem in found[index]["problems"]:
                told.setdefault(problem, []).append(index)
        raise getattr(errors, next(iter(kinds.values())))(
            *(
                problem if len(by) == self.size else f"{listed(map(self.cluster.name, by))}: {problem}"
                for problem, by in told.items()
            )
        )

    def _exchanged(self, mine: bytes) -> list[bytes]:
        words = np.frombuffer(mine + b"\0" * (-len(mine) % _WORD), np.int32)
        lengths = self._concatenated(np.array([len(words)], np.int32))
        parts = np.split(self._concatenated(words), np.cumsum(lengths)[:-1])
        return [part.tobytes() for part in parts]

    def _concatenated(self, mine: np.ndarray) -> np.ndarray:
        """Return the words of all workers, one after the other."""
        import tensorflow as tf

        assert self.strategy is not None  # a cluster is bound by one
        replicas = self.strategy.num_replicas_in_sync // self.size

        def by_replica(context: Any) -> Any:
            # The first replica of each worker speaks.
            speaks = context.replica_id_in_sync_group % replicas == 0
            return tf.constant(mine if speaks else mine[:0])

        values = self.strategy.experimental_distribute_values_from_function(by_replica)
        return _gathering(self.strategy)(values).numpy()


@functools.cache
def _gathering(strategy: Any) -> Any:
    """Return a graph that gathers words; called without one, TensorFlow traces anew each time."""
    import tensorflow as tf

    return tf.function(lambda values: strategy.gather(values, axis=0), reduce_retracing=True)


SINGLE = Workers()


def _packed(arrays: Mapping[str, np.ndarray], value: Any) -> bytes:
    text = np.frombuffer(json.dumps(value).encode(), np.uint8)
    return save({_JSON: text, **{f".{name}": np.ascontiguousarray(array) for name, array in arrays.items()}})


def _unpacked(content: bytes) -> Message:
    # Behind the arrays may be the bytes that fill the last word.
    length = 8 + int.from_bytes(content[:8], "little")
    ends = [each["data_offsets"][1] for key, each in json.loads(content[8:length]).items() if key != "__metadata__"]
    arrays = load(content[: length + max(ends)])
    return {name[1:]: array for name, array in arrays.items() if name != _JSON}, json.loads(arrays[_JSON].tobytes())
