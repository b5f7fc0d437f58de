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
from threadpoolctl import threadpool_limits

from kerastune_recipes.heads.calibration import Judge
from kerastune_recipes.heads.classifiers import CLASSIFIERS, unscaled
from kerastune_recipes.heads.cross_validation import ROUGH, cross_fitted, cut
from kerastune_recipes.heads.linear import Head, logits
from kerastune_recipes.heads.rows import Rows, Scale, standardised
from kerastune_recipes.heads.solve import Solved
from kerastune_recipes.planning.plan import SolvePlan
from kerastune_recipes.spec.recipe_spec import PseudoLabelsSpec

# Of more unlabelled images a sample is labelled: more of them cost time, and change the head little.
MANY_UNLABELLED = 2000
_LEARN = CLASSIFIERS["logistic_regression"].learn


@dataclass(frozen=True)
class _Few:
    """Standardised features float32 (n + m, d) of labelled images and, behind them, unlabelled ones.

    With self-training there is one array, of all features; with co-training one of each network.

    Args:
        features: The arrays.
        labels: int (n,), of the labelled images.
    """

    features: tuple[np.ndarray, ...]
    labels: np.ndarray

    def without(self, out: np.ndarray) -> "_Few":
        """Return the same without some of the labelled images, given as bool (n,)."""
        kept = np.append(~out, np.ones(len(self.features[0]) - len(out), bool))
        return _Few(tuple(rows[kept] for rows in self.features), self.labels[~out])


def with_pseudo_labels(
    supervised: Solved,
    plan: SolvePlan,
    features: np.ndarray,
    labels: np.ndarray,
    unlabelled: np.ndarray,
    seed: int,
    *,
    groups: np.ndarray | None = None,
    widths: Sequence[int] = (),
) -> Solved:
    """Return a head that has learnt from unlabelled images too, or the supervised one where that is no better.

    In each round the heads label unlabelled images, as many of each class, the most certain ones, and are solved anew
    on these and the labelled ones: self-training (Yarowsky 1995; Lee 2013, "Pseudo-label"), or co-training (Blum &
    Mitchell 1998) where the head of each network labels for the other. The rounds are those with the least log loss in
    cross-validation of the labelled images. Where it is not less than the supervised head's by a standard error, or
    fewer images are recognised, nothing changes.

    Args:
        supervised: The head solved on the labelled images alone, every image held out once.
        plan: The folds, and what is done with unlabelled images.
        features: float (n, d), of the labelled images.
        labels: int (n,), every class present.
        unlabelled: float (m, d).
        seed: Of the folds, and of the sample where there are many unlabelled images.
        groups: As for `solve`.
        widths: Of the features of each network, which stand side by side in d; needed for co-training.

    Returns:
        The head, which says in `judged_by` what was done.

    Example:
        >>> solved = solve(plan, features[None], labels, seed=0, every_image=True)
        >>> solved = with_pseudo_labels(solved, plan, features, labels, unlabelled, seed=0)
    """
    how = plan.pseudo_labels
    assert how is not None  # otherwise nobody calls this
    if not plan.folds:
        return _unchanged(supervised, "a class has a single image, and nothing can be cross-validated")
    used = np.sort(np.random.default_rng(seed).permutation(len(unlabelled))[:MANY_UNLABELLED])
    scales, few = _standardised(features, labels, unlabelled[used], widths if how.method == "cotrain" else ())
    parts = cut(labels, plan.folds, seed, groups)
    fold = np.empty(len(labels), int)
    fold[parts.order] = parts.fold
    judge = Judge(labels, np.ones(len(labels)), offsets=False)
    # Thin products gain nothing by threads of BLAS; folds run side by side instead.
    with threadpool_limits(1, "blas"), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        raw = _held_out_logits(few, how, fold)
        held_out = [cross_fitted([each], fold, judge) for each in raw]
        before = judge.losses(np.log(supervised.held_out))
        after = [judge.losses(np.log(each)) for each in held_out]
        right = [int((each.argmax(axis=1) == labels).sum()) for each in (supervised.held_out, *held_out)]
        better = [at for at in range(how.rounds) if _gains(before - after[at]) and right[at + 1] >= right[0]]
        best = min(better or range(how.rounds), key=lambda at: after[at].mean())
        figures = f"log loss {after[best].mean():.3f} against {before.mean():.3f} without"
        if not better:
            return _unchanged(supervised, f"{how.method} did not help, {figures}")
        heads = next(islice(_rounds(few, how), best, None))
    calibration, _ = judge(raw[best])
    head = _folded(heads, scales, calibration.temperature)
    return replace(
        supervised,
        kernel=head.weights.astype(np.float32),
        bias=head.bias.astype(np.float32),
        strength=how.strength,
        temperature=calibration.temperature,
        offsets=np.zeros_like(supervised.offsets),
        log_loss_by_strength={how.strength: float(after[best].mean())},
        held_out=held_out[best],
        judged_by=(
            f"{plan.folds}-fold cross-validation of {len(labels)} labelled images; {how.method} on {len(used)} "
            f"unlabelled ones, {best + 1} of {how.rounds} rounds, {figures}"
        ),
    )


