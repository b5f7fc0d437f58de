"""Collective operations between the workers of one run: broadcast, all-gather, barrier and shard.

All workers run the same program. The main worker decides whatever depends on chance, a clock or its disk, and
broadcasts the decision, so that all workers take the same path. Messages go through tf.distribute, as gradients do.
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

# Arrays by name, and anything that JSON can hold.
Message = tuple[Mapping[str, np.ndarray], Any]
# Messages travel as int32 words.
_WORD_BYTES = 4
_JSON = "json"


@dataclass(frozen=True)
class Workers:
    """The workers of one run; a single process has one worker, `SINGLE`.

    Args:
        cluster: Addresses of the workers; None for a single process.
        strategy: The tf.distribute.MultiWorkerMirroredStrategy that connects them; None for a single process.

    Example:
        >>> Workers().broadcast(lambda: ({}, "a word"))
        ({}, 'a word')
    """

    cluster: Cluster | None = None
    strategy: Any | None = None

    @property
    def size(self) -> int:
        """Number of workers."""
        return len(self.cluster.addresses) if self.cluster else 1

    @property
    def index(self) -> int:
        """Index of this worker; the main worker has 0."""
        return self.cluster.index if self.cluster else 0

    @property
    def is_main(self) -> bool:
        """Whether this is the main worker, which decides and writes files."""
        return self.index == 0

    def shard(self, items: np.ndarray, index: int | None = None) -> np.ndarray:
        """Return one worker's shard: consecutive items, at most one more or fewer than in other shards.

        Args:
            items: Array (n, ...), the same on every worker.
            index: Which worker's shard; None for this worker's.

        Example:
            >>> SINGLE.shard(np.arange(3))
            array([0, 1, 2])
        """
        return np.array_split(items, self.size)[self.index if index is None else index]

    def all_gather(self, work: Callable[[], Message]) -> list[Message]:
        """Run a function on every worker, and return the results of all of them, by worker index, on each.

        Raises:
            KerastuneError: The function raised one on any worker; every worker then raises it.
        """
        if self.cluster is None:
            return [work()]
        try:
            arrays, value = work()
            answer: dict[str, Any] = {"value": value}
        except KerastuneError as error:
            arrays, answer = {}, {"error": type(error).__name__, "problems": error.problems}
        gathered = [_unpack(content) for content in self._exchange(_pack(arrays, answer))]
        self._raise_errors([answer for _, answer in gathered])
        return [(arrays, answer["value"]) for arrays, answer in gathered]

    def broadcast(self, work: Callable[[], Message]) -> Message:
        """Run a function on the main worker, and return its result on every worker.

        Raises:
            KerastuneError: As for `all_gather`.
        """
        return self.all_gather(lambda: work() if self.is_main else ({}, None))[0]

    def barrier(self, work: Callable[[], Any]) -> Any:
        """Run a function on every worker, wait until all have finished, and return this worker's own result.

        The function must not call collective operations: it may fail on one worker only.

        Raises:
            KerastuneError: As for `all_gather`.
        """
        results = []

        def run() -> Message:
            results.append(work())
            return {}, None

        self.all_gather(run)
        return results[0]

    def check_same(self, digests: Callable[[], Mapping[str, str]]) -> None:
        """Refuse workers that differ from the main worker. A single process computes no digests.

        Args:
            digests: Returns a digest for each thing compared, by its name, such as "data".

        Raises:
            RequestError: A worker has another digest; every worker raises it.
        """
        if self.size == 1:
            return
        first, *others = [value for _, value in self.all_gather(lambda: ({}, dict(digests())))]
        problems = []
        for index, other in enumerate(others, 1):
            different = [name for name in first if other[name] != first[name]]
            if different and self.cluster:
                problems.append(
                    f"{self.cluster.name(index)} has different {' and '.join(different)} than {self.cluster.name(0)}; "
                    "give all workers the same."
                )
        if problems:
            raise RequestError(*problems)

    @contextmanager
    def report_lost_worker(self) -> Iterator[None]:
        """Turn TensorFlow's error about a lost worker into one sentence, while the context lasts.

        Raises:
            WorkError: A worker is lost, so that the others cannot continue.
        """
        if self.cluster is None:
            yield
            return
        import tensorflow as tf

        try:
            yield
        except tf.errors.OpError as error:
            disconnected = isinstance(error, (tf.errors.UnavailableError, tf.errors.AbortedError))
            if not disconnected and "Collective ops is aborted" not in str(error):
                raise
            tasks = {int(task) for task in re.findall(r"/task:(\d+)", str(error))}
            # Where the main worker does not answer, only its service is named.
            lost = sorted(
                (tasks or ({0} if "/tensorflow.CoordinationService/" in str(error) else set())) - {self.index}
            )
            names = listed(self.cluster.name(index) for index in lost if index < self.size) or "a worker"
            raise WorkError(
                f"{names} was lost, and the others cannot continue without it; its own output shows the cause. Start "
                "all workers again; with --resume they continue from the last checkpoint."
            ) from error

    def _raise_errors(self, answers: list[dict[str, Any]]) -> None:
        """Raise the errors of all workers as one, each problem once, with the workers that have it."""
        failed = {index: answer for index, answer in enumerate(answers) if "error" in answer}
        if not failed:
            return
        assert self.cluster is not None  # a single process raises its errors directly
        workers_by_problem: dict[str, list[int]] = {}
        for index, answer in failed.items():
            for problem in answer["problems"]:
                workers_by_problem.setdefault(problem, []).append(index)
        raise getattr(errors, next(iter(failed.values()))["error"])(
            *(
                problem if len(indices) == self.size else f"{listed(map(self.cluster.name, indices))}: {problem}"
                for problem, indices in workers_by_problem.items()
            )
        )

    def _exchange(self, content: bytes) -> list[bytes]:
        """Return the bytes of all workers, by worker index; each may end in up to three zeros of padding."""
        words = np.frombuffer(content + b"\0" * (-len(content) % _WORD_BYTES), np.int32)
        lengths = self._gather(np.array([len(words)], np.int32))
        parts = np.split(self._gather(words), np.cumsum(lengths)[:-1])
        return [part.tobytes() for part in parts]

    def _gather(self, words: np.ndarray) -> np.ndarray:
        """Return the words (n,) of all workers, concatenated."""
        import tensorflow as tf

        assert self.strategy is not None  # every cluster has one
        replicas = self.strategy.num_replicas_in_sync // self.size

        def of_replica(context: Any) -> Any:
            # Only the first replica of each worker sends its words.
            sends = context.replica_id_in_sync_group % replicas == 0
            return tf.constant(words if sends else words[:0])

        values = self.strategy.experimental_distribute_values_from_function(of_replica)
        return _gather_function(self.strategy)(values).numpy()


@functools.cache
def _gather_function(strategy: Any) -> Any:
    """Return a compiled gather; `strategy.gather` itself would be traced again on each call."""
    import tensorflow as tf

    return tf.function(lambda values: strategy.gather(values, axis=0), reduce_retracing=True)


SINGLE = Workers()


def _pack(arrays: Mapping[str, np.ndarray], value: Any) -> bytes:
    text = np.frombuffer(json.dumps(value).encode(), np.uint8)
    return save({_JSON: text, **{f".{name}": np.ascontiguousarray(array) for name, array in arrays.items()}})


def _unpack(content: bytes) -> Message:
    # safetensors refuses the padding after the arrays, so their length is read from the header.
    length = 8 + int.from_bytes(content[:8], "little")
    ends = [each["data_offsets"][1] for key, each in json.loads(content[8:length]).items() if key != "__metadata__"]
    arrays = load(content[: length + max(ends)])
    return {name[1:]: array for name, array in arrays.items() if name != _JSON}, json.loads(arrays[_JSON].tobytes())
