"""The checkpoints of a run on disk: what it began with, its completed phases, and the state of the phase under way."""

import contextlib
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from kerastune_recipes import checksummed_files
from kerastune_recipes.checksummed_files import DamagedError
from kerastune_recipes.devices.workers import SINGLE, Message, Workers
from kerastune_recipes.errors import CheckpointWarning, OutputError, listed, writing
from kerastune_recipes.planning.plan import Plan
from kerastune_recipes.reporting.outcome import Outcome
from kerastune_recipes.run import run_folder
from kerastune_recipes.run.request import Request, differences, recipe_differences, surroundings_differences
from kerastune_recipes.spec.recipe_spec import RecipeSpec
from kerastune_recipes.training.fit_checkpoint import FitCheckpoint

# The place of both copies of the request.
_REQUEST = "request"


@dataclass(frozen=True)
class SavedPhase:
    """A completed phase on disk.

    Args:
        outcome: What it did.
        changes: The variables of the model that it changed, see `Network.changes`.
        probabilities: Probabilities of the images that judge it, float32 (n, k).
        cross_fitted: The same, see `phases.CompletedPhase`.
    """

    outcome: Outcome
    changes: dict[str, np.ndarray]
    probabilities: np.ndarray
    cross_fitted: np.ndarray


@dataclass(eq=False)
class Checkpoint:
    """The checkpoints of a run, or of a part of it, such as a fold.

    Args:
        folder: Where they are kept; None keeps nothing.
        writes: Whether this worker writes them.
        request: What the interrupted run began with; None for a run that begins.
        whole: The checkpoint of the whole run, where this one is of a part.
        is_fold: Whether the part is a fold, whose phases the whole run's checkpoint has too.
    """

    folder: Path | None
    writes: bool = True
    request: Request | None = None
    whole: "Checkpoint | None" = None
    is_fold: bool = False
    _completed_seconds: float = field(default=0.0, init=False)
    _fits: list[FitCheckpoint] = field(default_factory=list, init=False)
    # What is doubtful about the resumed run, one sentence each.
    notes: list[str] = field(default_factory=list, init=False)
    _begun: bool = field(default=False, init=False)
    _new: Request | None = field(default=None, init=False)
    _lock: contextlib.ExitStack = field(default_factory=contextlib.ExitStack, init=False)

    @property
    def resumes(self) -> bool:
        """Whether the run resumes from what is there."""
        return (self.whole or self).request is not None

    @property
    def earlier_seconds(self) -> float:
        """Seconds that earlier sessions of this run took for what was loaded."""
        return self._completed_seconds + sum(each.earlier_seconds for each in self._fits)

    def plan_of(self, content: RecipeSpec | Plan) -> RecipeSpec | Plan:
        """Return what to run: the recipe, or the plan that an interrupted run made of it.

        Args:
            content: The recipe or plan that the user gives.

        Raises:
            OutputError: The interrupted run had another.
        """
        if self.request is None:
            return content
        self._refuse(recipe_differences(self.request.asked.content, content.to_data()))
        return Plan.from_data(self.request.plan, f"{self.folder}")

    def compare(self, request: Request) -> None:
        """Compare an interrupted run with the present request, or remember it for `begin`.

        Args:
            request: What the run is asked to do now, and what it works with.

        Raises:
            OutputError: The interrupted run began with something else; all differences are named.
        """
        if self.request is None:
            self._new = request
            return
        self._refuse(differences(self.request, request))
        others = surroundings_differences(self.request, request)
        if others:
            self.notes.append(
                f"Resumed under other conditions: {listed(others, most=99)}; the last digits may differ from those of "
                "a run that was not interrupted."
            )

    def _refuse(self, found: list[str]) -> None:
        if found:
            assert self.folder is not None  # only a checkpoint on disk is compared
            raise OutputError(
                *(f"{self.folder.parent}: the interrupted run began with something else: {each}." for each in found),
                "Resume with the same, or start again in another folder (or with --overwrite).",
            )

    def begin_saving(self) -> None:
        """Mark that the files of the report are written from now on, so that those found later are ours."""
        if self.folder and self.writes:
            with writing(self.folder):
                (self.folder / run_folder.SAVING).touch()

    def begin(self) -> None:
        """Make the folder, and that of the run; every call after the first does nothing.

        Call it when all images have been decoded and before anything is written.

        Raises:
            OutputError: The folder cannot be written, or another process works in it.
        """
        if self.whole:
            self.whole.begin()
            return
        if self._begun or self.folder is None or not self.writes:
            return
        if not self.resumes:
            assert self._new is not None  # `compare` comes first
            with writing(self.folder.parent):
                self.folder.mkdir(parents=True, exist_ok=True)
                self.lock()
                run_folder.clear(self.folder)
                for name in run_folder.REQUESTS:
                    checksummed_files.save(self.folder / name, *self._new.to_parts(), _REQUEST)
        self._begun = True

    def lock(self) -> None:
        """Hold the lock of the folder until `close`.

        Raises:
            OutputError: Another process holds it.
        """
        if self.folder is not None and self.writes:
            self._lock.enter_context(run_folder.locked(self.folder))

    def close(self) -> None:
        """Release the lock."""
        self._lock.close()

    def completed(self) -> Iterator[SavedPhase]:
        """Yield the completed phases, in order, up to the first that is missing or damaged."""
        position = 1
        while self.resumes and self.folder and (self.folder / f"phase_{position}").exists():
            file = self.folder / f"phase_{position}"
            try:
                arrays, data = checksummed_files.load(file, self._place(file))
            except (DamagedError, OSError) as error:
                self._warn(f"{file}: this checkpoint cannot be used ({error}); its phase runs again.")
                return
            outcome, probabilities = Outcome.from_data(data), arrays.pop("probabilities")
            # The seconds of a fold are part of those of the whole run's phase.
            if not self.is_fold:
                (self.whole or self)._completed_seconds += outcome.seconds
            yield SavedPhase(outcome, arrays, probabilities, arrays.pop("cross_fitted"))
            position += 1

    def save(self, position: int, phase: SavedPhase) -> None:
        """Write a completed phase; where that fails, say so.

        Args:
            position: Number of the phase, from 1.
            phase: The phase.
        """
        if self.folder is None or not self.writes:
            return
        file = self.folder / f"phase_{position}"
        try:
            self.folder.mkdir(exist_ok=True)  # the folder of a part
            arrays = {**phase.changes, "probabilities": phase.probabilities, "cross_fitted": phase.cross_fitted}
            checksummed_files.save(file, arrays, phase.outcome.to_data(), self._place(file))
        except OSError as error:
            self._warn(
                f"{file}: this checkpoint cannot be written ({error.strerror}); the run continues. Free disk space, or "
                "an interrupted run repeats this phase."
            )

    def forget_fit(self, position: int) -> None:
        """Remove the state of the training of a phase that is saved."""
        if self.folder and self.writes and (self.folder / f"phase_{position}").exists():
            with contextlib.suppress(OSError):  # it is harmless
                FitCheckpoint(self._fit_file(position)).remove()

    def of_fit(self, position: int) -> FitCheckpoint | None:
        """Return the checkpoint within a fit phase."""
        if self.folder is None:
            return None
        checkpoint = FitCheckpoint(
            self._fit_file(position), self._warn, self.writes, self._place(self._fit_file(position))
        )
        (self.whole or self)._fits.append(checkpoint)
        return checkpoint

    def _fit_file(self, position: int) -> Path:
        assert self.folder is not None  # callers check
        return self.folder / f"phase_{position}.fit"

    def _place(self, file: Path) -> str:
        """Return the run and the place in it that a file belongs to: another run's is no checkpoint of this one."""
        whole = self.whole or self
        request = whole.request or whole._new
        assert whole.folder is not None  # callers check
        identity = request.digest() if request else ""
        return f"{identity} {file.relative_to(whole.folder).as_posix()}"

    def part(self, name: str, is_fold: bool = False) -> "Checkpoint":
        """Return the checkpoint of a part of the run: a fold or the refit."""
        if self.folder is None:
            return self
        return Checkpoint(self.folder / name, self.writes, whole=self.whole or self, is_fold=is_fold)

    def _warn(self, problem: str) -> None:
        warnings.warn(problem, CheckpointWarning, stacklevel=3)

    def files(self) -> dict[str, np.ndarray]:
        """Return the bytes of all files that a run resumes from, uint8 (bytes,) each, by path."""
        if self.folder is None or not self.resumes:
            return {}
        files = [path for path in self.folder.rglob("*") if path.is_file() and path.name != run_folder.LOCK]
        return {path.relative_to(self.folder).as_posix(): np.fromfile(path, np.uint8) for path in files}

    def remove(self) -> None:
        """Remove the checkpoints of a run that is saved.

        Raises:
            OutputError: They cannot be removed.
        """
        if self.folder and self.writes:
            with writing(self.folder):
                run_folder.clear(self.folder)
                self.close()
                (self.folder / run_folder.LOCK).unlink(missing_ok=True)
                run_folder.remove_if_empty(self.folder)


