"""Linear heads trained by L-BFGS, and the losses that they minimise."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

# From logits (n, k), one-hot targets (n, k) and row weights (n, 1) to the loss and its gradient (n, k).
LossFunction = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.floating, np.ndarray]]


@dataclass(frozen=True)
class Head:
    """Weights and bias, one column for each class.

    Args:
        weights: (d, k), or (2 d, k) for features and their squares.
        bias: (k,).
        centre: (d,), subtracted from features before they are squared or multiplied; empty for zero.
    """

    weights: np.ndarray
    bias: np.ndarray
    centre: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))


@dataclass(frozen=True)
class LBFGSOptions:
    """Stopping rules of L-BFGS.

    Args:
        tol: Stop when no component of the gradient of the mean loss is larger.
        max_iter: Maximum number of iterations.
    """

    tol: float
    max_iter: int


def logits(head: Head, features: np.ndarray) -> np.ndarray:
    """Return logits (n, k) for features (n, d)."""
    width, weights = features.shape[1], head.weights.astype(features.dtype, copy=False)
    if len(head.centre):
        features = features - head.centre.astype(features.dtype, copy=False)
    found = features @ weights[:width] + head.bias
    return found if len(weights) == width else found + np.square(features) @ weights[width:]


@dataclass(frozen=True)
class LossTerm:
    """A block of rows, one term of the loss.

    Args:
        features: float32 (m, d).
        targets: float32 (m, k), one-hot.
        weights: float32 (m, 1), weight of each row; over all rows they add up to 1.
        base_logits: float32 (m, k), logits added to those of the head; None for none.
    """

    features: np.ndarray
    targets: np.ndarray
    weights: np.ndarray
    base_logits: np.ndarray | None = None


def fit_lbfgs(
    objective: LossFunction,
    terms: Callable[[], Iterable[LossTerm]],
    start: Head,
    penalty: float,
    options: LBFGSOptions,
    *,
    penalise_bias: bool = False,
) -> Head:
    """Return the head that minimises the objective plus penalty / 2 times the squared weights.

    Args:
        objective: The loss, added up over the rows.
        terms: Returns all rows, block by block; called once for each evaluation of the loss.
        start: Head to start from.
        penalty: L2 penalty on the weights, against the mean loss.
        options: When to stop.
        penalise_bias: Penalise the bias too.
    """
    shape = (len(start.weights) + 1, len(start.bias))
    penalised = shape[0] if penalise_bias else -1

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        current = flat.astype(np.float32).reshape(shape)
        value, gradient = penalty / 2 * float(np.square(current[:penalised]).sum()), np.zeros(shape, np.float32)
        gradient[:penalised] = penalty * current[:penalised]
        for term in terms():
            raw = term.features @ current[:-1] + current[-1]
            summed = raw if term.base_logits is None else raw + term.base_logits
            part, error = objective(summed, term.targets, term.weights)
            value += float(part)
            gradient[:-1] += term.features.T @ error
            gradient[-1] += error.sum(axis=0)
        return value, gradient.ravel().astype(float)

    found = minimize(
        loss,
        np.vstack([start.weights, start.bias]).ravel(),
        jac=True,
        method="L-BFGS-B",
        # ftol has the value of scikit-learn's LogisticRegression.
        options={"maxiter": options.max_iter, "gtol": options.tol, "ftol": 64 * np.finfo(float).eps},
    ).x.reshape(shape)
    return Head(found[:-1].astype(np.float32), found[-1])


def cross_entropy(raw: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> tuple[np.floating, np.ndarray]:
    """Return the cross-entropy of the softmax and its gradient, see `LossFunction`."""
    log_probabilities = log_softmax(raw, axis=1)
    return -(weights * targets * log_probabilities).sum(), weights * (np.exp(log_probabilities) - targets)


def squared_hinge(raw: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> tuple[np.floating, np.ndarray]:
    """Return the squared hinge loss of each class against all others and its gradient, see `LossFunction`."""
    signs = 2 * targets - 1
    violation = np.maximum(0, 1 - signs * raw)
    return (weights * np.square(violation)).sum(), -2 * weights * signs * violation
