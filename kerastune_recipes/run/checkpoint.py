"""What a run has finished so far, kept in its folder so that an interrupted run can go on."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from kerastune_recipes import yaml_files
from kerastune_recipes.data.dataset import Dataset, mark_of
from kerastune_recipes.devices.workers import Team, Told
from kerastune_recipes.errors import OutputError
from kerastune_recipes.planning.plan import Plan
from kerastune_recipes.reporting.outcome import Outcome

FOLDER = "journal"
_MARK = "fingerprint"


@dataclass(frozen=True)
class Journal:
    """Finished phases on disk.

    Args:
        folder: Where; None keeps nothing.
        mark: Of the plan, the data and the seed it belongs to.
        going_on: True for a run that goes on from what is there.
    """

    folder: Path | None
    mark: str = ""
    going_on: bool = False

    def begin(self) -> None:
        """Make the folder, in place of an earlier journal unless that goes on.

        Raises:
            OutputError: The folder cannot be written.
        """
        if self.folder is None or self.going_on:
            return
        try:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
            (self.folder / _MARK).write_text(self.mark)
        except OSError as error:
            raise OutputError(f"{self.folder.parent}: the folder cannot be written: {error.strerror}.") from None

    def finished(self) -> list[Outcome]:
        """Return the outcomes of the finished phases, in order."""
        outcomes: list[Outcome] = []
        while self.going_on and self.folder and (self.folder / f"phase_{len(outcomes) + 1}.json").is_file():
            data = json.loads((self.folder / f"phase_{len(outcomes) + 1}.json").read_text())
            outcomes.append(Outcome.from_data(data))
        return outcomes

    def keep(self, position: int, outcome: Outcome, model: keras.Model, probabilities: np.ndarray) -> None:
        """Write a finished phase: weights and probabilities first, its outcome last, so that a half is never read."""
        if self.folder is None:
            return
        self.folder.mkdir(exist_ok=True)  # of a part
        model.save_weights(self.folder / f"phase_{position}.weights.h5")
        np.save(self.folder / f"phase_{position}.npy", probabilities)
        part = self.folder / f"phase_{position}.part"
        part.write_text(json.dumps(outcome.to_data()))
        part.replace(self.folder / f"phase_{position}.json")
        shutil.rmtree(self.folder / f"phase_{position}_epochs", ignore_errors=True)

    def restore(self, position: int, model: keras.Model) -> np.ndarray:
        """Put a finished phase's weights into the model, and return its validation probabilities (n, k)."""
        assert self.folder is not None  # only a journal on disk has finished phases
        model.load_weights(self.folder / f"phase_{position}.weights.h5")
        return np.load(self.folder / f"phase_{position}.npy")

    def part(self, name: str) -> "Journal":
        """Return the journal of a part of the run, such as a fold."""
        return self if self.folder is None else Journal(self.folder / name, self.mark, self.going_on)

    def epochs(self, position: int) -> Path | None:
        """Return the folder for a phase's checkpoints of each epoch."""
        return self.folder / f"phase_{position}_epochs" if self.folder else None

    def content(self) -> dict[str, np.ndarray]:
        """Return the bytes of all files that it goes on from, uint8 each, by their paths."""
        if self.folder is None or not self.going_on:
            return {}
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        return {path.relative_to(self.folder).as_posix(): np.fromfile(path, np.uint8) for path in files}

    def close(self) -> None:
        """Remove the journal of a run that is done."""
        if self.folder:
            shutil.rmtree(self.folder)


def find(out: Path | None, plan: Plan, dataset: Dataset, seed: int, resume: bool) -> Journal:
    """Find the journal of a run; nothing is written yet.

    Args:
        out: The run folder, or None to keep no journal.
        plan: What is run.
        dataset: On what.
        seed: With which seed.
        resume: True to go on from what is there.

    Raises:
        OutputError: The journal there belongs to another plan, other data or another seed.
    """
    if out is None:
        return Journal(None)
    mark = _mark(plan, dataset, seed)
    found = out / FOLDER / _MARK
    if not (resume and found.is_file()):
        return Journal(out / FOLDER, mark)
    if found.read_text() != mark:
        raise OutputError(
            f"{out}: the interrupted run here had another plan, other data or another seed; "
            "resume with the same, or start anew in another folder (or with --overwrite)."
        )
    return Journal(out / FOLDER, mark, going_on=True)


@contextmanager
def shared(team: Team, look: Callable[[], Journal]) -> Iterator[Journal]:
    """Give every worker a journal to go on from: the chief's lasts, each of the others has a passing copy of it.

    Args:
        team: Who shares the work.
        look: Finds the chief's journal, see `find`.

    Raises:
        OutputError: As for `find`; on every worker.
    """
    if team.size == 1:
        yield look()
        return
    found: list[Journal] = []

    def tell() -> Told:
        found.append(look())
        book = found[0]
        return book.content(), {"mark": book.mark, "going_on": book.going_on, "kept": book.folder is not None}

    content, about = team.told(tell)
    if team.chief:
        yield found[0]
        return
    with tempfile.TemporaryDirectory(prefix="kerastune-", ignore_cleanup_errors=True) as passing:
        folder = Path(passing) / FOLDER
        for name, each in content.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(each.tobytes())
        yield Journal(folder if about["kept"] else None, about["mark"], about["going_on"])


def _mark(plan: Plan, dataset: Dataset, seed: int) -> str:
    return hashlib.sha256(f"{seed}\n{yaml_files.dump(plan.to_data())}{mark_of(dataset)}".encode()).hexdigest()
