"""Checkpoints within a fit phase: its whole state, saved every few seconds, from which it resumes bit for bit.

A checkpoint holds the variables that the phase has changed, the optimizer's variables, the states of random generators,
the metrics of the epoch and what callbacks remember. The order of the images and their augmentation need no saving:
they follow from seed, epoch and batch.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerastune_recipes import checksummed_files, interruption
from kerastune_recipes.checksummed_files import DamagedError
from kerastune_recipes.devices.workers import SINGLE, Workers
from kerastune_recipes.errors import RequestError
from kerastune_recipes.model.network import Network
from kerastune_recipes.training.callback_state import set_state, state_of

# Seconds between two checkpoints, where the user sets them.
VARIABLE = "KERASTUNE_CHECKPOINT_SECONDS"
# Else the time between two is at least this, and so long that saving takes at most this share of it.
LEAST_SECONDS = 10.0
LARGEST_SHARE = 0.02
# Several workers must save at the same step, so they agree on the step of the next look at the clock.
_FIRST_LOOK = 8
_MOST_STEPS = 1000


@dataclass(frozen=True)
class FitState:
    """The state of a fit phase between two steps.

    Args:
        arrays: Changed variables, the optimizer's variables, metrics and arrays of callbacks.
        callbacks: Name of the class of each callback and what it remembers, see `callback_state`.
        epoch: The epoch that continues, from 0.
        batch: Number of its batches that are done; above 0 the metrics of the epoch are among the arrays.
        step: Optimizer steps that are done.
        done: Whether the training is complete.
        seconds: Seconds of the phase so far.
        range_test: The learning-rate range test as plain data, where there was one.
        parts: Number of parts in which the device sees a batch.
    """

    arrays: Mapping[str, np.ndarray]
    callbacks: Sequence[tuple[str, Mapping[str, Any]]]
    epoch: int
    batch: int
    step: int
    done: bool
    seconds: float
    range_test: Mapping[str, Any] | None = None
    parts: int = 1

    def of(self, kind: str) -> dict[str, np.ndarray]:
        """Return the arrays of one kind, such as "optimizer", by number."""
        return {
            name.removeprefix(f"{kind}."): array for name, array in self.arrays.items() if name.startswith(f"{kind}.")
        }

    def restore_weights(self, network: Network) -> None:
        """Give the network the variables that the phase had changed."""
        network.apply_changes(self.of("variable"))

    def restore_callbacks(
        self, callbacks: Sequence[keras.callbacks.Callback], notify: Callable[[str], None] = lambda text: None
    ) -> None:
        """Let callbacks remember what those of the interrupted phase did; each gets the state of one of its class.

        Args:
            callbacks: The callbacks now.
            notify: Receives a sentence where they are others than then.
        """
        before, now = [name for name, _ in self.callbacks], [type(one).__name__ for one in callbacks]
        if before != now:
            notify(
                f"callbacks: the interrupted phase had {', '.join(before)}; now there are {', '.join(now)}. Those that "
                "are missing do nothing, and new ones begin here."
            )
        states = list(self.callbacks)
        for callback in callbacks:
            found = next((each for each in states if each[0] == type(callback).__name__), None)
            if found:
                states.remove(found)
                set_state(callback, found[1], self.arrays)


@dataclass
class FitCheckpoint:
    """The file of a phase's checkpoint; the one before it is kept, in case the newest is damaged.

    Args:
        file: The newest.
        notify: Receives a sentence about a damaged one, or one that cannot be written.
        writes: Whether this worker writes it.
        place: The run and phase that it belongs to, see `checksummed_files`.
        earlier_seconds: Seconds that the phase took before the state that was loaded.
    """

    file: Path
    notify: Callable[[str], None] = lambda text: None
    writes: bool = True
    place: str = ""
    earlier_seconds: float = field(default=0.0, init=False)

    @property
    def _before(self) -> Path:
        return self.file.with_name(f"{self.file.name}.before")

    @property
    def files(self) -> tuple[Path, Path]:
        """The files that may exist."""
        return self.file, self._before

    def load(self) -> FitState | None:
        """Return the newest whole state, or None."""
        for file in self.files:
            try:
                arrays, value = checksummed_files.load(file, self.place)
            except FileNotFoundError:
                continue
            except (DamagedError, OSError) as error:
                self.notify(f"{file}: this checkpoint cannot be used ({error}); the run resumes from an older one.")
                continue
            self.earlier_seconds = value["seconds"]
            return FitState(arrays=arrays, **value)
        return None

    def save(self, state: FitState) -> None:
        """Write a state; where that fails, say so and keep what was there."""
        if not self.writes:
            return
        value = {name: getattr(state, name) for name in FitState.__dataclass_fields__ if name != "arrays"}
        try:
            self.file.parent.mkdir(exist_ok=True)  # the folder of a part of the run
            if self.file.exists():
                self.file.replace(self._before)
            checksummed_files.save(self.file, state.arrays, value, self.place)
        except OSError as error:
            self.notify(
                f"{self.file}: this checkpoint cannot be written ({error.strerror}); training continues. Free disk "
                "space, or an interrupted run resumes from an older one."
            )

    def remove(self) -> None:
        """Remove the files."""
        for file in self.files:
            file.unlink(missing_ok=True)


class Cadence:
    """Decides when to save: so seldom that it costs at most 2% of the time, or as often as the user says.

    Args:
        workers: The workers that share the work; they save at the same steps.
        clock: Returns seconds.

    Raises:
        RequestError: KERASTUNE_CHECKPOINT_SECONDS is not a number.
    """

    def __init__(self, workers: Workers = SINGLE, clock: Callable[[], float] = time.monotonic):
        self._workers, self._clock = workers, clock
        self._stated = checkpoint_seconds()
        self._wait = LEAST_SECONDS if self._stated is None else self._stated
        self._last = self._started = clock()
        self._look = _FIRST_LOOK
        self._first_step: int | None = None

    @property
    def single(self) -> bool:
        """Whether this worker may save at any step; with several, reading the variables takes all of them."""
        return self._workers.size == 1

    def due(self, step: int) -> bool:
        """Return whether to save now, after a number of steps; the same on all workers."""
        if self.single:
            return self._time_is_over()
        if self._first_step is None:
            self._first_step, self._look = step, step if self._stated is not None else step + _FIRST_LOOK
        if step < self._look:
            return False
        _, (due, self._look) = self._workers.broadcast(lambda: ({}, [self._time_is_over(), self._next_look(step)]))
        return due

    def saved(self, seconds: float) -> None:
        """Note that saving took some seconds."""
        self._last = self._clock()
        if self._stated is None:
            self._wait = max(LEAST_SECONDS, seconds / LARGEST_SHARE)

    def _time_is_over(self) -> bool:
        return self._clock() - self._last >= self._wait

    def _next_look(self, step: int) -> int:
        """Return the step at which it may be due again, by the time that steps took so far."""
        assert self._first_step is not None  # set before
        now = self._clock()
        per_step = (now - self._started) / max(1, step - self._first_step)
        wait = self._wait if self._time_is_over() else self._wait - (now - self._last)
        return step + int(min(max(1, wait // max(per_step, 1e-6)), _MOST_STEPS))


def checkpoint_seconds(environment: Mapping[str, str] = os.environ) -> float | None:
    """Return the seconds between two checkpoints that the user set, or None.

    Raises:
        RequestError: KERASTUNE_CHECKPOINT_SECONDS is not a number, 0 or above.

    Example:
        >>> checkpoint_seconds({"KERASTUNE_CHECKPOINT_SECONDS": "30"})
        30.0
    """
    text = environment.get(VARIABLE)
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise RequestError(f"{VARIABLE}: must be a number of seconds, 0 or above; received {text}.")
    return seconds


@dataclass(frozen=True)
class Session:
    """How a phase begins in this process.

    Args:
        resumed: The state to resume from, or None.
        range_test: The learning-rate range test as plain data, where there was one.
        parts: Number of parts in which the device sees a batch.
    """

    resumed: FitState | None = None
    range_test: Mapping[str, Any] | None = None
    parts: int = 1


class SaveState(keras.callbacks.Callback):
    """Saves the state of a phase when it is due and when a signal asks for it, and restores it.

    It must be the last callback: it saves what the others remember after a step, and sets it after they have begun.

    Args:
        checkpoint: Where states are saved.
        network: The network that is trained.
        trained: The model whose `fit` is called; its optimizer is built.
        callbacks: The other callbacks of the phase.
        cadence: Decides when to save.
        session: How the phase begins.

    Raises:
        RequestError: The interrupted phase had other callbacks.
    """

    def __init__(
        self,
        checkpoint: FitCheckpoint,
        network: Network,
        trained: keras.Model,
        callbacks: Sequence[keras.callbacks.Callback],
        cadence: Cadence,
        session: Session = Session(),
    ):
        super().__init__()
        self.checkpoint, self.network, self.trained = checkpoint, network, trained
        self.others, self.cadence, self.session, self.resumed = list(callbacks), cadence, session, session.resumed
        self.start = network.digests()
        self.began = time.monotonic() - (self.resumed.seconds if self.resumed else 0.0)
        self.epoch, self.batch, self.step, self.batches = 0, 0, 0, 0
        if self.resumed:
            self.resumed.restore_weights(network)
            _assign(trained.optimizer.variables, self.resumed.of("optimizer"))
            self.epoch, self.step = self.resumed.epoch, self.resumed.step

    def on_train_begin(self, logs: dict | None = None) -> None:
        self.batches = self.params["steps"]
        if self.resumed:
            self.resumed.restore_callbacks(self.others, self.checkpoint.notify)
        self._save_parts()

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.epoch, self.batch = epoch, 0
        if self.resumed and self.resumed.batch and epoch == self.resumed.epoch:
            self.batch = self.resumed.batch
            _build_metrics(self.trained)
            # Keras has just reset them.
            _assign(self.trained.metrics_variables, self.resumed.of("metric"))

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.batch += 1
        self.step += 1
        # The end of an epoch is saved after its validation.
        if self.batch < self.batches and not self.trained.stop_training:
            self._save_if_due()

    def on_test_batch_end(self, batch: int, logs: dict | None = None) -> None:
        # Validation may take long; what follows the last checkpoint is trained again.
        interruption.raise_if_requested()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.epoch, self.batch = epoch + 1, 0
        if not self.trained.stop_training:
            self._save_if_due()

    def on_train_end(self, logs: dict | None = None) -> None:
        self._save_if_due(done=True)

    def _save_parts(self) -> None:
        """Save that batches are in parts from here on, instead of what was saved before they were."""
        parts = self.session.parts
        if self.resumed and self.resumed.parts != parts:
            self.checkpoint.save(replace(self.resumed, parts=parts))
        elif not self.resumed and parts > 1:
            self.checkpoint.save(self._state(done=False))

    def _save_if_due(self, done: bool = False) -> None:
        if (interruption.requested() and self.cadence.single) or self.cadence.due(self.step):
            began = time.monotonic()
            self.checkpoint.save(self._state(done))
            self.cadence.saved(time.monotonic() - began)
        interruption.raise_if_requested()

    def _state(self, done: bool) -> FitState:
        model = self.model  # under JAX this writes the state of the training to the variables
        arrays = {f"variable.{number}": values for number, values in self.network.changes(self.start).items()}
        arrays |= _numbered("optimizer", model.optimizer.variables)
        if self.batch:
            arrays |= _numbered("metric", model.metrics_variables)
        callbacks = [
            (type(one).__name__, state_of(one, arrays, f"callback.{number}.")) for number, one in enumerate(self.others)
        ]
        seconds = time.monotonic() - self.began
        return FitState(
            arrays,
            callbacks,
            self.epoch,
            self.batch,
            self.step,
            done,
            seconds,
            self.session.range_test,
            self.session.parts,
        )


def _build_metrics(model: keras.Model) -> None:
    """Build the metrics, which some backends leave to the first batch."""
    if not all(metric.variables for metric in model.metrics):
        labels = keras.ops.zeros((1, model.output_shape[-1]))
        model.compute_metrics(None, labels, labels)


def _numbered(kind: str, variables: Sequence[keras.Variable]) -> dict[str, np.ndarray]:
    return {
        f"{kind}.{number}": np.asarray(keras.ops.convert_to_numpy(variable))
        for number, variable in enumerate(variables)
    }


def _assign(variables: Sequence[keras.Variable], values: Mapping[str, np.ndarray]) -> None:
    if len(variables) != len(values):
        raise RequestError(
            f"the checkpoint holds {len(values)} variables of the optimizer or the metrics, and this version of Keras "
            f"has {len(variables)}; resume with the version that the run began with."
        )
    for number, variable in enumerate(variables):
        variable.assign(values[str(number)])
