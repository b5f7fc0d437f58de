"""The recipes against the code they replace: the tutorials, and features with a linear head typed by hand.

    KERAS_HOME=... python benchmarks/compare.py DATA_FOLDER... [--repeats 3] [--methods a b c d]

A data folder holds train/ and test/ with a folder for each class. Every method runs in a process of its own, one after
the other, and the whole round is repeated, so that ratios are taken within a round. Each round is one line of
benchmarks/compare.jsonl; those that are there already are not played again. The tables are printed and written to
benchmarks/compare.md, the curves to benchmarks/compare_DATA.svg.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from competitors import METHODS, measure
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, PercentFormatter, ScalarFormatter
from reporting import keep, machine, spread, versions

# What the others are compared with.
OURS = "d"
# Where the package keeps features from run to run.
STORE = "KERASTUNE_CACHE"
NOTES = """\
MobileNetV2 with the ImageNet weights trained at 224 pixels, images of 160 x 160 pixels where nothing else is said (the
Keras guide takes 150), the same test images for all. Each method ran in a process of its own, one at a time, on as many
threads as its libraries take. All image files were read once before.

**The clock** starts once Keras, TensorFlow, scikit-learn and this package are imported. It counts listing and decoding
the images, building the network, reading its weights and training. It stands still while the tutorials evaluate their
validation or test images, and stops before the test.

**The images.** (c) trains on all training images, the others hold a fifth of them out: the tutorials at random, ours by
class. Every round has its own seed, for these splits too. Nothing was chosen by the test images.

**The tutorials** are as published but for the image size and a head for any number of classes. (a) is the tutorial of
tensorflow.org; (b) is the guide of keras.io, whose 2 + 1 epochs are meant for 9,000 images; (b20) is the same guide as
it was from 2020 to 2023, with 20 + 10. Test accuracy is that after the last epoch.