def find(out: Path | None, resume: bool) -> Checkpoint:
    """Find the checkpoints of a run; nothing is written yet.

    Args:
        out: The run folder, or None to keep none.
        resume: True to resume from what is there.

    Raises:
        OutputError: What the interrupted run began with cannot be read, or another process works in the folder.
    """
    if out is None:
        return Checkpoint(None)
    folder = out / run_folder.CHECKPOINTS
    if not (resume and run_folder.is_interrupted(out)):
        return Checkpoint(folder)
    checkpoint = Checkpoint(folder, request=read_request(out))
    checkpoint.lock()
    return checkpoint


def read_request(out: Path) -> Request:
    """Return what the interrupted run in a folder began with.

    Raises:
        OutputError: It is damaged, or was written by another version.
    """
    reasons = []
    for name in run_folder.REQUESTS:
        file = out / run_folder.CHECKPOINTS / name
        try:
            return Request.from_parts(*checksummed_files.load(file, _REQUEST))
        except (DamagedError, OSError, TypeError) as error:
            reasons.append(f"{file}: this file cannot be used ({error}); without it the run cannot resume.")
    raise OutputError(*reasons, "Start again in another folder (or with --overwrite).")


@contextlib.contextmanager
def shared(out: Path | None, resume: bool, workers: Workers = SINGLE) -> Iterator[Checkpoint]:
    """Give every worker a checkpoint: the main worker's is kept, each other worker reads a temporary copy of it.

    Args:
        out: The run folder of the main worker, or None.
        resume: True to resume from what is there.
        workers: The workers of the run.

    Raises:
        OutputError: As for `find`; on every worker.
    """
    if workers.size == 1:
        with contextlib.closing(find(out, resume)) as single:
            yield single
        return
    found: list[Checkpoint] = []

    def message() -> Message:
        found.append(find(out, resume))
        main = found[0]
        return main.files(), {"resumes": main.resumes, "kept": main.folder is not None}

    files, about = workers.broadcast(message)
    if workers.is_main:
        with contextlib.closing(found[0]) as main:
            yield main
        return
    with tempfile.TemporaryDirectory(prefix="kerastune-", ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary) / run_folder.CHECKPOINTS
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content.tobytes())
        request = read_request(Path(temporary)) if about["resumes"] else None
        yield Checkpoint(folder if about["kept"] else None, writes=False, request=request)
