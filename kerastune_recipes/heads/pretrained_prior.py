"""Logistic regression drawn towards the classifier that a backbone was pretrained with, rather than towards zero."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from kerastune_recipes.heads.classifiers import Classifier, Solution
from kerastune_recipes.heads.linear import Effort, Head, Term, cross_entropy, descend, logits
from kerastune_recipes.heads.rows import AnyRows, Rows, Scale, class_means, row_space

# What the choices below rest on is in benchmarks/reuse_head.md.


@dataclass(frozen=True)
class Start:
    """Columns of a classifier on unstandardised features.

    Args:
        kernel: float32 (d, k), NaN in the columns of classes that the classifier does not have.
        bias: float32 (k,), likewise.
    """

    kernel: np.ndarray
    bias: np.ndarray


def start(kernel: np.ndarray, bias: np.ndarray, wanted: Sequence[Sequence[int]]) -> Start:
    """Take columns out of a classifier.

    Args:
        kernel: float32 (d, c).
        bias: float32 (c,).
        wanted: For each class of the new head the columns whose mean it gets; none for a class of no column.

    Example:
        >>> start(np.eye(3, dtype=np.float32), np.zeros(3, np.float32), [[0], [], [1, 2]]).kernel[:, 2]
        array([0. , 0.5, 0.5], dtype=float32)
    """
    found = Start(np.full((len(kernel), len(wanted)), np.nan, np.float32), np.full(len(wanted), np.nan, np.float32))
    for number, columns in enumerate(map(list, wanted)):
        if columns:
            found.kernel[:, number] = kernel[:, columns].mean(axis=1)
            found.bias[number] = bias[columns].mean()
    return found


def drawn_to(start: Start, scale: Scale) -> Classifier:
    """Return logistic regression whose L2 penalty is on the way from a start.

    A start is that of the maximum a posteriori adaptation of Chelba and Acero 2004: at great strengths the head is the
    start, at small ones logistic regression. The penalty is measured in the features as they are, divided by one
    deviation for all, as they were when the start was learnt; features that hardly vary in a few images then cannot
    take over elsewhere.

    Args:
        start: Where the classes have columns.
        scale: What the features were standardised by.
    """
    return Classifier(lambda rows: _learn(start, scale, rows), scaled=True)


def _learn(start: Start, scale: Scale, rows: AnyRows) -> Solution:
    begin = _begin(start, scale, rows)
    # Standardised features times these are the features as they are, over one deviation.
    variances = np.square(scale.deviation) * _mean_squares(rows)
    stretch = (scale.deviation / np.sqrt(variances.mean())).astype(np.float32)[:, None]
    right, total = np.eye(rows.classes, dtype=np.float32), rows.views * float(rows.weights.sum())

    def terms() -> Iterator[Term]:
        for features, labels, weights in rows.blocks():
            shares = weights[:, None] / np.float32(total)
            yield Term(features * stretch.T, right[labels], shares, known=logits(begin, features))

    ways, basis = _in_span(terms()) if isinstance(rows, Rows) else (terms, None)

    def solution(strength: float, effort: Effort, nearby: Head | None) -> Head:
        way = Head(np.zeros((rows.columns if basis is None else basis.shape[1], rows.classes)), np.zeros(rows.classes))
        if nearby is not None:
            way = way_to(nearby)
        way = descend(cross_entropy, ways, way, strength / total, effort, penalised_bias=True)
        kernel = way.weights if basis is None else basis @ way.weights
        return Head(begin.weights + stretch * kernel, begin.bias + way.bias)

    def way_to(head: Head) -> Head:
        kernel = (head.weights - begin.weights) / stretch
        return Head(kernel if basis is None else basis.T @ kernel, head.bias - begin.bias)

    return solution


def _in_span(terms: Iterable[Term]) -> tuple[Callable[[], Iterable[Term]], np.ndarray | None]:
    """Return a single term, in the span of its rows where that is smaller, and the basis of the span."""
    (term,) = terms
    columns, basis = row_space(term.features)
    found = [replace(term, features=columns)]
    return lambda: found, basis


def _mean_squares(rows: AnyRows) -> np.ndarray:
    """Return the mean square of each feature, float (d,)."""
    sums = sum(np.einsum("nd,nd->d", features, features) for features, _, _ in rows.blocks())
    return np.asarray(sums, float) / (rows.views * len(rows.labels))


def _begin(start: Start, scale: Scale, rows: AnyRows) -> Head:
    """Return the start on standardised features, with columns for the classes that it lacks.

    Such a column points from the mean of all classes to that of its own (Qi et al. 2018). On these images its logits
    have mean and deviation of those of the start's own columns, each class weighing the same.
    """
    lacking = np.isnan(start.bias)
    deviation = scale.deviation.astype(np.float32)
    means = class_means(rows)
    apart = np.square(deviation) * (means - means.mean(axis=0))
    kernel = np.where(lacking, apart.T, start.kernel * deviation[:, None])
    bias = np.where(lacking, 0, start.bias + scale.mean @ np.nan_to_num(start.kernel))
    level, spread = _level_and_spread(Head(kernel, bias), rows)
    factor = np.where(lacking, spread[~lacking].mean() / spread, 1)
    bias = np.where(lacking, level[~lacking].mean() - factor * level, bias)
    return Head((kernel * factor).astype(np.float32), bias.astype(np.float32))


def _level_and_spread(head: Head, rows: AnyRows) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and deviation of the logits of each class (k,), over images of which each class weighs the same."""
    each = 1 / (rows.classes * rows.views * np.bincount(rows.labels))
    sums = np.zeros((2, len(head.bias)))
    for features, labels, _ in rows.blocks():
        raw = logits(head, features).astype(float)
        sums += each[labels] @ raw, each[labels] @ np.square(raw)
    level, squares = sums
    return level, np.sqrt(np.maximum(squares - np.square(level), 0)) + np.finfo(np.float32).tiny