def _gains(gains: np.ndarray) -> bool:
    """Return whether what images gain, in log loss (n,), is more than a standard error (benchmarks/unlabeled.md)."""
    return bool(gains.mean() > gains.std(ddof=1) / np.sqrt(len(gains)))


def _unchanged(supervised: Solved, why: str) -> Solved:
    return replace(supervised, judged_by=f"{supervised.judged_by}; unlabelled images left out: {why}")


def _standardised(
    features: np.ndarray, labels: np.ndarray, unlabelled: np.ndarray, widths: Sequence[int]
) -> tuple[list[Scale], _Few]:
    """Standardise by all images: a few labelled ones would not tell the deviations (benchmarks/unlabeled.md)."""
    together = np.concatenate([features, unlabelled]).astype(np.float32)
    parts = np.split(together, np.cumsum(widths)[:-1], axis=1) if widths else [together]
    found = [standardised(part[None], np.arange(len(part))) for part in parts]
    return [scale for _, scale in found], _Few(tuple(rows[:, 0] for rows, _ in found), labels)


def _rounds(few: _Few, how: PseudoLabelsSpec) -> Iterator[list[Head]]:
    """Yield the heads, one for each array of features, after each round."""
    labelled = len(few.labels)
    heads = [_solve(rows[:labelled], few.labels, np.ones(labelled), how) for rows in few.features]
    classes, count = len(heads[0].bias), len(few.features[0]) - labelled
    for number in range(1, how.rounds + 1):
        most = max(1, round(how.share * count / classes * number / how.rounds))
        said = [softmax(logits(head, rows[labelled:]), axis=1) for head, rows in zip(heads, few.features, strict=True)]
        # Of two networks the other one labels, the only one labels for itself.
        heads = [_taught(rows, few.labels, said[at - 1], most, how) for at, rows in enumerate(few.features)]
        yield heads


def _taught(rows: np.ndarray, labels: np.ndarray, said: np.ndarray, most: int, how: PseudoLabelsSpec) -> Head:
    """Solve on labelled images and on those others of which the probabilities given are most certain."""
    chosen = _most_certain(said, most)
    return _solve(
        np.concatenate([rows[: len(labels)], rows[len(labels) :][chosen]]),
        np.concatenate([labels, said[chosen].argmax(axis=1)]),
        np.concatenate([np.ones(len(labels)), np.full(len(chosen), how.weight)]),
        how,
    )


def _most_certain(probabilities: np.ndarray, most: int) -> np.ndarray:
    """Return the images of each class that are most certainly of it, at most so many of each."""
    classes, certainty = probabilities.argmax(axis=1), probabilities.max(axis=1)
    order = np.argsort(-certainty, kind="stable")
    return np.concatenate([order[classes[order] == each][:most] for each in range(probabilities.shape[1])])


def _solve(features: np.ndarray, labels: np.ndarray, weights: np.ndarray, how: PseudoLabelsSpec) -> Head:
    rows = Rows(features[:, None], labels, weights.astype(np.float32), features.shape[1])
    return _LEARN(rows)(how.strength, ROUGH, None)


def _held_out_logits(few: _Few, how: PseudoLabelsSpec, fold: np.ndarray) -> list[np.ndarray]:
    """Return logits (n, k) of the labelled images after each round, by heads that have not seen the image."""

    def judged(number: int) -> list[np.ndarray]:
        inside = fold == number
        out = [rows[: len(fold)][inside] for rows in few.features]
        return [
            np.mean([logits(head, rows) for head, rows in zip(heads, out, strict=True)], axis=0)
            for heads in _rounds(few.without(inside), how)
        ]

    numbers = range(fold.max() + 1)
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        by_fold = list(threads.map(judged, numbers))
    found = [np.empty((len(fold), by_fold[0][0].shape[1])) for _ in range(how.rounds)]
    for number, each in zip(numbers, by_fold, strict=True):
        for whole, part in zip(found, each, strict=True):
            whole[fold == number] = part
    return found


def _folded(heads: Sequence[Head], scales: Sequence[Scale], temperature: float) -> Head:
    """Return the mean of the heads as one, calibrated, on features as they are."""
    found = [unscaled(head, scale) for head, scale in zip(heads, scales, strict=True)]
    share = 1 / (len(heads) * temperature)
    return Head(
        share * np.concatenate([head.weights for head in found]), share * np.sum([head.bias for head in found], axis=0)
    )
