"""Convex heads solved on frozen features by scikit-learn, and folded into the weights of one dense layer."""

import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

# What the numbers below rest on is in benchmarks/solver.md.

# Raised whenever the same features and labels would be solved to another head: heads solved before are then not used.
PROTOCOL = 1

# Bounds on the work of L-BFGS. A rough solution tells which strength is better, and was no worse than a fine one
# where there are many images.
ROUGH = {"tol": 1e-3, "max_iter": 100}
FINE = {"tol": 1e-4, "max_iter": 1000}
# A strength is worth going on from when it lowers the log loss by this share: towards weak strengths it is often flat.
GAIN = 0.005
# Of more images than MANY_IMAGES a sample makes the first choice, and a hold-out of all of them has the last word.
MANY_IMAGES, SAMPLE_IMAGES, HELD_OUT_IMAGES = 4000, 2000, 5000
# Rows converted and standardised at a time.
BLOCK = 512


@dataclass(frozen=True)
class Solved:
    """A head as the weights of a dense layer on unstandardised features.

    Args:
        kernel: float32 (d, k).
        bias: float32 (k,).
        strength: The L2 penalty chosen, 1/C in scikit-learn's terms.
        temperature: What the logits were divided by, so that probabilities match held-out frequencies.
        log_loss_by_strength: Held-out log loss of each strength tried, strong to weak, in nats and each at its own
            best temperature; the chosen strength has the least. Empty where none was tried.
        judged_by: What held-out images strength and temperature were found on, in words.
    """

    kernel: np.ndarray
    bias: np.ndarray
    strength: float
    temperature: float
    log_loss_by_strength: dict[float, float]
    judged_by: str

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Return class probabilities (n, k) for features (n, d)."""
        return np.exp(log_softmax(features @ self.kernel + self.bias, axis=-1))


@dataclass(frozen=True)
class _Head:
    """Weights (k, d) and bias (k,) as scikit-learn keeps them: with a single row where there are two classes."""

    coefficients: np.ndarray
    intercepts: np.ndarray

    def dense(self) -> tuple[np.ndarray, np.ndarray]:
        """Return weights (d, k) and bias (k,), with one column for each class also where there are two."""
        weights, bias = self.coefficients.T, self.intercepts
        if weights.shape[1] == 1:
            return np.hstack([-weights / 2, weights / 2]), np.concatenate([-bias / 2, bias / 2])
        return weights, bias


@dataclass(frozen=True)
class _Rows:
    """Standardised features (n, v, d) of the views of n images, and the images' labels (n,)."""

    features: np.ndarray
    labels: np.ndarray

    def part(self, begin: int, end: int) -> "_Rows":
        """Return the images from `begin` up to `end`, not copied."""
        return _Rows(self.features[begin:end], self.labels[begin:end])

    def solve(self, strength: float, effort: dict[str, float], start: _Head | None) -> _Head:
        """Solve on all views, from `start` on."""
        classifier = LogisticRegression(C=1 / strength, warm_start=True, **effort)
        if start:
            classifier.coef_, classifier.intercept_ = start.coefficients, start.intercepts
        _, views, width = self.features.shape
        classifier.fit(self.features.reshape(-1, width), np.repeat(self.labels, views))
        return _Head(classifier.coef_, classifier.intercept_)

    def logits(self, head: _Head) -> np.ndarray:
        """Return logits (n, k) of the images themselves."""
        weights, bias = head.dense()
        return self.features[:, 0] @ weights + bias


@dataclass(frozen=True)
class _Tried:
    """What cross-validation found for one strength.

    Args:
        heads: Of each fold.
        temperature: Of the held-out logits of all folds.
        log_loss: On held-out images at that temperature, nats.
    """

    heads: list[_Head]
    temperature: float
    log_loss: float

    def mean(self) -> _Head:
        """Return the mean over the folds, a good start for all images together."""
        return _Head(
            np.mean([head.coefficients for head in self.heads], axis=0),
            np.mean([head.intercepts for head in self.heads], axis=0),
        )


@dataclass(frozen=True)
class _Choice:
    """What is settled before the last solution: as in `Solved`, and where that solution starts."""

    strength: float
    temperature: float
    start: _Head | None
    log_loss_by_strength: dict[float, float]
    judged_by: str


