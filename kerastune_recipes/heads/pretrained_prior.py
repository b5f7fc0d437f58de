"""Logistic regression whose prior is the classifier that a backbone was pretrained with, instead of zero."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from kerastune_recipes.heads.classifiers import Classifier, Solver
from kerastune_recipes.heads.linear import Head, LBFGSOptions, LossTerm, cross_entropy, fit_lbfgs, logits
from kerastune_recipes.heads.rows import AnyRows, Rows, Scale, class_means, row_space

# The measurements behind the choices below are in benchmarks/pages/reuse_head.md.


@dataclass(frozen=True)
class Start:
    """Columns of a classifier on raw features.

    Args:
        kernel: float32 (d, k), NaN in the columns of classes that the classifier does not have.
        bias: float32 (k,), likewise.
    """

    kernel: np.ndarray
    bias: np.ndarray


def start(kernel: np.ndarray, bias: np.ndarray, columns: Sequence[Sequence[int]]) -> Start:
    """Take columns out of a classifier.

    Args:
        kernel: float32 (d, c).
        bias: float32 (c,).
        columns: For each class of the new head, the columns whose mean it starts from; empty for a class without one.

    Example:
        >>> start(np.eye(3, dtype=np.float32), np.zeros(3, np.float32), [[0], [], [1, 2]]).kernel[:, 2]
        array([0. , 0.5, 0.5], dtype=float32)
    """
    found = Start(np.full((len(kernel), len(columns)), np.nan, np.float32), np.full(len(columns), np.nan, np.float32))
    for number, chosen in enumerate(map(list, columns)):
        if chosen:
            found.kernel[:, number] = kernel[:, chosen].mean(axis=1)
            found.bias[number] = bias[chosen].mean()
    return found


def prior_classifier(start: Start, scale: Scale) -> Classifier:
    """Return logistic regression with an L2 penalty on the distance from a start.

    This is the maximum a posteriori adaptation of Chelba and Acero 2004: at large strengths the head equals the start,
    at small ones plain logistic regression. The distance is measured on raw features divided by one common deviation,
    the scale on which the start was learnt; features that hardly vary in a few images then cannot dominate on others.

    Args:
        start: The columns to start from; at least one class has one.
        scale: Scale of the standardised features.
    """
    return Classifier(lambda rows: _solver(start, scale, rows), knows_scale=True)


def _solver(start: Start, scale: Scale, rows: AnyRows) -> Solver:
    initial = _initial_head(start, scale, rows)
    # Standardised features times this factor are the raw features over one common deviation.
    variances = np.square(scale.deviation) * _mean_squares(rows)
    factor = (scale.deviation / np.sqrt(variances.mean())).astype(np.float32)[:, None]
    one_hot, total = np.eye(rows.classes, dtype=np.float32), rows.views * float(rows.weights.sum())

    def terms() -> Iterator[LossTerm]:
        for features, labels, sample_weights in rows.blocks():
            weights = sample_weights[:, None] / np.float32(total)
            yield LossTerm(features * factor.T, one_hot[labels], weights, base_logits=logits(initial, features))

    terms_of_update, basis = _in_span(terms()) if isinstance(rows, Rows) else (terms, None)

    def solver(strength: float, options: LBFGSOptions, nearby: Head | None) -> Head:
        columns = rows.columns if basis is None else basis.shape[1]
        update = Head(np.zeros((columns, rows.classes)), np.zeros(rows.classes))
        if nearby is not None:
            update = update_to(nearby)
        update = fit_lbfgs(cross_entropy, terms_of_update, update, strength / total, options, penalise_bias=True)
        kernel = update.weights if basis is None else basis @ update.weights
        return Head(initial.weights + factor * kernel, initial.bias + update.bias)

    def update_to(head: Head) -> Head:
        kernel = (head.weights - initial.weights) / factor
        return Head(kernel if basis is None else basis.T @ kernel, head.bias - initial.bias)

    return solver


def _in_span(terms: Iterable[LossTerm]) -> tuple[Callable[[], Iterable[LossTerm]], np.ndarray | None]:
    """Return a single term in the span of its rows, where that is smaller, and the basis of the span."""
    (term,) = terms
    coordinates, basis = row_space(term.features)
    found = [replace(term, features=coordinates)]
    return lambda: found, basis


def _mean_squares(rows: AnyRows) -> np.ndarray:
    """Return the mean square of each feature, float (d,)."""
    sums = sum(np.einsum("nd,nd->d", features, features) for features, _, _ in rows.blocks())
    return np.asarray(sums, float) / (rows.views * len(rows.labels))


def _initial_head(start: Start, scale: Scale, rows: AnyRows) -> Head:
    """Return the start on standardised features, with columns for the classes that it lacks.

    Such a column points from the mean of all classes to the mean of its own (Qi et al. 2018). On these images its
    logits have the mean and deviation of those of the start's own columns, with every class weighted equally.
    """
    lacking = np.isnan(start.bias)
    deviation = scale.deviation.astype(np.float32)
    means = class_means(rows)
    directions = np.square(deviation) * (means - means.mean(axis=0))
    kernel = np.where(lacking, directions.T, start.kernel * deviation[:, None])
    bias = np.where(lacking, 0, start.bias + scale.mean @ np.nan_to_num(start.kernel))
    mean, spread = _mean_and_deviation(Head(kernel, bias), rows)
    factor = np.where(lacking, spread[~lacking].mean() / spread, 1)
    bias = np.where(lacking, mean[~lacking].mean() - factor * mean, bias)
    return Head((kernel * factor).astype(np.float32), bias.astype(np.float32))


def _mean_and_deviation(head: Head, rows: AnyRows) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and deviation (k,) of each column's logits over the images, with every class weighted equally."""
    weights = 1 / (rows.classes * rows.views * np.bincount(rows.labels))
    sums = np.zeros((2, len(head.bias)))
    for features, labels, _ in rows.blocks():
        raw = logits(head, features).astype(float)
        sums += weights[labels] @ raw, weights[labels] @ np.square(raw)
    mean, squares = sums
    return mean, np.sqrt(np.maximum(squares - np.square(mean), 0)) + np.finfo(np.float32).tiny
