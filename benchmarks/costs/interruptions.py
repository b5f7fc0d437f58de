"""Kill runs at random moments, resume them, and compare them bit for bit with runs that nobody disturbed.

    python -m benchmarks.costs.interruptions [--kills 60] [--terms 20] [--twice 10] [--seed 0] [--processes 2]

Each trial begins a run in a process of its own, sends SIGKILL or SIGTERM at a moment drawn evenly over the time that
the undisturbed run took, and resumes by `kerastune resume`, or by the same command where nothing had been written yet.
The first trials are killed again while they resume. Compared are all weights of the saved model, history.csv, and
report.json without times. Needs no data and no network. Writes results/interruptions.jsonl and pages/interruptions.md.
"""

import argparse
import contextlib
import csv
import io
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.lib import measure, pages, results
from kerastune_recipes.run import run_folder

DEMO = ["--set", "backbone.name=DemoNet", "--set", "backbone.weights=demo", "--data", "demo:digits"]
RUN = ["run", "small_similar", *DEMO, "--set", "phases.fine_tuning.fit.duration=8 epochs"]
# The commands whose runs are disturbed, without `--out`; {unlabeled} is a folder of images.
CASES = {
    "small_similar": RUN,
    "gradual_unfreeze": ["run", "gradual_unfreeze", *DEMO],
    "cotrain": [
        "run", "cotrain", *DEMO, "--set", "backbone.image_size=32", "--unlabeled", "{unlabeled}",
        "--set", "ensemble=[{name: DemoNet, weights: none, image_size: 32}]",
    ],
    "folds": [*RUN, "--folds", "3"],
    "refit: all": [*RUN, "--set", "refit=all"],
    "tune": ["tune", "small_similar", *DEMO, "--trials", "3"],
    "two workers": ["launch", "--workers", "2", "--", *RUN, "--strategy", "multi_worker"],
}  # fmt: skip
# In a tune folder the trials hold the runs; their models are not kept.
_SECONDS_TO_GIVE_UP = 600
# What differs between two runs that did the same work.
_WORK = ("features_computed", "forward_equivalents")


def command(case: str, out: Path, unlabeled: Path) -> list[str]:
    """Return the command of a case that writes to a folder."""
    return [
        sys.executable,
        "-m",
        "kerastune_recipes",
        *(word.replace("{unlabeled}", str(unlabeled)) for word in CASES[case]),
        "--out",
        str(out),
    ]


def start(words: Sequence[str], cache: Path, log: Path) -> subprocess.Popen[bytes]:
    """Start a command in a session of its own, with its own cache and a checkpoint every half second."""
    temporary = cache.parent / "tmp"
    temporary.mkdir(exist_ok=True)
    own = {"KERASTUNE_CACHE": str(cache), "KERASTUNE_CHECKPOINT_SECONDS": "0.5", "TMPDIR": str(temporary)}
    environment = {**os.environ, **own}
    with log.open("ab") as output:
        return subprocess.Popen(words, env=environment, stdout=output, stderr=output, start_new_session=True)


