"""Which strength is best: cross-validation along a path from strong to weak, and a hold-out where images are many."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import softmax

from kerastune_recipes.heads.calibration import Calibration, Judge
from kerastune_recipes.heads.classifiers import Classifier
from kerastune_recipes.heads.head import Effort, Head, logits
from kerastune_recipes.heads.learning import learn, learn_anew
from kerastune_recipes.heads.rows import Rows

# What the numbers below rest on is in benchmarks/solver.md.

# A rough solution tells which strength is better, and was no worse than a fine one where there are many images.
ROUGH, FINE = Effort(tol=1e-3, max_iter=100), Effort(tol=1e-4, max_iter=1000)
# A strength is worth going on from when it lowers the log loss by this share: towards weak strengths it is often flat.
GAIN = 0.005


@dataclass(frozen=True)
class Tried:
    """What cross-validation found for one strength.

    Args:
        heads: Of each fold.
        logits: float (n, k), of each image by the head that has not seen it.
        calibration: Of these logits.
        log_loss: With it, nats.
    """

    heads: list[Head]
    logits: np.ndarray
    calibration: Calibration
    log_loss: float

    def mean(self) -> Head:
        """Return the mean over the folds, a good start for all images together."""
        return Head(
            np.mean([head.weights for head in self.heads], axis=0), np.mean([head.bias for head in self.heads], axis=0)
        )


@dataclass(frozen=True)
class Choice:
    """What is settled before the last solution.

    Args:
        strength: The best.
        calibration: Of its held-out logits.
        start: Where the last solution begins.
        log_losses: Held-out log loss by strength, strong to weak.
        judged_by: What held-out images all this was found on, in words.
    """

    strength: float
    calibration: Calibration
    start: Head | None
    log_losses: dict[float, float]
    judged_by: str


def cross_validate(
    classifier: Classifier, rows: Rows, fold: np.ndarray, strengths: Sequence[float], threads: Executor
) -> dict[float, Tried]:
    """Try strengths by cross-validation, as many as it takes to find the best.

    Args:
        classifier: What is learnt.
        rows: The images.
        fold: int (n,), of each.
        strengths: Strong to weak.
        threads: On which folds are solved side by side.

    Returns:
        What was found for each strength tried, strong to weak.
    """
    judge = Judge(rows.labels, rows.weights, classifier.offsets)
    numbers = range(fold.max() + 1)
    solutions = list(threads.map(lambda number: learn_anew(classifier, rows.part(fold != number)), numbers))

    def attempt(at: int, start: Tried | None) -> Tried:
        starts = start.heads if start else [None] * len(numbers)
        heads = list(threads.map(lambda solution, start: solution(strengths[at], ROUGH, start), solutions, starts))
        raw = np.empty((len(fold), len(heads[0].bias)))
        for number, head in enumerate(heads):
            raw[fold == number] = held_logits(rows.part(fold == number), head)
        return Tried(heads, raw, *judge(raw))

    tried = search(attempt, len(strengths), whole=classifier.closed)
    return {strengths[at]: tried[at] for at in sorted(tried)}


def held_logits(rows: Rows, head: Head) -> np.ndarray:
    """Return logits (n, k) of the images themselves."""
    return logits(head, rows.features[:, 0])


def search(attempt: Callable[[int, Tried | None], Tried], count: int, whole: bool = False) -> dict[int, Tried]:
    """Try candidates 0 to `count` - 1, strong to weak, as far as it takes to find the least log loss.

    The loss has one minimum. Every second candidate is tried while the loss falls, from the third part of the way on:
    towards the weak end, and towards the strong end if nothing was gained there. Then the one between the best and the
    better of its neighbours is tried. Where a neighbour is beyond the end, the weaker one is, and the stronger one if
    that was no better.

    Args:
        attempt: Tries a candidate, from what was found for another on.
        count: How many there are.
        whole: Try every second candidate to the end, where that is cheap.
    """
    first = best = count // 3
    tried = {first: attempt(first, None)}
    for step in (2, -2):
        if best != first and not whole:
            break
        for at in range(first + step, count if step > 0 else -1, step):
            tried[at] = attempt(at, tried[best])
            if tried[at].log_loss <= (1 - GAIN) * tried[best].log_loss:
                best = at
            elif not whole:
                break
    best = min(sorted(tried), key=lambda at: tried[at].log_loss)
    between = [at for at in (best + 1, best - 1) if 0 <= at < count]
    if best - 2 in tried and best + 2 in tried:
        between = [min(between, key=lambda at: tried[2 * at - best].log_loss)]
    for at in between:
        tried[at] = attempt(at, tried.get(at - 1, tried[best]))
        if tried[at].log_loss < tried[best].log_loss:
            break
    return tried


def by_cross_validation(tried: Mapping[float, Tried]) -> Choice:
    """Choose the strength of least log loss, the strongest of equals."""
    best = least(tried)
    found = tried[best]
    losses = {strength: one.log_loss for strength, one in tried.items()}
    judged_by = f"{len(found.heads)}-fold cross-validation of {len(found.logits)} images"
    return Choice(best, found.calibration, found.mean(), losses, judged_by)


def calibrated_finely(
    classifier: Classifier, rows: Rows, fold: np.ndarray, choice: Choice, threads: Executor
) -> Choice:
    """Find the temperature of a choice once more, by folds that leave out less.

    Args:
        classifier: What is learnt, closed.
        rows: The images.
        fold: int (n,), of each.
        choice: What else is settled.
        threads: On which folds are solved side by side.
    """

    def held(number: int) -> np.ndarray:
        head = learn_anew(classifier, rows.part(fold != number))(choice.strength, ROUGH, None)
        return held_logits(rows.part(fold == number), head)

    numbers = range(fold.max() + 1)
    raw = np.empty((len(fold), len(choice.calibration.offsets)))
    for number, found in zip(numbers, threads.map(held, numbers), strict=True):
        raw[fold == number] = found
    calibration, _ = Judge(rows.labels, rows.weights, classifier.offsets)(raw)
    return replace(choice, calibration=calibration, judged_by=f"{choice.judged_by}, the temperature by {len(numbers)}")


def least(tried: Mapping[float, Tried]) -> float:
    """Return the strength of least log loss, the first of equals."""
    return min(tried, key=lambda strength: tried[strength].log_loss)


def by_hold_out(
    classifier: Classifier, training: Rows, held: Rows, strengths: Sequence[float], first: Choice, threads: Executor
) -> Choice:
    """Try the first choice, and the strength two before it, on all images.

    A strength is the precision of a prior against the summed loss, so that it need not grow with the images; yet where
    few directions of the features tell the classes apart it does. No sample's was too strong by 1% of the loss.
    """
    at = strengths.index(first.strength)
    candidates = strengths[at - 2 : at + 1 : 2] if at >= 2 else strengths[at : at + 1]
    solution = learn(classifier, training)
    heads = list(threads.map(lambda strength: solution(strength, ROUGH, first.start), candidates))
    judge = Judge(held.labels, held.weights, classifier.offsets)
    judged = [judge(held_logits(held, head)) for head in heads]
    losses = dict(zip(candidates, (loss for _, loss in judged), strict=True))
    best = candidates.index(min(losses, key=losses.__getitem__))
    return Choice(
        strength=candidates[best],
        calibration=judged[best][0],
        start=heads[best],
        log_losses=losses,
        judged_by=f"a hold-out of {len(held.labels)} images, after {first.judged_by}",
    )


def logits_by_fold(
    classifier: Classifier, rows: Rows, fold: np.ndarray, strength: float, starts: Sequence[Head]
) -> np.ndarray:
    """Return logits (n, k) of every image by a head that has not seen it.

    Fold after fold, for the images outside of each are copied.

    Args:
        classifier: What is learnt.
        rows: The images.
        fold: int (n,), of each.
        strength: At which.
        starts: For each fold, a head that has not seen its images either.
    """
    found = np.empty((len(fold), len(starts[0].bias)))
    for number, start in enumerate(starts):
        inside = fold == number
        head = learn_anew(classifier, rows.part(~inside))(strength, ROUGH, start)
        found[inside] = held_logits(rows.part(inside), head)
    return found


def cross_fitted(candidates: Sequence[np.ndarray], fold: np.ndarray, judge: Judge) -> np.ndarray:
    """Return held-out probabilities (n, k) that owe nothing to the image's own fold.

    For each fold the candidate is chosen, and calibrated, by the held-out logits of the other folds.

    Args:
        candidates: Held-out logits (n, k), those of one strength each.
        fold: int (n,), of each image.
        judge: All images.
    """
    found = np.empty(candidates[0].shape, np.float32)
    for number in range(fold.max() + 1):
        inside = fold == number
        others = judge.among(~inside)
        judged = [others(raw[~inside]) for raw in candidates]
        best = min(range(len(judged)), key=lambda at: judged[at][1])
        found[inside] = softmax(judged[best][0].logits(candidates[best][inside]), axis=1)
    return found
