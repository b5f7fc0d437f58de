"""How often the gate keeps a phase that made a model worse, left it as good, or made it better, by simulation.

    python benchmarks/gate.py

Logits of held-out images are drawn for a model before a phase, whose probabilities are calibrated, and for what may
be made of the phase: weights between, the end, and the head solved again, all of them too sure of themselves. Logits
of two models of one image have a correlation of one half. The page is benchmarks/gate.md.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from reporting import versions
from scipy.special import softmax

from kerastune_recipes import gate
from kerastune_recipes.solvers.calibration import Judge

IMAGES = (4, 8, 20, 60, 200)
# How far the right class stands out, in deviations of the noise; before the phase it is the middle one.
QUALITIES = {"worse": 1.2, "as good": 1.5, "better": 1.9}
TOO_SURE = 1.5
CLASSES = 5


def draw(random: np.random.Generator, labels: np.ndarray, shared: np.ndarray, quality: float) -> np.ndarray:
    """Return logits (n, k) that are calibrated: the posterior of classes that stand out by `quality`."""
    seen = np.sqrt(0.5) * shared + np.sqrt(0.5) * random.normal(size=shared.shape)
    return quality * (seen + quality * np.eye(shared.shape[1])[labels])


def candidates(
    random: np.random.Generator, labels: np.ndarray, classes: int, after: float
) -> dict[gate.Way, np.ndarray]:
    """Return what the gate judges: the probabilities (n, k) of every way."""
    shared, before = random.normal(size=(len(labels), classes)), QUALITIES["as good"]
    found = {gate.BEFORE: softmax(draw(random, labels, shared, before), axis=1)}
    for share in gate.SHARES[1:]:
        quality = before + share * (after - before)
        found[gate.Way(share)] = softmax(TOO_SURE * draw(random, labels, shared, quality), axis=1)
    found[gate.SOLVED_AGAIN] = softmax(TOO_SURE * draw(random, labels, shared, after), axis=1)
    return found


def by_one_error(found: Mapping[gate.Way, np.ndarray], labels: np.ndarray) -> bool:
    """Return whether the phase would be kept if a temperature cost nothing and the error were that of many images."""
    held = Judge(labels, np.ones(len(labels)), offsets=False)
    losses = {}
    for way, probabilities in found.items():
        raw = np.log(probabilities)
        losses[way] = held.losses(raw if way == gate.BEFORE else held(raw)[0].logits(raw))
    gains = losses[gate.BEFORE] - min(losses.values(), key=np.mean)
    return bool(gains.mean() > gains.std(ddof=1) / np.sqrt(len(gains)))


def kept(images: int, after: float, repeats: int, seed: int) -> tuple[float, float]:
    """Return the share of phases that are kept: by the gate, and by one standard error alone."""
    random = np.random.default_rng(seed)
    classes = 2 if images < 2 * CLASSES else CLASSES
    counts = np.zeros(2)
    for _ in range(repeats):
        labels = random.integers(0, classes, images)
        found = candidates(random, labels, classes, after)
        counts += gate.judge(found, labels).kept.way != gate.BEFORE, by_one_error(found, labels)
    gated, alone = counts / repeats
    return gated, alone


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rows = []
    for images in IMAGES:
        cells = [kept(images, after, options.repeats, options.seed) for after in QUALITIES.values()]
        rows.append(f"| {images} | " + " | ".join(f"{gated:.0%} ({alone:.0%})" for gated, alone in cells) + " |")
        print(rows[-1], flush=True)
    told = " ".join(__doc__.split("\n\n")[2].replace(" The page is benchmarks/gate.md.", "").split())
    text = [
        "# How often the gate keeps a phase",
        f"{told} {options.repeats} phases for each figure, {CLASSES} classes, two where there are less than "
        f"{2 * CLASSES} images. In brackets: by one standard error alone, as if the temperatures that are found on "
        f"these images cost nothing, and few images told as much of their spread as many. {versions()}. Made by:",
        f"    python benchmarks/gate.py --repeats {options.repeats} --seed {options.seed}",
        "\n".join(
            [
                f"| held-out images | {' | '.join(f'the phase made it {name}' for name in QUALITIES)} |",
                f"|---|{'---|' * len(QUALITIES)}",
                *rows,
            ]
        ),
    ]
    Path(__file__).with_suffix(".md").write_text("\n\n".join(text) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
