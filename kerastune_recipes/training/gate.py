"""Whether training made a model better: the weights before it, after it, and between, on held-out images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from kerastune_recipes.evaluation import metrics
from kerastune_recipes.heads.calibration import Judge

# How much of the way from the weights before a phase to those after it, after WiSE-FT (Wortsman et al. 2022). A quarter
# of it was the best where training had torn the features (benchmarks/fine_tuning.md).
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
# How much likelier all held-out images together must be by what is kept than by the model before, in nats: by a factor
# of e. In 56 runs a phase so kept lost 0.02 nats in one. By one standard error it did in three, and less was gained, as
# it is with two nats; to keep every phase would gain most, and lose so much in four (benchmarks/gate.md).
EVIDENCE = 1.0
# Keras's smallest probability in float32 is about 1e-38; below this one nothing is told apart.
_SMALLEST = 1e-30


@dataclass(frozen=True, order=True)
class Candidate:
    """What may be made of a phase that trained.

    Args:
        share: How much of it is kept, 0 (the model before it) to 1 (the model after it).
        solved_again: Whether the head is solved anew, on the features behind the phase (the last layer retrained, as in
            Kirichenko et al. 2022).
    """

    share: float
    solved_again: bool = False

    def __str__(self) -> str:
        return f"{self.share:g}{', head solved again' if self.solved_again else ''}"


BEFORE, AFTER, SOLVED_AGAIN = Candidate(0.0), Candidate(1.0), Candidate(1.0, solved_again=True)


@dataclass(frozen=True)
class Decision:
    """What is made of a phase that trained.

    Args:
        way: Which of the ways.
        temperature: What the logits are divided by then, so that probabilities match held-out frequencies.
    """

    candidate: Candidate
    temperature: float


@dataclass(frozen=True)
class Assessment:
    """What held-out images say of a phase.

    Args:
        kept: What is to be made of it.
        log_losses: Held-out log loss by way, nats, each but that of the model before with its own temperature.
        probabilities: float32 (n, k), of the held-out images by what is kept.
        ece: Expected calibration error of what is kept, before the temperature; see `metrics.ece`.
    """

    decision: Decision
    log_losses: Mapping[Candidate, float]
    probabilities: np.ndarray
    ece: float


def choose(candidates: Mapping[Candidate, np.ndarray], labels: np.ndarray) -> Assessment:
    """Choose what is made of a phase, by held-out log loss.

    The model before the phase stays where the best of the others is not better by `EVIDENCE`, so that a phase does not
    win by chance: a log Bayes factor is "positive evidence" from 1 nat on (Kass & Raftery 1995). Of the others it is
    the head solved again, unless one is better than that by as much: where it was tried, it was better in the end than
    what training made of the head, and than weights in between (benchmarks/gate.md, docs/experiments.md).

    Args:
        candidates: Probabilities (n, k) of the held-out images; those of the model before, where there was one, are
            calibrated already.
        labels: int (n,), of these images.

    Example:
        >>> labels = np.arange(40) % 2
        >>> before, after = np.full((40, 2), 0.5), np.where(np.eye(2)[labels] == 1, 0.9, 0.1)
        >>> choose({BEFORE: before, AFTER: after}, labels).decision.candidate
        Candidate(share=1.0, solved_again=False)
    """
    held = Judge(labels, np.ones(len(labels)), offsets=False)
    raw = {way: np.log(np.maximum(probabilities, _SMALLEST)) for way, probabilities in sorted(candidates.items())}
    temperatures = {way: 1.0 if way == BEFORE else held(logits)[0].temperature for way, logits in raw.items()}
    losses = {way: held.losses(logits / temperatures[way]) for way, logits in raw.items()}
    best = min(losses, key=lambda way: losses[way].mean())
    if BEFORE in losses and not enough_evidence(losses[best], losses[BEFORE]):
        best = BEFORE
    elif SOLVED_AGAIN in losses and not enough_evidence(losses[best], losses[SOLVED_AGAIN]):
        best = SOLVED_AGAIN
    return Assessment(
        decision=Decision(best, temperatures[best]),
        log_losses={way: float(each.mean()) for way, each in losses.items()},
        probabilities=softmax(raw[best] / temperatures[best], axis=1).astype(np.float32),
        ece=metrics.ece(candidates[best], labels),
    )


def enough_evidence(for_one: np.ndarray, against: np.ndarray) -> bool:
    """Return whether losses (n,) on the same images are evidence enough for one model against another."""
    return bool((against - for_one).sum() > EVIDENCE)


def between(before: Sequence[np.ndarray], after: Sequence[np.ndarray], share: float) -> list[np.ndarray]:
    """Return weights on the straight way between two models of one architecture.

    Args:
        before: Where the way begins, share 0.
        after: Where it ends, share 1.
        share: 0..1. What is no number on a line, such as the state of a random generator, is taken from the end.

    Example:
        >>> between([np.zeros(2)], [np.ones(2)], 0.25)
        [array([0.25, 0.25])]
    """
    return [
        (1 - share) * first + share * last if np.issubdtype(last.dtype, np.floating) else last
        for first, last in zip(before, after, strict=True)
    ]