def logistic_regression(
    views: np.ndarray, labels: np.ndarray, strengths: Sequence[float], folds: int, seed: int
) -> Solved:
    """Solve multinomial logistic regression on standardised features.

    The strength is chosen by held-out log loss after temperature scaling (Guo et al. 2017), because the head is scaled
    so in the end. All views of an image stay in one fold, and only the image itself is used to judge. Of many images,
    cross-validation of a sample singles out a strength; a hold-out tries it, and one ten times stronger, on all.

    Args:
        views: float (v, n, d), features of each view of each image, the image itself first; of any precision, and a
            memory map if you like. They are held in memory once, as float32, besides what the folds take.
        labels: int (n,), every class present.
        strengths: Candidate L2 penalties, strong to weak.
        folds: Cross-validation folds, 0 for none; then there is one strength and no calibration.
        seed: Of the folds and the sample.

    Returns:
        The head. Protocol after Kornblith et al. 2019: L-BFGS, warm-started along the path.

    Example:
        >>> solved = logistic_regression(features[None], labels, strengths=(100.0, 10.0, 1.0), folds=5, seed=0)
    """
    parts = _parts(labels, folds, seed)
    order = np.argsort(parts, kind="stable")
    ends = np.cumsum(np.bincount(parts, minlength=folds + 2)).tolist()
    # Products with a head are thin (as wide as there are classes): several BLAS threads to one product only wait for
    # one another, and cost up to 25 times the time where the cores are shared. Solutions run side by side instead.
    with (
        threadpool_limits(1, "blas"),
        ThreadPoolExecutor(os.cpu_count()) as threads,
        warnings.catch_warnings(),
    ):
        # A strength that does not converge within the bound is judged by its held-out loss like any other.
        warnings.simplefilter("ignore", ConvergenceWarning)
        features, mean, deviation = _standardised(views, order)
        features, basis = _row_space(features)
        rows = _Rows(features, labels[order])
        if not folds:
            choice = _Choice(strengths[0], 1.0, None, {}, "nothing, there being no folds")
        else:
            choice = _by_cross_validation(rows.part(0, ends[folds - 1]), ends[:folds], strengths, threads)
            if ends[folds] < len(labels):
                training, held = rows.part(0, ends[folds]), rows.part(ends[folds], len(labels))
                choice = _by_hold_out(training, held, strengths, choice, threads)
        head = rows.solve(choice.strength, ROUGH if len(labels) > MANY_IMAGES else FINE, choice.start)
        weights, bias = head.dense()
        kernel = (weights if basis is None else basis @ weights) / deviation[:, None]
    return Solved(
        kernel=(kernel / choice.temperature).astype(np.float32),
        bias=((bias - mean @ kernel) / choice.temperature).astype(np.float32),
        strength=choice.strength,
        temperature=choice.temperature,
        log_loss_by_strength=choice.log_loss_by_strength,
        judged_by=choice.judged_by,
    )


