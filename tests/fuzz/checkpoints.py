"""Damages the checkpoints of a run, and counts what comes of them.

    python -m fuzz.checkpoints --count 20000
    python -m fuzz.checkpoints --seconds 600 --seed 7

A folder of checkpoints is written: the request in two copies, completed phases, the state of a phase and the one
before. One or two of its files are damaged, put in each other's place or removed, and the run is resumed. What it loads
must be what was written; or a sentence says what cannot be used.
"""

import argparse
import random
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
from fuzz.mutations import mutate

from kerastune_recipes.errors import CheckpointWarning, OutputError
from kerastune_recipes.reporting.outcome import Outcome
from kerastune_recipes.run import checkpoint, run_folder
from kerastune_recipes.run.checkpoint import SavedPhase
from kerastune_recipes.run.request import Asked, Request
from kerastune_recipes.training.fit_checkpoint import FitState

EXACT, OLDER, REFUSED = "loaded as written", "told, and an older one loaded", "refused in a sentence"
FAULTS = ("a wrong value", "an older one without a word", "traceback", "hang")
OUTCOMES = (EXACT, OLDER, REFUSED, *FAULTS)
MOST_SECONDS = 10
PHASES = 3


def write(folder: Path) -> None:
    """Write the checkpoints of a run with three completed phases and a fourth under way."""
    images = {"train": {"names": ["a", "b"], "labels": ["ant", "bee"], "groups": ""}}
    digests = {"train": np.arange(16, dtype=np.uint8).reshape(2, 8)}
    asked = Asked("small_similar", {"head": {"dropout": 0.0}}, {"data": "photos", "in_python": []})
    request = Request(asked, {"plan": 1}, 0, "tensorflow", images, {"DemoNet": "ab"}, {"keras": "3"}, digests)
    run = checkpoint.find(folder, resume=False)
    run.compare(request)
    run.begin()
    for position in range(1, PHASES + 1):
        run.save(position, phase(position))
    states = run.of_fit(PHASES + 1)
    assert states is not None
    for step in (1, 2):
        states.save(state(step))
    run.close()


def phase(position: int) -> SavedPhase:
    """Return a completed phase, different for each position."""
    values = np.random.default_rng(position).normal(size=(4, 3)).astype(np.float32)
    outcome = Outcome(f"phase {position}", "solve", 1.0, 0, 12, 24, {"log_loss": 0.5 * position}, {"strength": 1.0}, ())
    return SavedPhase(outcome, {"3": values}, values[:, :2], values[:, 1:3])


def state(step: int) -> FitState:
    """Return the state of the phase under way after a step."""
    arrays = {"variable.3": np.full(5, step, np.float32), "optimizer.0": np.array(step)}
    return FitState(arrays, [("Recorder", {"step": step})], epoch=0, batch=step, step=step, done=False, seconds=1.0)


def damage(folder: Path, chosen: random.Random) -> None:
    """Damage, swap or remove files."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != run_folder.LOCK)
    for _ in range(chosen.choice((1, 1, 2))):
        one, other = chosen.sample(files, 2)
        kind = chosen.random()
        if kind < 0.05:
            one.unlink(missing_ok=True)
        elif (
            kind < 0.1
            and one.exists()
            and other.exists()
            and one.name.removesuffix(".before") != other.name.removesuffix(".before")
        ):
            # Not both states of a phase, which are right: a run may resume from either.
            first, second = one.read_bytes(), other.read_bytes()
            one.write_bytes(second)
            other.write_bytes(first)
        elif one.exists() and other.exists():
            one.write_bytes(mutate(one.read_bytes(), other.read_bytes(), chosen))


def outcome(folder: Path) -> tuple[str, str]:
    """Resume from a folder; return what came of it, and in which words."""
    began = time.monotonic()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            found, detail = _resumed(folder)
        except OutputError as error:
            found, detail = REFUSED, str(error)
        except Exception as error:
            found, detail = "traceback", f"{type(error).__name__}: {error}"
    if found == OLDER and not any(issubclass(each.category, CheckpointWarning) for each in told):
        # A file that is gone was never written, as far as a run can know.
        expected = {f"phase_{position}" for position in range(1, PHASES + 1)} | {f"phase_{PHASES + 1}.fit"}
        missing = expected - {path.name for path in (folder / run_folder.CHECKPOINTS).iterdir()}
        found = OLDER if missing else "an older one without a word"
    return ("hang", detail) if time.monotonic() - began > MOST_SECONDS else (found, detail)


def _resumed(folder: Path) -> tuple[str, str]:
    run = checkpoint.find(folder, resume=True)
    try:
        if run.request is None:
            return OLDER, "begun anew"
        completed, states = list(run.completed()), run.of_fit(PHASES + 1)
        loaded = states.load() if states else None
    finally:
        run.close()
    for position, saved in enumerate(completed, 1):
        expected = phase(position)
        same = saved.outcome == expected.outcome and np.array_equal(saved.probabilities, expected.probabilities)
        if not (same and all(np.array_equal(saved.changes[name], array) for name, array in expected.changes.items())):
            return "a wrong value", f"phase {position}"
    if loaded and not all(
        np.array_equal(loaded.arrays[name], array) for name, array in state(loaded.step).arrays.items()
    ):
        return "a wrong value", "the state of a phase"
    newest = len(completed) == PHASES and loaded is not None and loaded.step == 2
    return (EXACT if newest else OLDER), ""


def run(seed: int, count: int, seconds: float = float("inf")) -> tuple[Counter[str], list[str]]:
    """Damage and resume; return how often each outcome came, and the faults by seed and number."""
    counts: Counter[str] = Counter()
    faults = []
    until = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write(folder)
        whole = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for number in range(count):
            if time.monotonic() > until:
                break
            for path, content in whole.items():
                path.write_bytes(content)
            damage(folder, random.Random(f"{seed} {number}"))
            found, detail = outcome(folder)
            counts[found] += 1
            if found in FAULTS:
                faults.append(f"--seed {seed}, number {number}: {found}: {detail}")
    return counts, faults


def main() -> int:
    """Run the command line; return 1 where there was a fault."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=10**9)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    counts, faults = run(options.seed, options.count, options.seconds)
    for name in OUTCOMES:
        print(f"{counts[name]:>8,}  {name}")
    print("\n".join(faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
