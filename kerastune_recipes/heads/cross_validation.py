"""The best L2 strength: cross-validation along a path from strong to weak, and a hold-out for many images."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import softmax

from kerastune_recipes.data.splits import NEVER_HELD_OUT, dealt_folds, folds_where_possible
from kerastune_recipes.heads.calibration import Calibration, Calibrator
from kerastune_recipes.heads.classifiers import Classifier, restandardising_solver, solver_for
from kerastune_recipes.heads.linear import Head, LBFGSOptions, logits
from kerastune_recipes.heads.rows import Rows

# The measurements behind these numbers are in benchmarks/pages/solver.md.

# A rough solution is enough to compare strengths, and was no worse than a fine one with many images.
ROUGH, FINE = LBFGSOptions(tol=1e-3, max_iter=100), LBFGSOptions(tol=1e-4, max_iter=1000)
# Relative gain in log loss needed to continue along the path: towards weak strengths the loss is often flat.
MIN_RELATIVE_GAIN = 0.005

# Of more than MANY_IMAGES images, strengths are tried on a sample; a hold-out of all images then decides.
MANY_IMAGES, SAMPLE_IMAGES = 4000, 2000
# The temperature of a classifier whose confidence grows with the number of images is fitted on FINE_FOLDS folds, where
# classes have at least MIN_IMAGES_FOR_FINE images on average (benchmarks/pages/temperature.md).
FINE_FOLDS, MIN_IMAGES_FOR_FINE = 10, 4
# Standard errors by which the log loss of images that a network was not trained on exceeds that of the others, before
# those others are no judges any more: 2, a one-sided level of 2.3 %.
_CLEAR_DIFFERENCE = 2.0
# Fewer images than this choose neither a strength nor a temperature by themselves.
_FEWEST_JUDGES = 10


@dataclass(frozen=True)
class Folds:
    """The division of images into folds, reordered so that the first fold comes last: the rest is one slice.

    Args:
        order: int (n,), the images in the new order.
        fold: int (n,), the fold of each image, in the new order; 0 where there are no folds, `NEVER_HELD_OUT` for an
            image that is in none.
        sample: bool (n,), the images on which strengths are tried, in the new order; all unless they are many.
        fine: int (n,), the fold of each image in a division into `FINE_FOLDS`, in the new order; None where `fold` has
            to do.
    """

    order: np.ndarray
    fold: np.ndarray
    sample: np.ndarray
    fine: np.ndarray | None = None

    @property
    def last(self) -> int:
        """Where the images of the first fold begin, in the new order."""
        return len(self.fold) - int((self.fold == 0).sum())

    @property
    def samples_all(self) -> bool:
        """Whether the sample contains all images."""
        return bool(self.sample.all())


def make_folds(labels: np.ndarray, folds: int, seed: int, groups: np.ndarray | None = None) -> Folds | None:
    """Divide images into stratified folds, and choose a stratified sample of them.

    A class with one image in each fold has one image in each fold of the sample, however small the sample is. Images of
    a class that cannot be divided are in no fold, see `folds_where_possible`.

    Args:
        labels: int (n,).
        folds: Number of folds, 2 or more, or 0 for none.
        seed: Random seed of folds and sample.
        groups: int (n,), the group of each image, or None; images of a group stay in one fold.

    Returns:
        The folds, or None where there are none, or where the images cannot be divided.
    """
    images = len(labels)
    fold = folds_where_possible(labels, folds, seed, groups) if folds else np.full(images, NEVER_HELD_OUT)
    if fold.max() == NEVER_HELD_OUT:
        return None
    strata = labels * (fold.max() + 2) + fold + 1
    sample = stratified_sample(strata, SAMPLE_IMAGES if images > MANY_IMAGES else images, seed)
    order = np.argsort(fold == 0, kind="stable")
    finer = groups is None and folds < FINE_FOLDS and sample.all() and images >= MIN_IMAGES_FOR_FINE * _classes(labels)
    return Folds(order, fold[order], sample[order], _fine_folds(labels, seed)[order] if finer else None)


def _classes(labels: np.ndarray) -> int:
    return len(np.unique(labels))


def _fine_folds(labels: np.ndarray, seed: int) -> np.ndarray:
    """Deal images out to `FINE_FOLDS` folds, int (n,); a single image of a class is in none."""
    return np.where(np.bincount(labels)[labels] < 2, NEVER_HELD_OUT, dealt_folds(labels, FINE_FOLDS, seed))


def stratified_sample(strata: np.ndarray, size: int, seed: int) -> np.ndarray:
    """Sample images in proportion to their strata, at least one from each.

    Args:
        strata: int (n,), the stratum of each image.
        size: Size of the sample; a few more where there are small strata.
        seed: Random seed of the sample.

    Returns:
        bool (n,), all True for at most `size` images.
    """
    images = len(strata)
    if images <= size:
        return np.ones(images, bool)
    random = np.random.default_rng(seed)
    order = random.permutation(images)
    order = order[np.argsort(strata[order], kind="stable")]
    counts = np.bincount(strata)
    rank = np.empty(images, int)  # random rank of each image within its stratum
    rank[order] = np.arange(images) - np.repeat(np.cumsum(counts) - counts, counts)
    # Sorted by relative rank, every stratum is spread evenly, so that any slice is a stratified sample.
    position = np.empty(images, int)
    position[np.argsort((rank + random.random(images)) / counts[strata])] = np.arange(images)
    return (position < size) | (rank < 1)


@dataclass(frozen=True)
class StrengthResult:
    """Result of cross-validating one strength.

    Args:
        heads: The head of each fold.
        logits: float (n, k), of each image by the head that has not seen it.
        calibration: The best calibration of these logits.
        log_loss: Mean log loss of the calibrated logits, nats.
    """

    heads: list[Head]
    logits: np.ndarray
    calibration: Calibration
    log_loss: float

    def mean_head(self) -> Head:
        """Return the mean over the folds, a good start for a solution on all images."""
        return Head(
            np.mean([head.weights for head in self.heads], axis=0), np.mean([head.bias for head in self.heads], axis=0)
        )


@dataclass(frozen=True)
class Choice:
    """Everything chosen before the final solution on all images.

    Args:
        strength: The best strength.
        calibration: Calibration of its held-out logits.
        start: Head from which the final solution starts.
        log_losses: Held-out log loss by strength, strong to weak, nats.
        judged_by: The held-out images that decided, in words.
    """

    strength: float
    calibration: Calibration
    start: Head | None
    log_losses: dict[float, float]
    judged_by: str


def calibrator_of(classifier: Classifier, rows: Rows) -> Calibrator:
    """Return the calibrator that the judges among some images make."""
    return Calibrator(rows.labels, rows.judge_weights, classifier.needs_offsets)


def judged_by(rows: Rows, judges: np.ndarray) -> Rows:
    """Return the images with fewer judges: bool (n,), only those already chosen that are marked here too."""
    return replace(rows, judges=judges if rows.judges is None else rows.judges & judges)


def without_seen(
    classifier: Classifier, rows: Rows, results: Mapping[float, StrengthResult], unseen: np.ndarray
) -> tuple[Rows, Mapping[float, StrengthResult]]:
    """Let only images that the network was not trained on choose, where it recognises the others clearly better.

    The features of images that a network was trained on are better than those of other images. A strength and a
    temperature that suit them make a head too sure of itself.

    Args:
        classifier: The classifier.
        rows: The images.
        results: Results by strength, judged by all images.
        unseen: bool (n,), the images that the network was not trained on.

    Returns:
        The images with the judges that remain, and the results as those judge.
    """
    judges = rows.judge_weights > 0
    result = results[best_strength(results)]
    losses = calibrator_of(classifier, rows).losses(result.calibration.logits(result.logits))
    new, old = losses[judges & unseen], losses[judges & ~unseen]
    if len(new) < _FEWEST_JUDGES or not _clearly_larger(new, old):
        return rows, results
    rows = judged_by(rows, unseen)
    calibrator = calibrator_of(classifier, rows)
    return rows, {
        strength: StrengthResult(one.heads, one.logits, *calibrator.fit(one.logits))
        for strength, one in results.items()
    }


def _clearly_larger(values: np.ndarray, others: np.ndarray) -> bool:
    """Return whether the mean of values exceeds that of others by more than `_CLEAR_DIFFERENCE` standard errors."""
    if len(others) < 2:
        return False
    error = np.sqrt(values.var(ddof=1) / len(values) + others.var(ddof=1) / len(others))
    return bool(values.mean() - others.mean() > _CLEAR_DIFFERENCE * error)


def cross_validate(
    classifier: Classifier, rows: Rows, fold: np.ndarray, strengths: Sequence[float], threads: Executor
) -> dict[float, StrengthResult]:
    """Cross-validate strengths until the best is found.

    Args:
        classifier: The classifier.
        rows: The images.
        fold: int (n,), the fold of each image.
        strengths: Strong to weak.
        threads: Solve the folds in parallel.

    Returns:
        The result of each strength tried, strong to weak.
    """
    rows = judged_by(rows, fold != NEVER_HELD_OUT)
    calibrator = calibrator_of(classifier, rows)
    numbers = range(fold.max() + 1)
    solvers = list(threads.map(lambda number: restandardising_solver(classifier, rows.select(fold != number)), numbers))

    def evaluate(at: int, nearby: StrengthResult | None) -> StrengthResult:
        starts = nearby.heads if nearby else [None] * len(numbers)
        heads = list(threads.map(lambda solver, start: solver(strengths[at], ROUGH, start), solvers, starts))
        raw = np.zeros((len(fold), len(heads[0].bias)))
        for number, head in enumerate(heads):
            raw[fold == number] = image_logits(rows.select(fold == number), head)
        return StrengthResult(heads, raw, *calibrator.fit(raw))

    results = search(evaluate, len(strengths), exhaustive=classifier.closed_form)
    return {strengths[at]: results[at] for at in sorted(results)}


def image_logits(rows: Rows, head: Head) -> np.ndarray:
    """Return logits (n, k) of the images themselves, without their other views."""
    return logits(head, rows.features[:, 0])


def search(
    evaluate: Callable[[int, StrengthResult | None], StrengthResult], count: int, exhaustive: bool = False
) -> dict[int, StrengthResult]:
    """Evaluate candidates 0 to `count` - 1, strong to weak, until the least log loss is found.

    The loss is assumed to have one minimum. Every second candidate is evaluated while the loss falls, starting a third
    of the way along: towards the weak end, then towards the strong end if nothing was gained. Last comes the candidate
    between the best and the better of its two neighbours. Where one neighbour does not exist, the weaker side is
    tried, and the stronger side if that was no better.

    Args:
        evaluate: Evaluates a candidate, warm-started from the result of another.
        count: Number of candidates.
        exhaustive: Evaluate every second candidate to both ends, where that is cheap.

    Returns:
        Results by candidate.
    """
    first = best = count // 3
    results = {first: evaluate(first, None)}
    for step in (2, -2):
        if best != first and not exhaustive:
            break
        for at in range(first + step, count if step > 0 else -1, step):
            results[at] = evaluate(at, results[best])
            if results[at].log_loss <= (1 - MIN_RELATIVE_GAIN) * results[best].log_loss:
                best = at
            elif not exhaustive:
                break
    best = min(sorted(results), key=lambda at: results[at].log_loss)
    between = [at for at in (best + 1, best - 1) if 0 <= at < count]
    if best - 2 in results and best + 2 in results:
        between = [min(between, key=lambda at: results[2 * at - best].log_loss)]
    for at in between:
        results[at] = evaluate(at, results.get(at - 1, results[best]))
        if results[at].log_loss < results[best].log_loss:
            break
    return results


def choose_by_cross_validation(results: Mapping[float, StrengthResult], rows: Rows) -> Choice:
    """Choose the strength of least log loss, the strongest of equals.

    Args:
        results: Results by strength.
        rows: The images that were judged.
    """
    best = best_strength(results)
    result = results[best]
    losses = {strength: one.log_loss for strength, one in results.items()}
    judged = f"{len(result.heads)}-fold cross-validation of {int((rows.judge_weights > 0).sum())} images"
    return Choice(best, result.calibration, result.mean_head(), losses, judged)


def recalibrate(classifier: Classifier, rows: Rows, fold: np.ndarray, choice: Choice, threads: Executor) -> Choice:
    """Fit the temperature again, on finer folds that hold out fewer images.

    Args:
        classifier: The classifier, with a closed form.
        rows: The images.
        fold: int (n,), the fine fold of each image, or `NEVER_HELD_OUT`.
        choice: The other choices.
        threads: Solve the folds in parallel.
    """

    def held_out(number: int) -> np.ndarray:
        head = restandardising_solver(classifier, rows.select(fold != number))(choice.strength, ROUGH, None)
        return image_logits(rows.select(fold == number), head)

    numbers = range(fold.max() + 1)
    raw = np.zeros((len(fold), len(choice.calibration.offsets)))
    for number, found in zip(numbers, threads.map(held_out, numbers), strict=True):
        raw[fold == number] = found
    calibration, _ = calibrator_of(classifier, judged_by(rows, fold != NEVER_HELD_OUT)).fit(raw)
    judged = f"{choice.judged_by} ({len(numbers)}-fold for the temperature)"
    return replace(choice, calibration=calibration, judged_by=judged)


def best_strength(results: Mapping[float, StrengthResult]) -> float:
    """Return the strength of least log loss, the first of equals."""
    return min(results, key=lambda strength: results[strength].log_loss)


def choose_by_hold_out(
    classifier: Classifier, training: Rows, held_out: Rows, strengths: Sequence[float], first: Choice, threads: Executor
) -> Choice:
    """Compare the first choice and the strength two steps stronger on all images.

    A strength is the precision of a prior against the summed loss, so it need not grow with the number of images; yet
    where few directions of the features separate the classes, it does. No strength chosen on a sample was too strong by
    1% of the loss.

    Args:
        classifier: The classifier.
        training: Images to learn from.
        held_out: Images to decide on.
        strengths: Strong to weak.
        first: The choice made on a sample.
        threads: Solve the strengths in parallel.
    """
    at = strengths.index(first.strength)
    candidates = strengths[at - 2 : at + 1 : 2] if at >= 2 else strengths[at : at + 1]
    solver = solver_for(classifier, training)
    heads = list(threads.map(lambda strength: solver(strength, ROUGH, first.start), candidates))
    calibrator = calibrator_of(classifier, held_out)
    fitted = [calibrator.fit(image_logits(held_out, head)) for head in heads]
    losses = dict(zip(candidates, (loss for _, loss in fitted), strict=True))
    best = candidates.index(min(losses, key=losses.__getitem__))
    return Choice(
        strength=candidates[best],
        calibration=fitted[best][0],
        start=heads[best],
        log_losses=losses,
        judged_by=f"a hold-out of {int((held_out.judge_weights > 0).sum())} images, after {first.judged_by}",
    )


def held_out_logits(
    classifier: Classifier, rows: Rows, fold: np.ndarray, strength: float, starts: Sequence[Head]
) -> np.ndarray:
    """Return logits (n, k) of every image by a head that has not seen it.

    Solves one fold at a time, since each copies the images outside it.

    Args:
        classifier: The classifier.
        rows: The images.
        fold: int (n,), the fold of each image.
        strength: The strength.
        starts: For each fold, a head to start from that has not seen its images either.
    """
    found = np.zeros((len(fold), len(starts[0].bias)))
    for number, start in enumerate(starts):
        inside = fold == number
        head = restandardising_solver(classifier, rows.select(~inside))(strength, ROUGH, start)
        found[inside] = image_logits(rows.select(inside), head)
    return found


def cross_fit(candidates: Sequence[np.ndarray], fold: np.ndarray, calibrator: Calibrator) -> np.ndarray:
    """Return held-out probabilities (n, k), float32, that do not depend on the labels of the image's own fold.

    For each fold, the held-out logits of the other folds choose the candidate and its calibration. The probabilities of
    images in no fold are NaN.

    Args:
        candidates: Held-out logits (n, k) of each candidate, such as a strength.
        fold: int (n,), the fold of each image, or `NEVER_HELD_OUT`.
        calibrator: The calibrator of all images.
    """
    found = np.full(candidates[0].shape, np.nan, np.float32)
    for number in range(fold.max() + 1):
        inside = fold == number
        outside = ~inside & (fold != NEVER_HELD_OUT)
        others = calibrator.select(outside)
        fitted = [others.fit(raw[outside]) for raw in candidates]
        best = min(range(len(fitted)), key=lambda at: fitted[at][1])
        found[inside] = softmax(fitted[best][0].logits(candidates[best][inside]), axis=1)
    return found