def _parts(labels: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Give each image its part: its fold where it helps to choose, else `folds`, or `folds + 1` where it is held out.

    However small the sample is, a class of as many images as there are folds has one in each.
    """
    images = len(labels)
    if not folds:
        return np.zeros(images, int)
    choosing, held = np.ones(images, bool), np.zeros(images, bool)
    if images > MANY_IMAGES:
        random = np.random.default_rng(seed)
        order = random.permutation(images)
        order = order[np.argsort(labels[order], kind="stable")]
        counts = np.bincount(labels)
        rank = np.empty(images, int)  # of each image within its class, at random
        rank[order] = np.arange(images) - np.repeat(np.cumsum(counts) - counts, counts)
        # Sorted by their share of the class, all classes are spread evenly: any stretch of it is a stratified sample.
        place = np.empty(images, int)
        place[np.argsort((rank + random.random(images)) / counts[labels])] = np.arange(images)
        choosing = (place < SAMPLE_IMAGES) | (rank < folds)
        held = (place >= images - min(images // folds, HELD_OUT_IMAGES)) & ~choosing
    parts = np.where(held, folds + 1, folds)
    chosen = np.flatnonzero(choosing)
    cut = StratifiedKFold(folds, shuffle=True, random_state=seed)
    for fold, (_, out) in enumerate(cut.split(chosen, labels[chosen])):
        parts[chosen[out]] = fold
    return parts


def _standardised(views: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return features (n, v, d) as float32 in the given order of images, standardised, with means and deviations (d,).

    Block by block, so that there is never more than the one matrix in memory besides `views`.
    """
    count, images, width = views.shape
    place = np.empty(images, int)
    place[order] = np.arange(images)
    features = np.empty((images, count, width), np.float32)
    scaler = StandardScaler(copy=False)
    for view in range(count):
        for begin in range(0, images, BLOCK):  # read in order, for the sake of memory maps
            block = views[view, begin : begin + BLOCK].astype(np.float32)
            scaler.partial_fit(block)
            features[place[begin : begin + BLOCK], view] = block
    # A feature that never changes but by rounding tells nothing, and must not be blown up.
    scaler.scale_[np.sqrt(scaler.var_) < 1e-6] = 1.0
    rows = features.reshape(-1, width)
    for begin in range(0, len(rows), BLOCK):
        rows[begin : begin + BLOCK] = scaler.transform(rows[begin : begin + BLOCK])
    return features, scaler.mean_, scaler.scale_


def _row_space(features: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Return coordinates and an orthonormal basis with `features = coordinates @ basis.T`, or features and None.

    With an L2 penalty the solution lies in the span of the rows, so with fewer rows than features the problem is
    one of as many unknowns as there are rows. Finding the basis pays from half as many on.
    """
    rows = features.reshape(-1, features.shape[-1])
    if 2 * rows.shape[0] > rows.shape[1]:
        return features, None
    # From the products of the rows: a third of the time of a QR decomposition. Directions in which the rows have less
    # than a thousandth of their greatest extent are lost to rounding; any penalty keeps the weights there at nothing.
    squares, axes = np.linalg.eigh(rows @ rows.T)
    kept = squares > 1e-6 * squares[-1]
    extents, axes = np.sqrt(squares[kept]), axes[:, kept]
    return (axes * extents).reshape(*features.shape[:2], -1), rows.T @ (axes / extents)


def _splits(rows: _Rows, ends: Sequence[int]) -> list[tuple[_Rows, _Rows]]:
    """Return for each fold the images outside it and those in it, where fold i ends at `ends[i]`.

    The first folds stand once more behind the last, so that the images outside a fold are one stretch and need not be
    copied for each.
    """
    begins, images = [0, *ends[:-1]], len(rows.labels)
    again = rows.part(0, begins[-2])
    wrapped = _Rows(
        np.concatenate([rows.features, again.features]),
        np.concatenate([rows.labels, again.labels]),
    )
    return [
        (wrapped.part(end % images, end % images + images - (end - begin)), rows.part(begin, end))
        for begin, end in zip(begins, ends, strict=True)
    ]


def _by_cross_validation(rows: _Rows, ends: Sequence[int], strengths: Sequence[float], threads: Executor) -> _Choice:
    splits = _splits(rows, ends)
    tried = _search(lambda at, start: _cross_validate(splits, strengths[at], start, threads), len(strengths))
    best = _least(tried)
    return _Choice(
        strength=strengths[best],
        temperature=tried[best].temperature,
        start=tried[best].mean(),
        log_loss_by_strength={strengths[at]: tried[at].log_loss for at in sorted(tried)},
        judged_by=f"{len(ends)}-fold cross-validation of {len(rows.labels)} images",
    )


def _cross_validate(
    splits: list[tuple[_Rows, _Rows]], strength: float, start: _Tried | None, threads: Executor
) -> _Tried:
    """Try one strength, each fold going on from where `start` left it."""
    starts = start.heads if start else [None] * len(splits)
    heads = list(threads.map(lambda split, start: split[0].solve(strength, ROUGH, start), splits, starts))
    logits = np.concatenate([held.logits(head) for (_, held), head in zip(splits, heads, strict=True)])
    labels = np.concatenate([held.labels for _, held in splits])
    temperature = _temperature(logits, labels)
    return _Tried(heads, temperature, _log_loss(logits / temperature, labels))


def _by_hold_out(
    training: _Rows, held: _Rows, strengths: Sequence[float], first: _Choice, threads: Executor
) -> _Choice:
    """Try the first choice, and the strength two before it, on all images.

    A strength is the precision of a prior against the summed loss, so that it need not grow with the images; yet where
    few directions of the features tell the classes apart it does. No sample's was too strong by 1% of the loss.
    """
    at = strengths.index(first.strength)
    candidates = strengths[at - 2 : at + 1 : 2] if at >= 2 else strengths[at : at + 1]
    heads = list(threads.map(lambda strength: training.solve(strength, ROUGH, first.start), candidates))
    logits = [held.logits(head) for head in heads]
    temperatures = [_temperature(one, held.labels) for one in logits]
    losses = [_log_loss(one / by, held.labels) for one, by in zip(logits, temperatures, strict=True)]
    best = int(np.argmin(losses))
    return _Choice(
        strength=candidates[best],
        temperature=temperatures[best],
        start=heads[best],
        log_loss_by_strength=dict(zip(candidates, losses, strict=True)),
        judged_by=f"a hold-out of {len(held.labels)} images, after {first.judged_by}",
    )


def _search(attempt: Callable[[int, _Tried | None], _Tried], count: int) -> dict[int, _Tried]:
    """Try candidates 0 to `count` - 1, strong to weak, as far as it takes to find the least log loss.

    The loss has one minimum. Every second candidate is tried while the loss falls, weaker ones from stronger ones on;
    then the one between the best and the better of its neighbours. Where a neighbour is beyond the end, the weaker one
    is tried, and the stronger one if that was no better.
    """
    best = min(1, count - 1)
    tried = {best: attempt(best, None)}
    for at in range(best + 2, count, 2):
        tried[at] = attempt(at, tried[best])
        if tried[at].log_loss > (1 - GAIN) * tried[best].log_loss:
            break
        best = at
    best = _least(tried)
    between = [at for at in (best + 1, best - 1) if 0 <= at < count]
    if best - 2 in tried and best + 2 in tried:
        between = [min(between, key=lambda at: tried[2 * at - best].log_loss)]
    for at in between:
        tried[at] = attempt(at, tried.get(at - 1, tried[best]))
        if tried[at].log_loss < tried[best].log_loss:
            break
    return tried


def _least(tried: dict[int, _Tried]) -> int:
    """Return the candidate of least log loss, the strongest of equals."""
    return min(sorted(tried), key=lambda at: tried[at].log_loss)


def _log_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    return float(-log_softmax(logits, axis=1)[np.arange(len(labels)), labels].mean())


def _temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the temperature that gives held-out logits the smallest log loss."""
    found = minimize_scalar(lambda log_t: _log_loss(logits / np.exp(log_t), labels), bounds=(-2.5, 2.5))
    return float(np.exp(found.x))