def disturb(process: subprocess.Popen[bytes], number: signal.Signals, seconds: float) -> int | None:
    """Send a signal after some seconds; return the exit status, or None where the process had ended before."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
        return None
    if number == signal.SIGKILL:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    return process.wait(_SECONDS_TO_GIVE_UP)


def where(out: Path) -> str:
    """Return in words how far a run had come."""
    if (out / "trials").is_dir():
        newest = max((out / "trials").iterdir(), default=out)
        return f"trial {newest.name}: {where(newest)}" if newest != out else "before the first trial"
    checkpoints = out / run_folder.CHECKPOINTS
    if not run_folder.is_interrupted(out):
        return "saved" if (out / run_folder.REPORT).exists() else "before anything was written"
    if (checkpoints / run_folder.SAVING).exists():
        return "while saving"
    latest = max((one for one in checkpoints.rglob("*phase_*")), key=lambda one: one.stat().st_mtime, default=None)
    return "in the first phase" if latest is None else f"after {latest.relative_to(checkpoints)}"


def resume(case: str, out: Path, unlabeled: Path) -> list[str]:
    """Return the command that resumes what a folder holds."""
    if case == "two workers":
        return [*command(case, out, unlabeled), "--resume"]
    if run_folder.is_interrupted(out) or (out / "request.json").exists():
        return [sys.executable, "-m", "kerastune_recipes", "resume", str(out)]
    return command(case, out, unlabeled)


def same(one: Path, other: Path) -> list[str]:
    """Return what differs between two finished folders: weights, history or report."""
    if (one / "trials").is_dir():
        folders = sorted(path.name for path in (one / "trials").iterdir())
        found = [
            f"trial {name}: {each}" for name in folders for each in same(one / "trials" / name, other / "trials" / name)
        ]
        return found if _trials(one) == _trials(other) else [*found, "trials.csv"]
    found = []
    if (one / "model.keras").exists():
        first, second = _weights(one), _weights(other)
        equal = first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)
        found += [] if equal else ["weights"]
    found += [] if (one / "history.csv").read_text() == (other / "history.csv").read_text() else ["history.csv"]
    reports = [_without_times(json.loads((folder / "report.json").read_text())) for folder in (one, other)]
    return found + [f"report.json: {key}" for key in reports[0] if reports[0][key] != reports[1].get(key)]


def _weights(folder: Path) -> dict[str, np.ndarray]:
    import h5py

    found: dict[str, np.ndarray] = {}
    with (
        zipfile.ZipFile(folder / "model.keras") as archive,
        h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file,
    ):
        file.visititems(
            lambda name, item: found.__setitem__(name, item[()]) if isinstance(item, h5py.Dataset) else None
        )
    return found


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_times(item) for key, item in value.items() if "seconds" not in key and key not in _WORK}
    return [_without_times(item) for item in value] if isinstance(value, list) else value


def _trials(folder: Path) -> list[dict[str, str]]:
    with (folder / "trials.csv").open(encoding="utf-8") as lines:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(lines)]


def trial(
    case: str, number: signal.Signals, twice: bool, moments: np.ndarray, root: Path, undisturbed: Path
) -> dict[str, Any]:
    """Disturb a run, resume it, and compare it.

    Args:
        case: Key in `CASES`.
        number: The signal.
        twice: Disturb the first resumption too.
        moments: Shares of the time of the undisturbed run, float (2,).
        root: A new folder.
        undisturbed: Folder of the undisturbed run.
    """
    out, cache, log = root / "out", root / "cache", root / "log"
    unlabeled = undisturbed.parent / "unlabeled"
    seconds = json.loads((undisturbed.parent / f"{undisturbed.name}.json").read_text())["seconds"]
    statuses, places = [], []
    words = command(case, out, unlabeled)
    for share in moments[: 1 + twice]:
        statuses.append(disturb(start(words, cache, log), number, share * seconds))
        places.append("finished before" if statuses[-1] is None else where(out))
        words = resume(case, out, unlabeled)
        if statuses[-1] is None:
            break
    resumed = 0
    while not (finished(out)) and resumed < 2:
        resumed += 1
        start(words, cache, log).wait(_SECONDS_TO_GIVE_UP)
        words = resume(case, out, unlabeled)
    text = log.read_text(errors="replace")
    return {
        "case": case,
        "signal": number.name,
        "twice": bool(twice),
        "killed": places,
        "statuses": statuses,
        "attempts": resumed,
        "differs": same(undisturbed, out) if finished(out) else ["not finished"],
        "tracebacks": text.count("Traceback (most recent call last)"),
        "left": sorted(path.name for path in root.joinpath("tmp").glob("*")) if number == signal.SIGTERM else [],
    }


def finished(out: Path) -> bool:
    """Return whether a folder holds a finished run or search, without checkpoints."""
    return (out / "trials.csv").exists() or (run_folder.is_finished(out) and not run_folder.is_interrupted(out))


def run_undisturbed(case: str, root: Path) -> Path:
    """Run a case to its end, and note how long it took."""
    out = root / case.replace(" ", "_").replace(":", "")
    began = time.monotonic()
    log = root / f"{out.name}.log"
    status = start(command(case, out, root / "unlabeled"), root / f"{out.name}_cache", log).wait()
    if status:
        raise SystemExit(f"{case}: {log.read_text()}")
    (root / f"{out.name}.json").write_text(json.dumps({"seconds": time.monotonic() - began}))
    return out


def write_unlabeled(folder: Path) -> None:
    """Write twenty of the digits as images without labels."""
    from PIL import Image

    from kerastune_recipes.data.sources.open import open_dataset

    test = open_dataset("demo:digits").test
    assert test is not None  # the digits have one
    folder.mkdir()
    for index in range(20):
        Image.fromarray(test.read(index)).save(folder / f"{index}.png")


def plan(
    kills: int, terms: int, twice: int, random: np.random.Generator
) -> Iterator[tuple[str, signal.Signals, bool, np.ndarray]]:
    """Yield the trials: case, signal, whether to disturb twice, and when."""
    cases = itertools.cycle(CASES)
    signals = random.permutation([signal.SIGKILL] * kills + [signal.SIGTERM] * terms)
    for index, number in enumerate(signals):
        yield next(cases), signal.Signals(number), index < twice, random.uniform(0.1, 1.0, 2)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--terms", type=int, default=20)
    parser.add_argument("--twice", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    random = np.random.default_rng(options.seed)
    root = Path(tempfile.mkdtemp(prefix="interruptions-"))
    write_unlabeled(root / "unlabeled")
    with ThreadPoolExecutor(options.processes) as pool:
        undisturbed = dict(zip(CASES, pool.map(lambda case: run_undisturbed(case, root), CASES), strict=True))

        def one(numbered: tuple[int, tuple]) -> dict[str, Any]:
            index, (case, number, twice, moments) = numbered
            folder = root / f"trial_{index}"
            folder.mkdir()
            row = trial(case, number, twice, moments, folder, undisturbed[case])
            print(json.dumps(row), flush=True)
            if not row["differs"] and not row["tracebacks"]:
                shutil.rmtree(folder)
            return row

        trials = plan(options.kills, options.terms, options.twice, random)
        rows = list(pool.map(one, enumerate(trials)))
    results.replace("interruptions", results.RUNS, rows)
    results.replace("interruptions", results.MADE, [measure.made("python -m benchmarks.costs.interruptions")])
    print(pages.write_page("interruptions"))


if __name__ == "__main__":
    main()
