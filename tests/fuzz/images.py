"""Reads damaged images and counts what comes of them: an array, a DataError of one sentence, or a fault.

    python -m fuzz.images --count 20000
    python -m fuzz.images --seconds 1800 --seed 7

A child process reads them, so that a crash or a hang of a decoder ends only the child. Faults are named by seed and
number; `--seed S --only N` reads that one again.
"""

import argparse
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from fuzz.mutations import mutate
from fuzz.pictures import Picture, pictures

from kerastune_recipes.data import images
from kerastune_recipes.errors import DataError

AT_LEAST = 64
# A file of some kilobytes that takes longer stands for one that never ends.
MOST_SECONDS = 10
# The limit of `decode_limits` while fuzzing; small, as a decoder that fills a gigabyte takes seconds.
DECODING = "256 MiB"
# Above what the process held before: the limit for decoding, and room for what is not counted.
MOST_BYTES = 256 * 2**20 + 128 * 2**20

ARRAY, ERROR = "array", "DataError"
FAULTS = ("traceback", "no sentence", "not RGB", "over memory", "hang", "crash", "stderr")
OUTCOMES = (ARRAY, ERROR, *FAULTS)
CHILD = (sys.executable, "-m", "fuzz.images", "--child")


@dataclass(frozen=True)
class Case:
    """One damaged file.

    Args:
        number: Its number in a sequence.
        picture: The valid file it was made from.
        data: Its bytes.
    """

    number: int
    picture: Picture
    data: bytes


def case(seed: int, number: int, valid: list[Picture]) -> Case:
    """Make a damaged file; the same seed and number give the same one."""
    chosen = random.Random(f"{seed} {number}")
    picture, other = chosen.choice(valid), chosen.choice(valid)
    return Case(number, picture, mutate(picture.data, other.data, chosen))


def outcome(read: Callable[[], object]) -> tuple[str, str]:
    """Return what came of reading an image, and what was wrong with it.

    Args:
        read: Reads the image.
    """
    try:
        result = read()
    except DataError as error:
        if isinstance(error.__cause__, MemoryError):
            return "over memory", str(error)
        return (ERROR, "") if _is_sentence(error) else ("no sentence", str(error))
    except BaseException as error:
        return "traceback", f"{type(error).__name__}: {error}"
    if isinstance(result, np.ndarray) and not (
        result.dtype == np.uint8 and result.ndim == 3 and result.shape[2] == 3 and result.size
    ):
        return "not RGB", f"{result.dtype} {result.shape}"
    return ARRAY, ""


def outcome_of_file(data: bytes, name: str) -> tuple[str, str]:
    """Return what came of the header and of the pixels of a damaged file; a fault in either counts."""
    header = outcome(lambda: images.header_size(data, name))
    return header if header[0] in FAULTS else outcome(lambda: images.decode(data, AT_LEAST, name))


def _is_sentence(error: DataError) -> bool:
    (text,) = error.problems
    return text.startswith("image.") and text.endswith(".") and text.isprintable() and ": " in text


def child(seed: int, first: int, end: int) -> None:
    """Read damaged files one by one; print a line before each, and a line with its result after it.

    A line: number, format, "begins" or the outcome, seconds, bytes, what was wrong; with tabs between.
    """
    # Odd metadata is no fault of ours.
    warnings.simplefilter("ignore", UserWarning)
    os.environ["KERASTUNE_DECODING"] = DECODING
    valid = list(pictures())
    for picture in valid:  # takes what is taken once
        outcome_of_file(picture.data, f"image{picture.suffix}")
    held = _status("VmSize")
    resource.setrlimit(resource.RLIMIT_AS, (held + 4 * MOST_BYTES, resource.RLIM_INFINITY))
    for number in range(first, end):
        made = case(seed, number, valid)
        print(number, made.picture.form, "begins", sep="\t", flush=True)
        _forget_peak()
        before, started = _status("VmRSS"), time.monotonic()
        with _captured() as written:
            found, detail = outcome_of_file(made.data, f"image{made.picture.suffix}")
            text = written()
        seconds, taken = time.monotonic() - started, _status("VmHWM") - before
        if found not in FAULTS and taken > MOST_BYTES:
            found, detail = "over memory", f"{taken / 2**20:.0f} MiB"
        if found not in FAULTS and text:
            found, detail = "stderr", text
        detail = " ".join(detail.split())[:300]
        print(number, made.picture.form, found, f"{seconds:.3f}", taken, detail, sep="\t", flush=True)


