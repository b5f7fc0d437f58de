"""The completed phases of a run on disk, so that an interrupted run can resume."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from kerastune_recipes import yaml_files
from kerastune_recipes.data.dataset import Dataset, dataset_digest
from kerastune_recipes.devices.workers import Message, Workers
from kerastune_recipes.errors import OutputError, writing
from kerastune_recipes.model.network import Network
from kerastune_recipes.planning.plan import Plan
from kerastune_recipes.reporting.outcome import Outcome
from kerastune_recipes.run import run_folder
from kerastune_recipes.spec.recipe_spec import RecipeSpec

_DIGEST = "fingerprint"


@dataclass(eq=False)
class Checkpoint:
    """Completed phases on disk.

    Args:
        folder: Where they are kept; None keeps nothing.
        digest: Digest of the plan, the data and the seed.
        resumes: Whether the run resumes from what is there.
        content: What the run was asked to do, written beside the folder by `begin`; None writes nothing.
        whole: The checkpoint of the whole run, where this one is of a part, such as a fold.
    """

    folder: Path | None
    digest: str = ""
    resumes: bool = False
    content: RecipeSpec | Plan | None = None
    whole: "Checkpoint | None" = None
    _begun: bool = field(default=False, init=False)

    def begin(self) -> None:
        """Make the folder, and that of the run; every call after the first does nothing.

        Call it when all images have been decoded and before anything is written.

        Raises:
            OutputError: The folder cannot be written.
        """
        if self.whole:
            self.whole.begin()
            return
        if self._begun or self.folder is None:
            return
        if not self.resumes:
            with writing(self.folder.parent):
                shutil.rmtree(self.folder, ignore_errors=True)
                self.folder.mkdir(parents=True)
                (self.folder / _DIGEST).write_text(self.digest)
        if self.content:
            run_folder.begin(self.folder.parent, self.content)
        self._begun = True

    def completed(self) -> list[Outcome]:
        """Return the outcomes of the completed phases, in order."""
        outcomes: list[Outcome] = []
        while self.resumes and self.folder and (self.folder / f"phase_{len(outcomes) + 1}.json").is_file():
            data = json.loads((self.folder / f"phase_{len(outcomes) + 1}.json").read_text())
            outcomes.append(Outcome.from_data(data))
        return outcomes

    def save(self, position: int, outcome: Outcome, network: Network, probabilities: np.ndarray) -> None:
        """Write a completed phase: weights and probabilities first, its outcome last, so that no half is ever read."""
        if self.folder is None:
            return
        self.folder.mkdir(exist_ok=True)  # the folder of a part
        network.model.save_weights(self.folder / f"phase_{position}.weights.h5")
        np.save(self.folder / f"phase_{position}.npy", probabilities)
        part = self.folder / f"phase_{position}.part"
        part.write_text(json.dumps(outcome.to_data()))
        part.replace(self.folder / f"phase_{position}.json")
        shutil.rmtree(self.folder / f"phase_{position}_epochs", ignore_errors=True)

    def load(self, position: int, network: Network) -> np.ndarray:
        """Load the weights of a completed phase into the network; return its probabilities, float32 (n, k)."""
        assert self.folder is not None  # only a checkpoint on disk has completed phases
        network.load_weights(self.folder / f"phase_{position}.weights.h5")
        return np.load(self.folder / f"phase_{position}.npy")

    def part(self, name: str) -> "Checkpoint":
        """Return the checkpoint of a part of the run, such as a fold."""
        if self.folder is None:
            return self
        return Checkpoint(self.folder / name, self.digest, self.resumes, whole=self.whole or self)

    def epochs(self, position: int) -> Path | None:
        """Return the folder for a phase's checkpoint of each epoch."""
        return self.folder / f"phase_{position}_epochs" if self.folder else None

    def files(self) -> dict[str, np.ndarray]:
        """Return the bytes of all files that a run resumes from, uint8 (bytes,) each, by path."""
        if self.folder is None or not self.resumes:
            return {}
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        return {path.relative_to(self.folder).as_posix(): np.fromfile(path, np.uint8) for path in files}

    def remove(self) -> None:
        """Remove the checkpoint of a run that is done."""
        if self.folder:
            shutil.rmtree(self.folder)


def find(
    out: Path | None, content: RecipeSpec | Plan, plan: Plan, dataset: Dataset, *, seed: int, resume: bool
) -> Checkpoint:
    """Find the checkpoint of a run; nothing is written yet.

    Args:
        out: The run folder, or None to keep no checkpoint.
        content: What the run was asked to do.
        plan: The plan it runs.
        dataset: The data it runs on.
        seed: Its random seed.
        resume: True to resume from what is there.

    Raises:
        OutputError: The checkpoint there belongs to another plan, other data or another seed.
    """
    if out is None:
        return Checkpoint(None)
    folder, digest = out / run_folder.CHECKPOINTS, _digest(plan, dataset, seed)
    found = folder / _DIGEST
    if not (resume and found.is_file()):
        return Checkpoint(folder, digest, content=content)
    if found.read_text() != digest:
        raise OutputError(
            f"{out}: the interrupted run here had another plan, other data or another seed; "
            "resume with the same, or start again in another folder (or with --overwrite)."
        )
    return Checkpoint(folder, digest, resumes=True, content=content)


@contextmanager
def shared(workers: Workers, find_main: Callable[[], Checkpoint]) -> Iterator[Checkpoint]:
    """Give every worker a checkpoint: the main worker's is kept, each other worker has a temporary copy of it.

    Args:
        workers: The workers of the run.
        find_main: Finds the main worker's checkpoint, see `find`.

    Raises:
        OutputError: As for `find`; on every worker.
    """
    if workers.size == 1:
        yield find_main()
        return
    found: list[Checkpoint] = []

    def message() -> Message:
        found.append(find_main())
        main = found[0]
        return main.files(), {"digest": main.digest, "resumes": main.resumes, "kept": main.folder is not None}

    files, about = workers.broadcast(message)
    if workers.is_main:
        yield found[0]
        return
    with tempfile.TemporaryDirectory(prefix="kerastune-", ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary) / run_folder.CHECKPOINTS
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content.tobytes())
        yield Checkpoint(folder if about["kept"] else None, about["digest"], about["resumes"])


def _digest(plan: Plan, dataset: Dataset, seed: int) -> str:
    text = f"{seed}\n{yaml_files.dump(plan.to_data())}{dataset_digest(dataset)}"
    return hashlib.sha256(text.encode()).hexdigest()