**The feature store** starts empty for every run but (d2), which finds what (d) left."""

Figures = dict[str, Any]
Rounds = list[dict[str, Figures]]


def play(data: Path, methods: Sequence[str], seed: int, most_epochs: int | None) -> dict[str, Figures]:
    """Measure every method once, one after the other, and return their figures.

    Args:
        data: Folder with train/ and test/.
        methods: Keys of `competitors.METHODS`.
        seed: Of everything random.
        most_epochs: A bound on the epochs of each phase, or None.
    """
    found = {}
    limit = ["--limit-epochs", str(most_epochs)] if most_epochs else []
    with tempfile.TemporaryDirectory() as stores:
        for method in methods:
            store = Path(stores) / (OURS if method == "d2" else method)
            store.mkdir(exist_ok=True)
            command = [sys.executable, __file__, str(data), "--method", method, "--seed", str(seed), *limit]
            environment = {**os.environ, STORE: str(store), "TF_CPP_MIN_LOG_LEVEL": "3"}
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
            line = done.stdout.splitlines()[-1]
            print(line, flush=True)
            found[method] = {**json.loads(line), "stored": any(store.iterdir())}
    return found


def warm(data: Path) -> None:
    """Read every image once, so that none of the methods waits for the disk."""
    for split in ("train", "test"):
        for image in (data / split).glob("*/*.*"):
            image.read_bytes()


def _each(rounds: Rounds, method: str, figure: str) -> list[float]:
    return [found[method][figure] for found in rounds]


def _ratios(rounds: Rounds, method: str) -> list[float]:
    return [found[method]["seconds"] / found[OURS]["seconds"] for found in rounds]


def _gains(rounds: Rounds, method: str) -> list[float]:
    return [100 * (found[method]["test_accuracy"] - found[OURS]["test_accuracy"]) for found in rounds]


def _title(method: str) -> str:
    return f"({method}) {METHODS[method][0]}"


def headline(name: str, rounds: Rounds) -> str:
    """Return in a sentence how ours did against the others."""
    reached = (
        f"ours, (d), reached {spread(_each(rounds, OURS, 'test_accuracy'), '{:.1%}'.format)} "
        f"in {spread(_each(rounds, OURS, 'seconds'), '{:.1f}'.format)} s"
    )
    others = [
        f"({method}) took {spread(_ratios(rounds, method), '{:.2f}'.format)} times as long "
        f"for {spread(_gains(rounds, method), '{:+.1f}'.format)} points"
        for method in rounds[0]
        if method[0] not in "de"
    ]
    return f"- **{name}**: {'; '.join([reached, *others])}."


def section(name: str, rounds: Rounds) -> str:
    """Return the table of one data set."""
    rows = [
        f"| {_title(method)} | {spread(_each(rounds, method, 'seconds'), '{:.1f}'.format)} "
        f"| {spread(_ratios(rounds, method), '{:.2f}'.format)} "
        f"| {spread(_each(rounds, method, 'test_accuracy'), '{:.1%}'.format)} "
        f"| {spread(_gains(rounds, method), '{:+.1f}'.format)} |"
        for method in rounds[0]
    ]
    passes = spread(_each(rounds, OURS, "forward_passes"), "{:.2f}".format)
    one_pass = spread(_each(rounds, OURS, "one_forward_pass"), "{:.1f}".format)
    count = rounds[0][OURS]["test_images"]
    unstored = "d2" in rounds[0] and not all(_each(rounds, "d2", "stored"))
    return "\n".join(
        [
            f"## {name}",
            "",
            "| | seconds | times as long as (d) | test accuracy | points against (d) |",
            "|---|---|---|---|---|",
            *rows,
            "",
            f"{count} test images: one is {100 / count:.1f} points. Rounds: {len(rounds)}.",
            "",
            f"The phase of (d) took {passes} forward passes of its training and validation images. One such pass took "
            f"{one_pass} s.",
            *(["", "(d) left nothing in the store, so (d2) is only another run of it."] if unstored else []),
            "",
            f"![test accuracy against seconds](compare_{name}.svg)",
        ]
    )


def page(played: dict[str, Rounds], command: str, most_epochs: int | None) -> str:
    """Return the whole text."""
    limited = f"**A smoke test: no phase was given more epochs than {most_epochs}.**"
    return "\n".join(
        [
            "# Against the code that the recipes replace",
            "",
            *([limited, ""] if most_epochs else []),
            *(headline(name, rounds) for name, rounds in played.items()),
            "",
            "Medians, lowest and highest in brackets; ratios and differences are taken within each round. "
            f"{machine()}; {versions()}. Made by:",
            "",
            f"    {command}",
            "",
            NOTES,
            "",
            "\n\n".join(section(name, rounds) for name, rounds in played.items()),
            "",
        ]
    )


def draw(name: str, rounds: Rounds, path: Path) -> None:
    """Draw test accuracy against seconds in the first round, as SVG."""
    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.subplots()
    for method in rounds[0]:
        curve = rounds[0][method]["curve"]
        axes.plot(*zip(*curve, strict=True), marker="o", markersize=3 if len(curve) > 1 else 7, label=_title(method))
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set(xlabel="seconds of training", ylabel="test accuracy", title=name)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    keep(figure, path)


def _kept(log: Path) -> list[Figures]:
    """Return the rounds that were played before."""
    if not log.is_file():
        return []
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]


def main() -> None:
    """Measure what is missing, and write the page anew after each set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", type=Path)
    log = Path(__file__).with_suffix(".jsonl")
    parser.add_argument("--log", type=Path, default=log, help="where rounds are kept, and taken from")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--limit-epochs", type=int, help="at most so many in each phase; only to try the script")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder for compare.md and its figures")
    one = parser.add_argument_group("one measurement, as JSON; what the script calls itself with")
    one.add_argument("--method", choices=METHODS)
    one.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.method:
        print(json.dumps(measure(options.method, options.data[0], options.seed, options.limit_epochs)))
        return
    methods = [method for method in METHODS if method in {*options.methods, OURS}]
    shown = [f"--repeats {options.repeats}", *([f"--methods {' '.join(methods)}"] if methods != list(METHODS) else [])]
    shown += [f"--limit-epochs {options.limit_epochs}"] if options.limit_epochs else []
    command = " ".join(["python benchmarks/compare.py", *(data.name for data in options.data), *shown])
    kept = _kept(options.log)
    played: dict[str, Rounds] = {}
    for data in options.data:
        warm(data)
        key = {"data": data.name, "methods": methods, "limit_epochs": options.limit_epochs}
        rounds = played.setdefault(data.name, [one["found"] for one in kept if key.items() <= one.items()])
        for seed in range(len(rounds), options.repeats):
            rounds.append(play(data, methods, seed, options.limit_epochs))
            with options.log.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps({**key, "found": rounds[-1]}) + "\n")
        draw(data.name, rounds, options.out / f"compare_{data.name}.svg")
        text = page(played, command, options.limit_epochs)
        (options.out / "compare.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
