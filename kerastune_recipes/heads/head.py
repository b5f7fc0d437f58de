"""A head while it is being solved, and how far a solution goes."""

from dataclasses import dataclass

import numpy as np


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
