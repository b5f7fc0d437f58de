"""Few labels and many unlabelled images: heads that label images for themselves, or for one another.

It is done on frozen features, so that a round costs a solution and no forward pass.
"""

import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from scipy.special import softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from kerastune_recipes.solvers import Solved, dense, log_loss, temperature
from kerastune_recipes.spec import PseudoLabelsSpec

# A pseudo-label is not worth a fine solution.
_EFFORT = {"tol": 1e-3, "max_iter": 200}
# Of more unlabelled images a sample is labelled: more of them cost time, and change the head little.
MANY_IMAGES = 2000

# Kernel (d, k) and bias (k,) on standardised features.
_Head = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class _Few:
    """Standardised features of labelled (n, d) and unlabelled (m, d) images, one array for each view of them.

    With self-training there is one view, all features; with co-training each network is one.
    """

    labelled: tuple[np.ndarray, ...]
    labels: np.ndarray
    unlabelled: tuple[np.ndarray, ...]

    def part(self, places: np.ndarray) -> "_Few":
        """Return the same with some of the labelled images only."""
        return replace(self, labelled=tuple(rows[places] for rows in self.labelled), labels=self.labels[places])


@dataclass(frozen=True)
class _Tried:
    """What cross-validation found for a number of rounds: held-out logits at their best temperature."""

    rounds: int
    temperature: float
    held_out: np.ndarray
    log_loss: float
    accuracy: float


def improve(
    supervised: Solved,
    features: np.ndarray,
    labels: np.ndarray,
    unlabelled: np.ndarray,
    widths: Sequence[int],
    how: PseudoLabelsSpec,
    folds: int,
    seed: int,
) -> Solved:
    """Return a head that has learnt from unlabelled images too, or the supervised one where that is no better.

    In each round the heads label unlabelled images, as many of each class, the most certain ones, and are solved anew
    on these and the labelled ones: self-training (Yarowsky 1995; Lee 2013, "Pseudo-label"), or co-training (Blum &
    Mitchell 1998) with each of two networks labelling for the other. The rounds are those with the least log loss in
    cross-validation of the labelled images; none where that is not less than the supervised head's, or where fewer
    images are recognised.

    Args:
        supervised: The head solved on the labelled images alone, with its held-out probabilities.
        features: float (n, d), of the labelled images.
        labels: int (n,), every class present.
        unlabelled: float (m, d).
        widths: Of the features of each network, which stand side by side in d.
        how: The method and its numbers.
        folds: Of the cross-validation; 0, where a class has a single image, leaves the supervised head.
        seed: Of the folds, and of the sample where there are many unlabelled images.

    Returns:
        The head, which says in `judged_by` what was done.
    """
    if not folds:
        return _kept(supervised, "a class has too few images to cross-validate")
    used = np.random.default_rng(seed).permutation(len(unlabelled))[:MANY_IMAGES]
    ends = np.cumsum(widths)[:-1] if how.method == "cotrain" else []
    scalers, few = _standardised(features, labels, unlabelled[used], ends)
    # Thin products gain nothing by threads of BLAS; folds run side by side instead.
    with threadpool_limits(1, "blas"), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        tried = _cross_validate(few, how, folds, seed)
        before = log_loss(np.log(supervised.held_out), labels)
        recognised = np.mean(supervised.held_out.argmax(axis=1) == labels)
        better = [each for each in tried if each.log_loss < before and each.accuracy >= recognised]
        least = min(better or tried, key=lambda each: each.log_loss)
        figures = f"log loss {least.log_loss:.3f} against {before:.3f} without"
        if not better:
            return _kept(supervised, f"{how.method} did not help ({figures})")
        heads = next(islice(_rounds(few, how), least.rounds - 1, None))
    kernel, bias = _unstandardised(heads, scalers)
    return replace(
        supervised,
        kernel=(kernel / least.temperature).astype(np.float32),
        bias=(bias / least.temperature).astype(np.float32),
        strength=how.strength,
        temperature=least.temperature,
        log_loss_by_strength={how.strength: least.log_loss},
        held_out=least.held_out,
        judged_by=(
            f"{folds}-fold cross-validation of {len(labels)} labelled images; {how.method} on {len(used)} unlabelled "
            f"images, {least.rounds} of {how.rounds} rounds, {figures}"
        ),
    )


def _kept(supervised: Solved, why: str) -> Solved:
    return replace(supervised, judged_by=f"{supervised.judged_by}; unlabelled images left out: {why}")


