"""The recipes against the code they replace: the tutorials, and features with a linear head typed by hand.

    KERAS_HOME=... python -m benchmarks.product.compare DATA_FOLDER... [--repeats 3] [--methods a b c d]

A data folder holds train/ and test/ with a folder for each class. Every method runs in a process of its own, one after
the other, and the whole round is repeated, so that ratios are taken within a round. Each round is one line of
results/compare.jsonl; stored rounds are not run again. Writes pages/compare.md and pages/compare_DATA.svg.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.lib import measure, pages, results
from benchmarks.lib.results import Row
from benchmarks.tables.compare import OURS, TITLES


def run_round(data: Path, methods: Sequence[str], seed: int, epoch_limit: int | None) -> dict[str, Row]:
    """Measure every method once, one after the other, and return their figures.

    Args:
        data: Folder with train/ and test/.
        methods: Keys of `TITLES`.
        seed: Random seed.
        epoch_limit: Largest number of epochs of a phase, or None for no limit.
    """
    found = {}
    limit = ["--limit-epochs", str(epoch_limit)] if epoch_limit else []
    with tempfile.TemporaryDirectory() as caches:
        for method in methods:
            cache = Path(caches) / (OURS if method == "d2" else method)
            cache.mkdir(exist_ok=True)
            command = [
                sys.executable,
                "-m",
                "benchmarks.product.compare",
                str(data),
                "--method",
                method,
                "--seed",
                str(seed),
                *limit,
            ]
            environment = {**os.environ, "KERASTUNE_CACHE": str(cache), "TF_CPP_MIN_LOG_LEVEL": "3"}
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
            line = done.stdout.splitlines()[-1]
            print(line, flush=True)
            found[method] = {**json.loads(line), "stored": any(cache.iterdir())}
    return found


def warm(data: Path) -> None:
    """Read every image once, so that no method waits for the disk."""
    for split in ("train", "test"):
        for image in (data / split).glob("*/*.*"):
            image.read_bytes()


def main() -> None:
    """Measure the missing rounds, and write the page after each data set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", type=Path)
    log = results.FOLDER / "compare.jsonl"
    parser.add_argument("--log", type=Path, default=log, help="file where rounds are stored, and read from")
    parser.add_argument("--methods", nargs="+", choices=TITLES, default=list(TITLES))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--limit-epochs", type=int, help="most epochs of a phase; such rounds are not on the page")
    one = parser.add_argument_group("one measurement, as JSON; the script calls itself with it")
    one.add_argument("--method", choices=TITLES)
    one.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.method:
        # Imports TensorFlow, which the process that writes the page does not need.
        from benchmarks.product import competitors

        figures = competitors.measured(options.method, options.data[0], options.seed, options.limit_epochs)
        print(json.dumps(figures))
        return
    methods = [method for method in TITLES if method in {*options.methods, OURS}]
    shown = [f"--repeats {options.repeats}", *([f"--methods {' '.join(methods)}"] if methods != list(TITLES) else [])]
    command = " ".join(["python -m benchmarks.product.compare", *(data.name for data in options.data), *shown])
    stored = results.read_log(options.log)
    for data in options.data:
        warm(data)
        key = {"data": data.name, "methods": methods, "limit_epochs": options.limit_epochs}
        rounds = sum(key.items() <= each.items() for each in stored)
        for seed in range(rounds, options.repeats):
            results.append(options.log, {**key, "found": run_round(data, methods, seed, options.limit_epochs)})
        if options.log == log:
            results.replace("compare", results.MADE, [measure.made(command)])
            print(pages.write_page("compare"))


if __name__ == "__main__":
    main()
