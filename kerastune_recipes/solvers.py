"""Convex heads solved on frozen features by scikit-learn, and folded into the weights of one dense layer."""

import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

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
# The path from strong to weak is left when this many strengths in a row have not lowered the least loss so far by this
# share of it: the loss has one minimum, and towards weak strengths it is often flat.
PATIENCE, GAIN = 2, 0.005


# Raised whenever the same features and labels would be solved to another head: heads solved before are then not used.
PROTOCOL = 1


@dataclass(frozen=True)
class _Tried:
    """What cross-validation found for one strength.

    Args:
        strength: The L2 penalty.
        log_loss: On held-out images, nats.
        logits: float (n, k), each image's from the fold that held it out.
        coefficients: Mean over the folds, in scikit-learn's shape; a good start for all images together.
        intercepts: The same.
    """

    strength: float
    log_loss: float
    logits: np.ndarray
    coefficients: np.ndarray
    intercepts: np.ndarray


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
    final = _classifier(strength, SOLVING)
    # The products are thin (as wide as there are classes): more threads to each only wait for one another, and cost
    # 25 times the time where the cores are shared. The folds run side by side instead.
    with threadpool_limits(1, "blas"), warnings.catch_warnings():
        # A strength that does not converge within the bound is judged by its held-out loss like any other.
        warnings.simplefilter("ignore", ConvergenceWarning)
        if folds:
            tried = _cross_validate(compact, labels, strengths, folds, seed)
            losses = {one.strength: one.log_loss for one in tried}
            chosen = min(tried, key=lambda one: one.log_loss)
            strength, temperature = chosen.strength, _temperature(chosen.logits, labels)
            final = _classifier(strength, SOLVING, start=chosen)
        weights, bias = _solve(final, *_stacked(compact, labels))
    kernel = (weights if basis is None else basis @ weights) / deviation[:, None]
    return Solved(
        kernel=(kernel / temperature).astype(np.float32),
        bias=((bias - mean @ kernel) / temperature).astype(np.float32),
        strength=strength,
        temperature=temperature,
        log_loss_by_strength=losses,
    )


def _row_space(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Return coordinates and an orthonormal basis with `rows = coordinates @ basis.T`, or the rows and None.

    With an L2 penalty the solution lies in the span of the rows, so with fewer images than features the problem is
    exactly one of as many unknowns as there are images. Finding the basis pays from half as many on.
    """
    if 2 * rows.shape[0] > rows.shape[1]:
        return rows, None
    basis, triangle = np.linalg.qr(rows.T)
    return np.ascontiguousarray(triangle.T), basis


def _stacked(views: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return views.reshape(-1, views.shape[-1]), np.tile(labels, len(views))


def _classifier(strength: float, effort: dict[str, float], start: "_Tried | None" = None) -> LogisticRegression:
    classifier = LogisticRegression(C=1 / strength, warm_start=True, **effort)
    if start:
        classifier.coef_, classifier.intercept_ = start.coefficients, start.intercepts
    return classifier


def _solve(classifier: LogisticRegression, rows: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit, and return weights (d, k) and bias (k,), with one column for each class also where there are two."""
    classifier.fit(rows, labels)
    weights, bias = classifier.coef_.T, classifier.intercept_
    if weights.shape[1] == 1:
        return np.hstack([-weights / 2, weights / 2]), np.concatenate([-bias / 2, bias / 2])
    return weights, bias


def _cross_validate(
    views: np.ndarray, labels: np.ndarray, strengths: Sequence[float], folds: int, seed: int
) -> list[_Tried]:
    """Try strengths from strong to weak, each fold going on from where the strength before left it."""
    splits = list(StratifiedKFold(folds, shuffle=True, random_state=seed).split(labels, labels))
    training = [_stacked(views[:, train], labels[train]) for train, _ in splits]
    classifiers = [_classifier(strengths[0], CHOOSING) for _ in splits]
    tried: list[_Tried] = []
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for strength in strengths:
            for classifier in classifiers:
                classifier.C = 1 / strength
            logits = np.empty((len(labels), int(labels.max()) + 1))
            heads = threads.map(lambda classifier, rows: _solve(classifier, *rows), classifiers, training)
            for (weights, bias), (_, held) in zip(heads, splits, strict=True):
                logits[held] = views[0][held] @ weights + bias
            coefficients = np.mean([classifier.coef_ for classifier in classifiers], axis=0)
            intercepts = np.mean([classifier.intercept_ for classifier in classifiers], axis=0)
            tried.append(_Tried(strength, _log_loss(logits, labels), logits, coefficients, intercepts))
            if _no_longer_falls([one.log_loss for one in tried]):
                break
    return tried


def _no_longer_falls(losses: list[float]) -> bool:
    if len(losses) <= PATIENCE:
        return False
    return min(losses[-PATIENCE:]) > (1 - GAIN) * min(losses[:-PATIENCE])


def _log_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    return float(-log_softmax(logits, axis=1)[np.arange(len(labels)), labels].mean())


def _temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the temperature that gives held-out logits the smallest log loss."""
    found = minimize_scalar(lambda log_t: _log_loss(logits / np.exp(log_t), labels), bounds=(-2.5, 2.5))
    return float(np.exp(found.x))