def _standardised(
    features: np.ndarray, labels: np.ndarray, unlabelled: np.ndarray, ends: Sequence[int]
) -> tuple[list[StandardScaler], _Few]:
    """Divide features into views, and standardise each by all images: a few labelled ones would not tell how."""
    scalers, labelled, others = [], [], []
    for here, there in zip(np.split(features, ends, axis=1), np.split(unlabelled, ends, axis=1), strict=True):
        scaler = StandardScaler().fit(np.concatenate([here, there]).astype(np.float64))
        scaler.scale_[np.sqrt(scaler.var_) < 1e-6] = 1.0
        scalers.append(scaler)
        labelled.append(scaler.transform(here.astype(np.float32)))
        others.append(scaler.transform(there.astype(np.float32)))
    return scalers, _Few(tuple(labelled), labels, tuple(others))


def _rounds(few: _Few, how: PseudoLabelsSpec) -> Iterator[list[_Head]]:
    """Yield the heads, one for each view, after each round."""
    heads = [_solve(rows, few.labels, None, how) for rows in few.labelled]
    classes, count = heads[0][0].shape[1], len(few.unlabelled[0])
    for number in range(1, how.rounds + 1):
        most = max(1, round(how.share * count / classes * number / how.rounds))
        said = [
            softmax(rows @ kernel + bias, axis=1) for rows, (kernel, bias) in zip(few.unlabelled, heads, strict=True)
        ]
        heads = [
            # Of two views the other one labels, the only one labels for itself.
            _solve(few.labelled[view], few.labels, (few.unlabelled[view], said[view - 1], most), how)
            for view in range(len(heads))
        ]
        yield heads


def _solve(
    rows: np.ndarray, labels: np.ndarray, others: tuple[np.ndarray, np.ndarray, int] | None, how: PseudoLabelsSpec
) -> _Head:
    """Solve on labelled images, and on the unlabelled ones of which the probabilities given are most certain."""
    weights = np.ones(len(labels))
    if others:
        unlabelled, probabilities, most = others
        chosen = _most_certain(probabilities, most)
        rows = np.concatenate([rows, unlabelled[chosen]])
        labels = np.concatenate([labels, probabilities[chosen].argmax(axis=1)])
        weights = np.concatenate([weights, np.full(len(chosen), how.weight)])
    classifier = LogisticRegression(C=1 / how.strength, **_EFFORT).fit(rows, labels, sample_weight=weights)
    return dense(classifier.coef_, classifier.intercept_)


def _most_certain(probabilities: np.ndarray, most: int) -> np.ndarray:
    """Return the images of each class that are most certainly of it, at most so many of each."""
    classes, certainty = probabilities.argmax(axis=1), probabilities.max(axis=1)
    order = np.argsort(-certainty, kind="stable")
    return np.concatenate([order[classes[order] == each][:most] for each in range(probabilities.shape[1])])


def _cross_validate(few: _Few, how: PseudoLabelsSpec, folds: int, seed: int) -> list[_Tried]:
    """Judge the heads after each round by labelled images that they have not seen."""
    cut = StratifiedKFold(folds, shuffle=True, random_state=seed)
    parts = list(cut.split(few.labels, few.labels))

    def logits(part: tuple[np.ndarray, np.ndarray]) -> list[np.ndarray]:
        kept, out = part
        return [_logits(heads, [rows[out] for rows in few.labelled]) for heads in _rounds(few.part(kept), how)]

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        by_fold = list(threads.map(logits, parts))
    tried = []
    for number, each in enumerate(zip(*by_fold, strict=True), 1):
        held = np.empty((len(few.labels), each[0].shape[1]))
        for (_, out), part in zip(parts, each, strict=True):
            held[out] = part
        shared = temperature(held, few.labels)
        fitted = held.copy()
        for kept, out in parts:  # each by a temperature found on the other folds
            fitted[out] /= temperature(held[kept], few.labels[kept])
        loss, right = log_loss(fitted, few.labels), float(np.mean(held.argmax(axis=1) == few.labels))
        tried.append(_Tried(number, shared, softmax(fitted, axis=1).astype(np.float32), loss, right))
    return tried


def _logits(heads: Sequence[_Head], views: Sequence[np.ndarray]) -> np.ndarray:
    """Return the mean of what the heads say, as logits."""
    return np.mean([rows @ kernel + bias for rows, (kernel, bias) in zip(views, heads, strict=True)], axis=0)


def _unstandardised(heads: Sequence[_Head], scalers: Sequence[StandardScaler]) -> _Head:
    """Return the mean of the heads as one, on features as they are."""
    kernels = [kernel / scaler.scale_[:, None] for (kernel, _), scaler in zip(heads, scalers, strict=True)]
    biases = [bias - scaler.mean_ @ kernel for (_, bias), kernel, scaler in zip(heads, kernels, scalers, strict=True)]
    return np.concatenate(kernels) / len(heads), np.mean(biases, axis=0)
