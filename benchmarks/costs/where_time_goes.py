"""Where the time of a run goes: the solve phase of small_similar, step by step.

    KERAS_HOME=... python benchmarks/where_time_goes.py DATA_FOLDER... [--backbone MobileNetV2]

A data folder holds train/ with a folder for each class. Every step is timed where the main thread waits for it, and
counts nothing that another step counts; the shares add up to the whole. Imports are not counted. The table is printed
and written to benchmarks/where_time_goes.md.
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

from reporting import machine, versions

from kerastune_recipes import Recipe, solvers
from kerastune_recipes.backbones import build as networks
from kerastune_recipes.features import cache, extraction
from kerastune_recipes.run import prepare, run

SOLVE = [{"name": "feature_extraction", "solve": {}}]
# The first step that is found on the way from the outside in is charged.
STEPS: list[tuple[Any, str, str]] = [
    (prepare, "open_dataset", "listing files, reading headers"),
    (networks, "build", "building the network, reading its weights"),
    (run, "assemble", "assembling the model"),
    (extraction, "digests", "digests of the images"),
    (extraction.TimedIterator, "__next__", "decoding and resizing"),
    (cache.NetworkCache, "find", "finding features in the store"),
    (cache.NetworkCache, "add", "keeping features in the store"),
    (solvers, "solve", "solving the head"),
    (extraction, "extract", "forward pass, tracing included"),
]
REST = "the rest"


class Clock:
    """Charges time to one step at a time: to the one entered last."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._steps = [REST]
        self._since = time.perf_counter()

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Charge what is done within to a step."""
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
    """Return the seconds of each step of one run with an empty store."""
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
    """Profile each data set once to warm up and once to keep, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--backbone", default="MobileNetV2")
    options = parser.parse_args()
    profile(options.data[0], options.backbone)
    found = {data.name: profile(data, options.backbone) for data in options.data}
    titles = [*(title for _, _, title in STEPS), REST]
    rows = []
    for title in titles:
        cells = [f"{each[title]:.2f} ({each[title] / sum(each.values()):.0%})" for each in found.values()]
        rows.append(f"| {title} | {' | '.join(cells)} |")
    names = " ".join(found)
    text = "\n".join(
        [
            "# Where the time of a run goes",
            "",
            f"The solve phase of `small_similar`, {options.backbone}, its default image size, an empty store; seconds,",
            "and shares of the whole. Images are decoded by all cores, chunk by chunk, while the network waits; on a",
            f"GPU they are decoded ahead. {machine()}; {versions()}. Made by:",
            "",
            f"    python benchmarks/where_time_goes.py {names} --backbone {options.backbone}",
            "",
            f"| | {' | '.join(found)} |",
            f"|---|{'---|' * len(found)}",
            *rows,
            f"| all | {' | '.join(f'{sum(each.values()):.2f}' for each in found.values())} |",
            "",
        ]
    )
    Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
