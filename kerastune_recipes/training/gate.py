"""The gate: whether, and how far, held-out images support keeping what a fit phase trained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from kerastune_recipes.evaluation import metrics
from kerastune_recipes.heads.calibration import Calibrator

# Interpolations between the weights before a phase (0) and after it (1), as in WiSE-FT (Wortsman et al. 2022). 0.25 was
# best where training had destroyed features (benchmarks/pages/fine_tuning.md).
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
# Minimum gain in total held-out log-likelihood to keep a phase: 1 nat, a likelihood ratio of e. Of 56 runs, one then
# lost more than 0.02 nats. With one standard error instead, three did, and the mean gain was smaller, as it is with
# 2 nats; keeping every phase gains most, and loses as much in four runs (benchmarks/pages/gate.md).
EVIDENCE = 1.0
# Keras's smallest float32 probability is about 1e-38; below this bound losses are not told apart.
_SMALLEST_PROBABILITY = 1e-30


@dataclass(frozen=True, order=True)
class Candidate:
    """A model that a fit phase may end with.

    Args:
        share: Interpolation between the weights before the phase, 0, and those after it, 1.
        solved_again: Whether the head is solved again on the features of the trained backbone (last-layer retraining,
            Kirichenko et al. 2022).
    """

    share: float
    solved_again: bool = False

    def __str__(self) -> str:
        # A key in report.json.
        return f"{self.share:g}{', head solved again' if self.solved_again else ''}"


BEFORE, AFTER, SOLVED_AGAIN = Candidate(0.0), Candidate(1.0), Candidate(1.0, solved_again=True)


@dataclass(frozen=True)
class Decision:
    """The model that a fit phase ends with.

    Args:
        candidate: The chosen candidate.
        temperature: Divisor of its logits, above 0, that calibrates its probabilities on the held-out images.
    """

    candidate: Candidate
    temperature: float


@dataclass(frozen=True)
class Assessment:
    """A fit phase as judged by held-out images.

    Args:
        decision: The chosen candidate and its temperature.
        log_losses: Held-out log loss of each candidate, nats, at its own temperature; 1 for the model before the phase.
        probabilities: float32 (n, k), of the held-out images by the chosen model.
        ece: Expected calibration error of the chosen candidate before temperature scaling; see `metrics.ece`.
    """

    decision: Decision
    log_losses: Mapping[Candidate, float]
    probabilities: np.ndarray
    ece: float


def choose(candidates: Mapping[Candidate, np.ndarray], labels: np.ndarray) -> Assessment:
    """Choose the model that a phase ends with, by held-out log loss.

    The model before the phase wins unless the best candidate beats it by `EVIDENCE`, so that chance keeps no phase: a
    log Bayes factor of 1 nat or more is "positive evidence" (Kass & Raftery 1995). Among the others the head solved
    again wins unless one beats it by `EVIDENCE`: where it was tried, it ended better than the trained head and than
    interpolated weights (benchmarks/pages/gate.md, docs/experiments.md).

    Args:
        candidates: Probabilities (n, k) of the held-out images by each candidate. Those of `BEFORE`, if present, are
            calibrated already.
        labels: int (n,), of these images.

    Example:
        >>> labels = np.arange(40) % 2
        >>> before, after = np.full((40, 2), 0.5), np.where(np.eye(2)[labels] == 1, 0.9, 0.1)
        >>> choose({BEFORE: before, AFTER: after}, labels).decision.candidate
        Candidate(share=1.0, solved_again=False)
    """
    calibrator = Calibrator(labels, np.ones(len(labels)), offsets=False)
    logits = {one: np.log(np.maximum(candidates[one], _SMALLEST_PROBABILITY)) for one in sorted(candidates)}
    temperatures = {
        one: 1.0 if one == BEFORE else calibrator.fit(values)[0].temperature for one, values in logits.items()
    }
    losses = {one: calibrator.losses(values / temperatures[one]) for one, values in logits.items()}
    best = min(losses, key=lambda one: losses[one].mean())
    if BEFORE in losses and not enough_evidence(losses[best], losses[BEFORE]):
        best = BEFORE
    elif SOLVED_AGAIN in losses and not enough_evidence(losses[best], losses[SOLVED_AGAIN]):
        best = SOLVED_AGAIN
    return Assessment(
        decision=Decision(best, temperatures[best]),
        log_losses={one: float(values.mean()) for one, values in losses.items()},
        probabilities=softmax(logits[best] / temperatures[best], axis=1).astype(np.float32),
        ece=metrics.ece(candidates[best], labels),
    )


def enough_evidence(losses: np.ndarray, baseline: np.ndarray) -> bool:
    """Return whether a model beats a baseline by more than `EVIDENCE`.

    Args:
        losses: Log loss of each image under the model, float (n,), nats.
        baseline: The same under the baseline, on the same images.

    Example:
        >>> enough_evidence(np.full(10, 0.3), np.full(10, 0.5))  # 2 nats in total
        True
    """
    return bool((baseline - losses).sum() > EVIDENCE)


def interpolate(before: Sequence[np.ndarray], after: Sequence[np.ndarray], share: float) -> list[np.ndarray]:
    """Interpolate linearly between the weights of two models of one architecture.

    Args:
        before: Weights at share 0.
        after: Weights at share 1.
        share: 0..1. Integers, such as the state of a random generator, are taken from `after`.

    Example:
        >>> interpolate([np.zeros(2)], [np.ones(2)], 0.25)
        [array([0.25, 0.25])]
    """
    return [
        (1 - share) * first + share * last if np.issubdtype(last.dtype, np.floating) else last
        for first, last in zip(before, after, strict=True)
    ]