class _captured:
    """Catches what libraries write to the descriptor of standard error."""

    def __enter__(self) -> Callable[[], str]:
        self._file = tempfile.TemporaryFile()
        self._saved = os.dup(2)
        os.dup2(self._file.fileno(), 2)
        return self._text

    def _text(self) -> str:
        self._file.seek(0)
        return self._file.read().decode(errors="replace")

    def __exit__(self, *_: object) -> None:
        os.dup2(self._saved, 2)
        os.close(self._saved)


def _status(key: str) -> int:
    """Return a size of this process in bytes, as Linux reports it."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:"))


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


@dataclass(frozen=True)
class Result:
    """What came of one damaged file."""

    number: int
    form: str
    outcome: str
    seconds: float = 0
    taken: int = 0
    detail: str = ""


def run(seed: int, first: int, end: int, command: Sequence[str] = CHILD) -> Iterator[Result]:
    """Read a range of damaged files in child processes.

    Args:
        seed: Seed of the sequence.
        first: Number of the first.
        end: Number after the last.
        command: Starts a child; seed, first and end follow.

    Yields:
        The result of each.
    """
    while first < end:
        words = [*command, str(seed), str(first), str(end)]
        begun = None
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]) as process:
            try:
                for line in _lines_in_time(process):
                    number, form, found, *figures = line.split("\t")
                    if found == "begins":
                        begun = Result(int(number), form, found)
                    else:
                        seconds, taken, detail = figures
                        begun, first = None, int(number) + 1
                        yield Result(int(number), form, found, float(seconds), int(taken), detail)
            except GeneratorExit:  # the caller has seen enough
                process.kill()
                raise
        if begun is not None:
            kind = "hang" if process.returncode == -signal.SIGKILL else "crash"
            yield replace(begun, outcome=kind, detail=f"exit status {process.returncode}")
            first = begun.number + 1
        elif process.returncode:
            raise RuntimeError(f"The child process ended with status {process.returncode}.")


def _lines_in_time(process: subprocess.Popen) -> Iterator[str]:
    """Yield the lines of a process; kill it if one takes too long."""
    started = False
    while True:
        # Importing and making the valid files take seconds too, before the first line.
        timer = threading.Timer(MOST_SECONDS if started else 60 + MOST_SECONDS, process.kill)
        timer.start()
        line = process.stdout.readline()
        timer.cancel()
        started = True
        if not line:
            return
        yield line.rstrip("\n")


def table(results: Sequence[Result]) -> str:
    """Return the outcomes by format, the longest time and the most memory."""
    lines = [f"{'format':8}{''.join(f'{name:>12}' for name in OUTCOMES)}{'seconds':>12}{'MiB':>12}"]
    by_form = {form: [one for one in results if one.form == form] for form in sorted({one.form for one in results})}
    for form, of_form in [*by_form.items(), ("all", results)]:
        counts = Counter(one.outcome for one in of_form)
        seconds, taken = max(one.seconds for one in of_form), max(one.taken for one in of_form) / 2**20
        lines.append(f"{form:8}{''.join(f'{counts[name]:>12}' for name in OUTCOMES)}{seconds:>12.2f}{taken:>12.0f}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--count", type=int, default=sys.maxsize, help="stop after so many files")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so many seconds")
    parser.add_argument("--only", type=int, help="read this one file here, without a child process")
    parser.add_argument("--child", type=int, nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(*options.child)
        return 0
    if options.only is not None:
        made = case(options.seed, options.only, list(pictures()))
        print(
            made.picture.variant, f"{len(made.data)} bytes", *outcome_of_file(made.data, f"image{made.picture.suffix}")
        )
        return 0
    print(f"seed {options.seed}", flush=True)
    started, results = time.monotonic(), []
    for result in run(options.seed, 0, options.count):
        results.append(result)
        if result.outcome in FAULTS:
            print(f"number {result.number}, {result.form}: {result.outcome}: {result.detail}", flush=True)
        if time.monotonic() - started > options.seconds:
            break
    print(table(results))
    return int(any(result.outcome in FAULTS for result in results))


if __name__ == "__main__":
    sys.exit(main())
