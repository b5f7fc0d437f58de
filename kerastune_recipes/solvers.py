"""Convex heads solved on frozen features by scikit-learn, and folded into the weights of one dense layer."""

import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_limits

# While choosing among strengths, a rough solution tells which is better; the chosen one is then solved to the end.
CHOOSING = {"tol": 1e-3, "max_iter": 100}
SOLVING = {"tol": 1e-4, "max_iter": 1000}
# The path from strong to weak is left when the loss has risen this often in a row: it has one minimum.
RISES = 2


@dataclass(frozen=True)
class Solved:
    """A head as the weights of a dense layer on unstandardised features.

    Args:
        kernel: float32 (d, k).
        bias: float32 (k,).
        strength: The L2 penalty chosen, 1/C in scikit-learn's terms.
        temperature: What the logits were divided by, so that probabilities match held-out frequencies.
        log_loss_by_strength: Cross-validated log loss (nats) of each strength tried; empty where none was.
    """

    kernel: np.ndarray
    bias: np.ndarray
    strength: float
    temperature: float
    log_loss_by_strength: dict[float, float]

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Return class probabilities (n, k) for features (n, d)."""
        return np.exp(log_softmax(features @ self.kernel + self.bias, axis=-1))


def logistic_regression(
    views: np.ndarray, labels: np.ndarray, strengths: Sequence[float], folds: int, seed: int
) -> Solved:
    """Solve multinomial logistic regression on standardised features.

    The strength is chosen by cross-validated log loss, and the temperature (Guo et al. 2017) on the same held-out
    logits. All views of an image stay in one fold, and only the image itself is used to judge.

    Args:
        views: float (v, n, d), features of each view of each image, the image itself first.
        labels: int (n,), every class present.
        strengths: Candidate L2 penalties, strong to weak.
        folds: Cross-validation folds, 0 for none; then there is one strength and no calibration.
        seed: Of the folds.

    Returns:
        The head. Protocol after Kornblith et al. 2019: L-BFGS, warm-started along the path.

    Example:
        >>> solved = logistic_regression(features[None], labels, strengths=(100.0, 10.0, 1.0), folds=5, seed=0)
    """
    count, images, width = views.shape
    rows = views.reshape(count * images, width).astype(np.float32, copy=False)
    mean, deviation = rows.mean(axis=0), rows.std(axis=0)
    deviation[deviation < 1e-6] = 1.0  # a feature that never changes tells nothing and must not be divided by 0
    compact, basis = _row_space((rows - mean) / deviation)
    compact = compact.reshape(count, images, -1)
    losses: dict[float, float] = {}
    strength, temperature = strengths[0], 1.0
    # The products are thin (as wide as there are classes): more threads to each only wait for one another, and cost
    # 25 times the time where the cores are shared. The folds run side by side instead.
    with threadpool_limits(1, "blas"), warnings.catch_warnings():
        # A strength that does not converge within the bound is judged by its held-out loss like any other.
        warnings.simplefilter("ignore", ConvergenceWarning)
        if folds:
            losses, held_out = _cross_validate(compact, labels, strengths, folds, seed)
            strength = min(losses, key=lambda tried: losses[tried])
            temperature = _temperature(held_out[strength], labels)
        weights, bias = _solve(_classifier(strength, SOLVING), *_stacked(compact, labels))
    kernel = (basis @ weights) / deviation[:, None]
    return Solved(
        kernel=(kernel / temperature).astype(np.float32),
        bias=((bias - mean @ kernel) / temperature).astype(np.float32),
        strength=strength,
        temperature=temperature,
        log_loss_by_strength=losses,
    )


def _row_space(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return coordinates and an orthonormal basis with `rows = coordinates @ basis.T`.

    With an L2 penalty the solution lies in the span of the rows, so with fewer images than features the problem is
    exactly one of as many unknowns as there are images.
    """
    if rows.shape[0] >= rows.shape[1]:
        return rows, np.eye(rows.shape[1], dtype=rows.dtype)
    basis, triangle = np.linalg.qr(rows.T)
    return np.ascontiguousarray(triangle.T), basis


def _stacked(views: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return views.reshape(-1, views.shape[-1]), np.tile(labels, len(views))


def _classifier(strength: float, effort: dict[str, float]) -> LogisticRegression:
    return LogisticRegression(C=1 / strength, warm_start=True, **effort)


def _solve(classifier: LogisticRegression, rows: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit, and return weights (d, k) and bias (k,), with one column for each class also where there are two."""
    classifier.fit(rows, labels)
    weights, bias = classifier.coef_.T, classifier.intercept_
    if weights.shape[1] == 1:
        return np.hstack([-weights / 2, weights / 2]), np.concatenate([-bias / 2, bias / 2])
    return weights, bias


def _cross_validate(
    views: np.ndarray, labels: np.ndarray, strengths: Sequence[float], folds: int, seed: int
) -> tuple[dict[float, float], dict[float, np.ndarray]]:
    """Return the held-out log loss and the held-out logits (n, k) of each strength tried."""
    splits = list(StratifiedKFold(folds, shuffle=True, random_state=seed).split(labels, labels))
    training = [_stacked(views[:, train], labels[train]) for train, _ in splits]
    classifiers = [_classifier(strengths[0], CHOOSING) for _ in splits]
    losses: dict[float, float] = {}
    logits: dict[float, np.ndarray] = {}
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for strength in strengths:
            for classifier in classifiers:
                classifier.C = 1 / strength
            logits[strength] = np.empty((len(labels), int(labels.max()) + 1))
            heads = threads.map(lambda classifier, rows: _solve(classifier, *rows), classifiers, training)
            for (weights, bias), (_, held) in zip(heads, splits, strict=True):
                logits[strength][held] = views[0][held] @ weights + bias
            losses[strength] = _log_loss(logits[strength], labels)
            if _has_risen(list(losses.values())):
                break
    return losses, logits


def _has_risen(losses: list[float]) -> bool:
    recent = losses[-RISES - 1 :]
    return len(recent) > RISES and all(later > earlier for earlier, later in pairwise(recent))


def _log_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    return float(-log_softmax(logits, axis=1)[np.arange(len(labels)), labels].mean())


def _temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the temperature that gives held-out logits the smallest log loss."""
    found = minimize_scalar(lambda log_t: _log_loss(logits / np.exp(log_t), labels), bounds=(-2.5, 2.5))
    return float(np.exp(found.x))
