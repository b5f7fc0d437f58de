"""Logistic regression drawn towards the classifier that a backbone was pretrained with, rather than towards zero."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from kerastune_recipes.solvers.classifiers import Classifier, Effort, Head, Solution, logits
from kerastune_recipes.solvers.rows import Rows, Scale, row_space

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


def _learn(start: Start, scale: Scale, rows: Rows) -> Solution:
    features, labels, weights = rows.flat()
    begin = _begin(start, scale, features, labels)
    # Standardised features times these are the features as they are, over one deviation.
    variances = np.square(scale.deviation) * np.einsum("nd,nd->d", features, features) / len(features)
    stretch = (scale.deviation / np.sqrt(variances.mean())).astype(np.float32)[:, None]
    columns, basis = row_space(features * stretch.T)
    known = logits(begin, features)
    right = np.eye(len(begin.bias), dtype=np.float32)[labels]
    shares = (weights / weights.sum())[:, None]

    def solution(strength: float, effort: Effort, nearby: Head | None) -> Head:
        penalty = strength / float(weights.sum())

        def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
            way = flat.astype(np.float32).reshape(-1, right.shape[1])
            log_probabilities = log_softmax(known + columns @ way[:-1] + way[-1], axis=1)
            error = shares * (np.exp(log_probabilities) - right)
            slope = np.vstack([columns.T @ error, error.sum(axis=0)]) + penalty * way
            value = -(shares * right * log_probabilities).sum() + penalty / 2 * np.square(way).sum()
            return float(value), slope.ravel().astype(float)

        way = np.zeros((columns.shape[1] + 1, right.shape[1])) if nearby is None else way_to(nearby)
        way = minimize(
            loss,
            way.ravel(),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": effort.max_iter, "gtol": effort.tol, "ftol": 64 * np.finfo(float).eps},
        ).x.reshape(way.shape)
        kernel = way[:-1] if basis is None else basis @ way[:-1]
        return Head(begin.weights + stretch * kernel.astype(np.float32), begin.bias + way[-1])

    def way_to(head: Head) -> np.ndarray:
        kernel = (head.weights - begin.weights) / stretch
        return np.vstack([kernel if basis is None else basis.T @ kernel, head.bias - begin.bias])

    return solution


def _begin(start: Start, scale: Scale, features: np.ndarray, labels: np.ndarray) -> Head:
    """Return the start on standardised features, with columns for the classes that it lacks.

    Such a column points from the mean of all classes to that of its own (Qi et al. 2018). On these images its logits
    have mean and deviation of those of the start's own columns, each class weighing the same.
    """
    lacking = np.isnan(start.bias)
    deviation = scale.deviation.astype(np.float32)
    means = np.stack([features[labels == label].mean(axis=0) for label in range(len(lacking))])
    apart = np.square(deviation) * (means - means.mean(axis=0))
    kernel = np.where(lacking, apart.T, start.kernel * deviation[:, None])
    bias = np.where(lacking, 0, start.bias + scale.mean @ np.nan_to_num(start.kernel))
    raw = logits(Head(kernel, bias), features)
    weights = 1 / np.bincount(labels)[labels]
    level = np.average(raw, axis=0, weights=weights)
    spread = np.sqrt(np.average(np.square(raw - level), axis=0, weights=weights)) + np.finfo(np.float32).tiny
    factor = np.where(lacking, spread[~lacking].mean() / spread, 1)
    bias = np.where(lacking, level[~lacking].mean() - factor * level, bias)
    return Head((kernel * factor).astype(np.float32), bias.astype(np.float32))
