"""Where the time of a run goes: the solve phase of small_similar, step by step.

    KERAS_HOME=... python -m benchmarks.costs.where_time_goes DATA_FOLDER... [--backbone MobileNetV2]

A data folder holds train/ with a folder for each class. Every step is timed where the main thread waits for it, and
no time counts twice; the shares add up to the whole. Imports are not counted. Writes results/where_time_goes.jsonl and
pages/where_time_goes.md.
"""

import argparse
import functools
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.lib import measure, pages, results
from kerastune_recipes import Recipe
from kerastune_recipes.features import cache, extraction
from kerastune_recipes.heads import solve
from kerastune_recipes.run import networks, prepare, run

SOLVE = [{"name": "feature_extraction", "solve": {}}]
# Functions whose time is charged to a step. The innermost of nested steps is charged.
STEPS: list[tuple[Any, str, str]] = [
    (prepare, "open_dataset", "listing files, reading headers"),
    (networks, "build", "building the network, reading its weights"),
    (run, "assemble", "assembling the model"),
    (extraction, "digests", "digests of the images"),
    (extraction.TimedIterator, "__next__", "decoding and resizing"),
    (cache.NetworkCache, "find", "finding features in the cache"),
    (cache.NetworkCache, "add", "saving features in the cache"),
    (solve, "solve", "solving the head"),
    (extraction, "extract", "forward pass, tracing included"),
]
REST = "the rest"


class Clock:
    """Charges time to one step at a time: the one entered last."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._steps = [REST]
        self._since = time.perf_counter()

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Charge the time within to a step."""
        self._charge()
        self._steps.append(title)
        try:
            yield
        finally:
            self._charge()
            self._steps.pop()

    def _charge(self) -> None:
        now = time.perf_counter()
        self.seconds[self._steps[-1]] += now - self._since
        self._since = now

    def timed(self, function: Callable, title: str) -> Callable:
        """Return the function, charged to a step."""

        @functools.wraps(function)
        def charged(*args: Any, **kwargs: Any) -> Any:
            with self.step(title):
                return function(*args, **kwargs)

        return charged


def profile(data: Path, backbone: str) -> dict[str, float]:
    """Return the seconds of each step of one run with an empty cache."""
    recipe = Recipe.from_name("small_similar", backbone=backbone, phases=SOLVE)
    whole = [(owner, name, getattr(owner, name)) for owner, name, _ in STEPS]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["KERASTUNE_CACHE"] = folder
        clock = Clock()
        try:
            for owner, name, title in STEPS:
                setattr(owner, name, clock.timed(getattr(owner, name), title))
            with clock.step(REST):
                recipe.run(data / "train", verbose=False)
        finally:
            for owner, name, function in whole:
                setattr(owner, name, function)
    return clock.seconds


def main() -> None:
    """Profile the first data set once to warm up, then each, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--backbone", default="MobileNetV2")
    options = parser.parse_args()
    profile(options.data[0], options.backbone)
    found = {data.name: profile(data, options.backbone) for data in options.data}
    steps, whole = [], []
    for title in [*(title for _, _, title in STEPS), REST]:
        for name, seconds in found.items():
            share = seconds[title] / sum(seconds.values())
            steps.append({"step": title, "data": name, "seconds": seconds[title], "share": share})
    for name, seconds in found.items():
        whole.append({"data": name, "seconds": sum(seconds.values())})
    command = f"python -m benchmarks.costs.where_time_goes {' '.join(found)} --backbone {options.backbone}"
    results.replace("where_time_goes", "steps", steps)
    results.replace("where_time_goes", "whole", whole)
    results.replace("where_time_goes", results.MADE, [measure.made(command)])
    print(pages.write_page("where_time_goes"))


if __name__ == "__main__":
    main()
