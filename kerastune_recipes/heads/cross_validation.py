"""Which strength is best: cross-validation along a path from strong to weak, and a hold-out where images are many."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import softmax
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from kerastune_recipes.errors import DataError, listed
from kerastune_recipes.heads.calibration import Calibration, Judge
from kerastune_recipes.heads.classifiers import Classifier, learn, learn_anew
from kerastune_recipes.heads.linear import Effort, Head, logits
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


# Of more images than MANY_IMAGES a sample makes the first choice, and a hold-out of all of them has the last word.
MANY_IMAGES, SAMPLE_IMAGES = 4000, 2000


# A temperature that depends on how many images a head has learnt from is found by so many folds, where each class has
# so many images at least (benchmarks/temperature.md).
FINE_FOLDS, FEWEST_OF_CLASS = 10, 4


@dataclass(frozen=True)
class Cut:
    """Images, the first fold behind all others, so that what is learnt from to judge by it is one stretch.

    Args:
        order: int (n,), the images.
        fold: int (n,), the fold of each, in this order; 0 where there are none.
        sample: bool (n,), which of them strengths are tried on, in this order; all of them unless they are many.
        fine: int (n,), the fold of each where only a little may be left out, in this order; None where `fold` must do.
    """

    order: np.ndarray
    fold: np.ndarray
    sample: np.ndarray
    fine: np.ndarray | None = None

    @property
    def whole(self) -> bool:
        """Whether the sample is all of the images."""
        return bool(self.sample.all())


def cut(labels: np.ndarray, folds: int, seed: int, groups: np.ndarray | None = None) -> Cut:
    """Divide images into folds, stratified.

    However small the sample is, a class of as many images as there are folds has one in each.

    Args:
        labels: int (n,).
        folds: How many, 2 or more, or 0 for none.
        seed: Of folds and sample.
        groups: int (n,), the group of each image, or None; images of a group stay in one fold.

    Raises:
        DataError: There are fewer groups than folds, or a class would be missing outside of a fold.
    """
    images = len(labels)
    if not folds:
        return Cut(np.arange(images), np.zeros(images, int), np.ones(images, bool))
    if groups is not None and len(np.unique(groups)) < folds:
        raise DataError(
            f"{folds}-fold cross-validation: there are {len(np.unique(groups))} groups of images; give fewer folds."
        )
    kind = StratifiedKFold if groups is None else StratifiedGroupKFold
    fold = np.empty(images, int)
    for number, (_, inside) in enumerate(kind(folds, shuffle=True, random_state=seed).split(labels, labels, groups)):
        fold[inside] = number
    _check(labels, fold, folds, groups)
    sample = sampled(labels * folds + fold, SAMPLE_IMAGES if images > MANY_IMAGES else images, seed)
    order = np.argsort(fold == 0, kind="stable")
    finer = groups is None and folds < FINE_FOLDS and sample.all() and np.bincount(labels).min() >= FEWEST_OF_CLASS
    return Cut(order, fold[order], sample[order], _fine(labels, seed)[order] if finer else None)


def _fine(labels: np.ndarray, seed: int) -> np.ndarray:
    """Divide images into many folds, int (n,), the images of a class one by one, so that none has all of them."""
    order = np.random.default_rng(seed).permutation(len(labels))
    fold = np.empty(len(labels), int)
    fold[order[np.argsort(labels[order], kind="stable")]] = np.arange(len(labels)) % FINE_FOLDS
    return fold


def _check(labels: np.ndarray, fold: np.ndarray, folds: int, groups: np.ndarray | None) -> None:
    inside = np.zeros((labels.max() + 1, folds), int)
    np.add.at(inside, (labels, fold), 1)
    alone = np.flatnonzero((inside > 0).sum(axis=1) == 1)
    if len(alone):
        by = "images" if groups is None else "groups of images"
        raise DataError(
            f"{folds}-fold cross-validation: all images of the classes numbered {listed(alone)} fall into one fold, so "
            f"that none is left to learn from; each class needs {by} for two folds at least."
        )


def sampled(strata: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Choose some images, so that each stratum has its share of them, and one at least.

    Args:
        strata: int (n,), of each image.
        most: How many to choose; a few more where there are small strata.
        seed: Of the choice.

    Returns:
        bool (n,), all where there are no more.
    """
    images = len(strata)
    if images <= most:
        return np.ones(images, bool)
    random = np.random.default_rng(seed)
    order = random.permutation(images)
    order = order[np.argsort(strata[order], kind="stable")]
    counts = np.bincount(strata)
    rank = np.empty(images, int)  # of each image within its stratum, at random
    rank[order] = np.arange(images) - np.repeat(np.cumsum(counts) - counts, counts)
    # Sorted by their share of the stratum, all strata are spread evenly: any stretch of it is a stratified sample.
    place = np.empty(images, int)
    place[np.argsort((rank + random.random(images)) / counts[strata])] = np.arange(images)
    return (place < most) | (rank < 1)
