"""The gate: whether, and how far, held-out images support keeping what a fit phase trained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from kerastune_recipes.evaluation import metrics
from kerastune_recipes.evaluation.judges import Judges
from kerastune_recipes.heads.calibration import Calibrator

# Interpolations between the weights before a phase (0) and after it (1), as in WiSE-FT (Wortsman et al. 2022). 0.25 was
# best where training had destroyed features (benchmarks/pages/fine_tuning.md).
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
# Minimum gain in total held-out log-likelihood to keep a phase: 1 nat, a likelihood ratio of e. Of 56 runs, one then
# lost more than 0.02 nats. With one standard error instead, three did, and the mean gain was smaller, as it is with
# 2 nats; keeping every phase gains most, and loses as much in four runs (benchmarks/pages/gate.md).
EVIDENCE = 1.0
# Standard deviation of the prior on the logarithm of a temperature, centred at 1: a few held-out images that are all
# recognised would make a model as certain as they are (benchmarks/pages/honesty.md).
TEMPERATURE_PRIOR = 0.75
# Folds of the held-out images by which the figures of a phase do not profit from choosing on them.
CROSS_FITTING_FOLDS = 5
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
        decisions: What the images outside each fold choose by themselves, by fold.
        log_losses: Held-out log loss of each candidate, nats, at its own best temperature.
        probabilities: float32 (n, k), of the held-out images by the chosen model.
        cross_fitted: float32 (n, k), of each held-out image by what the images outside its fold choose: figures of
            these do not profit from the choice.
        ece: Expected calibration error of the chosen candidate before temperature scaling; see `metrics.ece`.
    """

    decision: Decision
    decisions: tuple[Decision, ...]
    log_losses: Mapping[Candidate, float]
    probabilities: np.ndarray
    cross_fitted: np.ndarray
    ece: float


def choose(
    candidates: Mapping[Candidate, np.ndarray],
    judges: Judges,
    fold: np.ndarray,
    before: np.ndarray | None = None,
) -> Assessment:
    """Choose the model that a phase ends with, by held-out log loss.

    Every candidate, the model before the phase too, is judged at its own best temperature. The model before wins unless
    the best candidate beats it by `EVIDENCE`, so that chance keeps no phase: a log Bayes factor of 1 nat or more is
    "positive evidence" (Kass & Raftery 1995). Among the others the head solved again wins unless one beats it by
    `EVIDENCE`: where it was tried, it ended better than the trained head and than interpolated weights
    (benchmarks/pages/gate.md, docs/experiments.md).

    Args:
        candidates: Probabilities (n, k) of the held-out images by each candidate. Where `BEFORE` wins, its stay as they
            are.
        judges: The held-out images.
        fold: int (n,), folds from 0 for `cross_fitted`; a single one stands for none.
        before: Cross-fitted probabilities (n, k) of `BEFORE`, where that was chosen by these images too.

    Example:
        >>> labels = np.arange(40) % 2
        >>> before, after = np.full((40, 2), 0.5), np.where(np.eye(2)[labels] == 1, 0.9, 0.1)
        >>> choose({BEFORE: before, AFTER: after}, Judges.of(labels, balanced=False), labels).decision.candidate
        Candidate(share=1.0, solved_again=False)
    """
    logits = {one: np.log(np.maximum(candidates[one], _SMALLEST_PROBABILITY)) for one in sorted(candidates)}
    decision, log_losses = _decide(logits, judges)
    probabilities = _probabilities(candidates, logits, decision)
    others = candidates if before is None else {**candidates, BEFORE: before}
    decisions, cross_fitted = [], _probabilities(others, logits, decision)
    for number in range(fold.max() + 1 if fold.any() else 0):
        outside = fold != number
        chosen, _ = _decide({one: values[outside] for one, values in logits.items()}, judges.select(outside))
        decisions.append(chosen)
        cross_fitted[~outside] = _probabilities(others, logits, chosen)[~outside]
    return Assessment(
        decision=decision,
        decisions=tuple(decisions),
        log_losses=log_losses,
        probabilities=probabilities,
        cross_fitted=cross_fitted,
        ece=metrics.ece(candidates[decision.candidate], judges.labels),
    )


def _decide(logits: Mapping[Candidate, np.ndarray], judges: Judges) -> tuple[Decision, dict[Candidate, float]]:
    """Return what judges choose, and the log loss of each candidate."""
    calibrator = Calibrator(judges.labels, judges.weights, offsets=False, prior=TEMPERATURE_PRIOR)
    temperatures = {one: calibrator.fit(values)[0].temperature for one, values in logits.items()}
    losses = {one: calibrator.losses(values / temperatures[one]) for one, values in logits.items()}
    best = min(losses, key=lambda one: judges.mean(losses[one]))
    if BEFORE in losses and not enough_evidence(losses[best], losses[BEFORE], judges):
        best = BEFORE
    elif SOLVED_AGAIN in losses and not enough_evidence(losses[best], losses[SOLVED_AGAIN], judges):
        best = SOLVED_AGAIN
    # The model before is calibrated already, on more images.
    temperature = 1.0 if best == BEFORE else temperatures[best]
    return Decision(best, temperature), {one: judges.mean(values) for one, values in losses.items()}


def _probabilities(
    candidates: Mapping[Candidate, np.ndarray], logits: Mapping[Candidate, np.ndarray], decision: Decision
) -> np.ndarray:
    """Return probabilities (n, k), float32, of a candidate at its temperature."""
    if decision.candidate == BEFORE:
        return candidates[BEFORE].astype(np.float32)
    return softmax(logits[decision.candidate] / decision.temperature, axis=1).astype(np.float32)


def enough_evidence(losses: np.ndarray, baseline: np.ndarray, judges: Judges) -> bool:
    """Return whether a model beats a baseline by more than `EVIDENCE`.

    Args:
        losses: Log loss of each image under the model, float (n,), nats.
        baseline: The same under the baseline, on the same images.
        judges: These images.

    Example:
        >>> judges = Judges.of(np.zeros(10, int), balanced=False)
        >>> enough_evidence(np.full(10, 0.3), np.full(10, 0.5), judges)  # 2 nats in total
        True
    """
    return judges.evidence(baseline - losses) > EVIDENCE


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
