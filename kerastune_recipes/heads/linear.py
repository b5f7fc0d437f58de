"""Heads trained by gradient: what each is to make small, and L-BFGS, which makes it so."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

# From logits (n, k), classes (n, k) as 0 and 1, and shares (n, 1) of the rows to a loss and its slope (n, k).
Objective = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.floating, np.ndarray]]


@dataclass(frozen=True)
class Head:
    """Weights (d, k), or (2 d, k) for features and their squares, and bias (k,), one column for each class."""

    weights: np.ndarray
    bias: np.ndarray


@dataclass(frozen=True)
class Effort:
    """Bounds on the work of L-BFGS.

    Args:
        tol: It ends where no slope of the mean loss is greater.
        max_iter: It ends after so many steps.
    """

    tol: float
    max_iter: int


def logits(head: Head, features: np.ndarray) -> np.ndarray:
    """Return logits (n, k) for features (n, d)."""
    width, weights = features.shape[1], head.weights.astype(features.dtype, copy=False)
    found = features @ weights[:width] + head.bias
    return found if len(weights) == width else found + np.square(features) @ weights[width:]


@dataclass(frozen=True)
class Term:
    """Some of the rows to learn from.

    Args:
        features: float32 (m, d).
        right: float32 (m, k), 1 for the class of a row and 0 for the others.
        shares: float32 (m, 1), what each row weighs; those of all rows add up to 1.
        known: float32 (m, k), logits that are added to those of the head, if any.
    """

    features: np.ndarray
    right: np.ndarray
    shares: np.ndarray
    known: np.ndarray | None = None


def descend(
    objective: Objective,
    terms: Callable[[], Iterable[Term]],
    begin: Head,
    penalty: float,
    effort: Effort,
    *,
    penalised_bias: bool = False,
) -> Head:
    """Return the head that makes an objective, and half of the penalty times the squared weights, as small as may be.

    Args:
        objective: What is added up over the rows.
        terms: Gives all rows, some at a time, and is asked for them once for each step.
        begin: Where to begin.
        penalty: On the weights.
        effort: How far to go.
        penalised_bias: The penalty is on the bias too.
    """
    shape = (len(begin.weights) + 1, len(begin.bias))
    bound = shape[0] if penalised_bias else -1

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        found = flat.astype(np.float32).reshape(shape)
        value, slope = penalty / 2 * float(np.square(found[:bound]).sum()), np.zeros(shape, np.float32)
        slope[:bound] = penalty * found[:bound]
        for term in terms():
            raw = term.features @ found[:-1] + found[-1]
            part, error = objective(raw if term.known is None else raw + term.known, term.right, term.shares)
            value += float(part)
            slope[:-1] += term.features.T @ error
            slope[-1] += error.sum(axis=0)
        return value, slope.ravel().astype(float)

    found = minimize(
        loss,
        np.vstack([begin.weights, begin.bias]).ravel(),
        jac=True,
        method="L-BFGS-B",
        # The last as scikit-learn has it for logistic regression, whose efforts these are.
        options={"maxiter": effort.max_iter, "gtol": effort.tol, "ftol": 64 * np.finfo(float).eps},
    ).x.reshape(shape)
    return Head(found[:-1].astype(np.float32), found[-1])


def cross_entropy(raw: np.ndarray, right: np.ndarray, shares: np.ndarray) -> tuple[np.floating, np.ndarray]:
    """Return the cross-entropy of softmax and its slope, see `Objective`."""
    log_probabilities = log_softmax(raw, axis=1)
    return -(shares * right * log_probabilities).sum(), shares * (np.exp(log_probabilities) - right)


def squared_hinge(raw: np.ndarray, right: np.ndarray, shares: np.ndarray) -> tuple[np.floating, np.ndarray]:
    """Return the squared hinge loss of each class against all others and its slope, see `Objective`."""
    sides = 2 * right - 1
    short = np.maximum(0, 1 - sides * raw)
    return (shares * np.square(short)).sum(), -2 * shares * sides * short
