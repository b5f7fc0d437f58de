"""Few labels and many unlabelled images: heads that label images for themselves, or for one another.

It works on cached features, so that a round costs one solution and no forward pass.
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
from sklearn.utils.class_weight import compute_sample_weight
from threadpoolctl import threadpool_limits

from kerastune_recipes.data.splits import NEVER_HELD_OUT
from kerastune_recipes.evaluation.judges import Judges
from kerastune_recipes.heads.calibration import Calibrator
from kerastune_recipes.heads.classifiers import CLASSIFIERS, to_raw
from kerastune_recipes.heads.cross_validation import ROUGH, cross_fit, make_folds
from kerastune_recipes.heads.dense import differences
from kerastune_recipes.heads.linear import Head, logits
from kerastune_recipes.heads.rows import LabelledFeatures, Rows, Scale, standardise
from kerastune_recipes.heads.solve import Solved
from kerastune_recipes.planning.plan import SolvePlan
from kerastune_recipes.spec.recipe_spec import PseudoLabelsSpec

# More unlabelled images are sampled down to this number: the rest costs time and changes the head little.
MANY_UNLABELLED = 2000
_SOLVER = CLASSIFIERS["logistic_regression"].solver


@dataclass(frozen=True)
class _Pool:
    """Labelled images and, after them, unlabelled ones.

    Args:
        features: Standardised features float32 (n + m, d): one array of all features for self-training, one for each
            backbone for co-training.
        labels: int (n,), of the labelled images.
        weights: float (n,), sample weight of each labelled image.
    """

    features: tuple[np.ndarray, ...]
    labels: np.ndarray
    weights: np.ndarray

    def without(self, left_out: np.ndarray) -> "_Pool":
        """Return the same without some of the labelled images, given as bool (n,)."""
        kept = np.append(~left_out, np.ones(len(self.features[0]) - len(left_out), bool))
        return _Pool(tuple(rows[kept] for rows in self.features), self.labels[~left_out], self.weights[~left_out])


def with_pseudo_labels(
    supervised: Solved, plan: SolvePlan, data: LabelledFeatures, unlabelled: np.ndarray, seed: int
) -> Solved:
    """Return a head that has learnt from unlabelled images too, or the supervised one where that is no better.

    In each round the heads label the unlabelled images; the most certain ones, an equal number of each class, and the
    labelled images train the next heads. That is self-training (Yarowsky 1995; Lee 2013, "Pseudo-label"), or
    co-training (Blum & Mitchell 1998) where the head of each backbone labels for the other. Cross-validation of the
    labelled images chooses the number of rounds of least log loss. The supervised head stays where the loss is not
    lower by more than a standard error, or fewer images are classified correctly.

    Args:
        supervised: The head solved on the labelled images, with every image held out once.
        plan: The plan of the head: its folds and its pseudo-labels.
        data: Features and labels of the labelled images, of which only the first view is used. `widths` are the numbers
            of features of each backbone, needed for co-training.
        unlabelled: float (m, d), features of the unlabelled images.
        seed: Random seed of the folds, and of the sample of unlabelled images.

    Returns:
        The head; its `judged_by` says what was done.

    Example:
        >>> centres = 3 * np.eye(2, 8)
        >>> data = LabelledFeatures(centres[None, [0, 1] * 4] + np.linspace(0, 1, 8)[:, None], np.array([0, 1] * 4))
        >>> plan = SolvePlan(
        ...     head="lda", strengths=(0.5,), folds=4, pseudo_labels=PseudoLabelsSpec(method="self_train")
        ... )
        >>> supervised = solve(plan, data, seed=0, every_image=True)
        >>> with_pseudo_labels(supervised, plan, data, centres[[0, 1] * 50], seed=0).kernel.shape
        (8, 2)
    """
    options = plan.pseudo_labels
    assert options is not None  # callers check
    features, labels = np.asarray(data.views[0]), data.labels
    folds = make_folds(labels, plan.folds, seed, data.groups)
    if folds is None:
        return _unchanged(supervised, "no class can be divided, so nothing can be cross-validated")
    used = np.sort(np.random.default_rng(seed).permutation(len(unlabelled))[:MANY_UNLABELLED])
    widths = (data.widths or ()) if options.method == "cotrain" else ()
    weights = compute_sample_weight("balanced" if plan.class_balance == "weights" else None, labels)
    scales, pool = _standardised(features, labels, weights, unlabelled[used], widths)
    fold = np.empty(len(labels), int)
    fold[folds.order] = folds.fold
    judges = np.flatnonzero(fold != NEVER_HELD_OUT)
    calibrator = Calibrator(labels, weights, offsets=False)
    judged = Judges(labels, weights, data.groups).select(judges)
    # BLAS threads do not speed up thin products; the folds run in parallel instead.
    with threadpool_limits(1, "blas"), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        raw = _held_out_logits(pool, options, fold)
        held_out = [cross_fit([each], fold, calibrator) for each in raw]
        before, *after = (calibrator.losses(np.log(each))[judges] for each in (supervised.held_out, *held_out))
        correct = [
            judged.mean(each[judges].argmax(axis=1) == judged.labels) for each in (supervised.held_out, *held_out)
        ]
        better = [
            at
            for at in range(options.rounds)
            if _clear_gain(judged, before - after[at]) and correct[at + 1] >= correct[0]
        ]
        best = min(better or range(options.rounds), key=lambda at: judged.mean(after[at]))
        figures = f"log loss {judged.mean(after[best]):.3f} against {judged.mean(before):.3f} without"
        if not better:
            return _unchanged(supervised, f"{options.method} did not help, {figures}")
        heads = next(islice(_rounds(pool, options), best, None))
    calibration, _ = calibrator.select(judges).fit(raw[best][judges])
    head = _mean_head(heads, scales, calibration.temperature)
    layer = Head(head.weights.astype(np.float32), head.bias.astype(np.float32))
    return replace(
        supervised,
        kernel=layer.weights,
        bias=layer.bias,
        centre=layer.centre,
        layer_differs=differences(lambda rows: logits(head, rows), layer, features),
        strength=options.strength,
        temperature=calibration.temperature,
        offsets=np.zeros_like(supervised.offsets),
        log_loss_by_strength={options.strength: judged.mean(after[best])},
        held_out=held_out[best],
        judged_by=(
            f"{fold.max() + 1}-fold cross-validation of {len(judged)} labelled images; {options.method} on {len(used)} "
            f"unlabelled ones, {best + 1} of {options.rounds} rounds, {figures}"
        ),
    )


def _clear_gain(judges: Judges, gains: np.ndarray) -> bool:
    """Return whether the mean gain in log loss (n,) exceeds one standard error (benchmarks/pages/unlabeled.md)."""
    return judges.mean(gains) > judges.standard_error(gains)


def _unchanged(supervised: Solved, why: str) -> Solved:
    return replace(supervised, judged_by=f"{supervised.judged_by}; unlabelled images not used: {why}")


def _standardised(
    features: np.ndarray, labels: np.ndarray, weights: np.ndarray, unlabelled: np.ndarray, widths: Sequence[int]
) -> tuple[list[Scale], _Pool]:
    """Standardise by all images: deviations over a few labelled ones are unreliable (benchmarks/pages/unlabeled.md)."""
    together = np.concatenate([features, unlabelled]).astype(np.float32)
    parts = np.split(together, np.cumsum(widths)[:-1], axis=1) if widths else [together]
    found = [standardise(part[None], np.arange(len(part))) for part in parts]
    return [scale for _, scale in found], _Pool(tuple(rows[:, 0] for rows, _ in found), labels, weights)


def _rounds(pool: _Pool, options: PseudoLabelsSpec) -> Iterator[list[Head]]:
    """Yield the heads after each round, one for each array of features."""
    labelled = len(pool.labels)
    heads = [_solve(rows[:labelled], pool.labels, pool.weights, options) for rows in pool.features]
    classes, count = len(heads[0].bias), len(pool.features[0]) - labelled
    for number in range(1, options.rounds + 1):
        per_class = max(1, round(options.share * count / classes * number / options.rounds))
        predictions = [
            softmax(logits(head, rows[labelled:]), axis=1) for head, rows in zip(heads, pool.features, strict=True)
        ]
        # Index -1 of one head is itself; of two heads, the other one.
        heads = [
            _retrained(rows, pool, predictions[at - 1], per_class, options) for at, rows in enumerate(pool.features)
        ]
        yield heads


def _retrained(
    rows: np.ndarray, pool: _Pool, predictions: np.ndarray, per_class: int, options: PseudoLabelsSpec
) -> Head:
    """Solve on the labelled images and the unlabelled ones that were predicted with most certainty."""
    chosen, labelled = _most_certain(predictions, per_class), len(pool.labels)
    return _solve(
        np.concatenate([rows[:labelled], rows[labelled:][chosen]]),
        np.concatenate([pool.labels, predictions[chosen].argmax(axis=1)]),
        np.concatenate([pool.weights, np.full(len(chosen), options.weight)]),
        options,
    )


def _most_certain(probabilities: np.ndarray, per_class: int) -> np.ndarray:
    """Return the images predicted with most certainty, at most `per_class` of each predicted class."""
    classes, certainty = probabilities.argmax(axis=1), probabilities.max(axis=1)
    order = np.argsort(-certainty, kind="stable")
    return np.concatenate([order[classes[order] == each][:per_class] for each in range(probabilities.shape[1])])


def _solve(features: np.ndarray, labels: np.ndarray, weights: np.ndarray, options: PseudoLabelsSpec) -> Head:
    rows = Rows(features[:, None], labels, weights.astype(np.float32), features.shape[1])
    return _SOLVER(rows)(options.strength, ROUGH, None)


def _held_out_logits(pool: _Pool, options: PseudoLabelsSpec, fold: np.ndarray) -> list[np.ndarray]:
    """Return logits (n, k) of the labelled images after each round, by heads that have not seen the image."""

    def of_fold(number: int) -> list[np.ndarray]:
        inside = fold == number
        held_out = [rows[: len(fold)][inside] for rows in pool.features]
        return [
            np.mean([logits(head, rows) for head, rows in zip(heads, held_out, strict=True)], axis=0)
            for heads in _rounds(pool.without(inside), options)
        ]

    numbers = range(fold.max() + 1)
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        by_fold = list(threads.map(of_fold, numbers))
    found = [np.zeros((len(fold), by_fold[0][0].shape[1])) for _ in range(options.rounds)]
    for number, rounds in zip(numbers, by_fold, strict=True):
        for whole, part in zip(found, rounds, strict=True):
            whole[fold == number] = part
    return found


def _mean_head(heads: Sequence[Head], scales: Sequence[Scale], temperature: float) -> Head:
    """Return one head on raw features: the mean of the heads, calibrated."""
    raw = [to_raw(head, scale) for head, scale in zip(heads, scales, strict=True)]
    share = 1 / (len(heads) * temperature)
    return Head(
        share * np.concatenate([head.weights for head in raw]), share * np.sum([head.bias for head in raw], axis=0)
    )
