"""The classifiers: each learns from standardised features, and is linear in them, or in them and their squares."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from kerastune_recipes.solvers.rows import BLOCK, Rows


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


# From a strength, an effort and a head to start from to a head.
Solution = Callable[[float, Effort, Head | None], Head]


@dataclass(frozen=True)
class Classifier:
    """One way to learn a head.

    Args:
        learn: From the rows to learn from to what solves at a strength.
        closed: True where a solution takes no steps, and so costs little.
        squares: True where it looks at the squares of features too; then their axes matter.
        offsets: True where its probabilities need an offset for each class.
        scaled: True where it knows the scale of the features; then they are given to it as they come.
        sharpens: True where it is the surer the more images it has learnt from, so that a head that learnt from few
            tells little of the temperature of one that learnt from more.
    """

    learn: Callable[[Rows], Solution]
    closed: bool = False
    squares: bool = False
    offsets: bool = False
    scaled: bool = False
    sharpens: bool = False


def logits(head: Head, features: np.ndarray) -> np.ndarray:
    """Return logits (n, k) for features (n, d)."""
    width, weights = features.shape[1], head.weights.astype(features.dtype, copy=False)
    found = features @ weights[:width] + head.bias
    return found if len(weights) == width else found + np.square(features) @ weights[width:]


def _logistic_regression(rows: Rows) -> Solution:
    """Learn multinomial logistic regression; the strength is 1/C."""
    features, labels, weights = rows.flat()

    def solution(strength: float, effort: Effort, start: Head | None) -> Head:
        classifier = LogisticRegression(C=1 / strength, warm_start=True, tol=effort.tol, max_iter=effort.max_iter)
        if start:
            classifier.coef_, classifier.intercept_ = _as_scikit_learn(start)
        classifier.fit(features, labels, weights)
        return _from_scikit_learn(classifier.coef_, classifier.intercept_)

    return solution


def _as_scikit_learn(head: Head) -> tuple[np.ndarray, np.ndarray]:
    """Return coefficients (k, d) and intercepts (k,), with a single row where there are two classes."""
    if len(head.bias) == 2:
        return np.diff(head.weights).T, np.diff(head.bias)
    return head.weights.T, head.bias


def _from_scikit_learn(coefficients: np.ndarray, intercepts: np.ndarray) -> Head:
    if len(intercepts) == 1:
        return Head(np.hstack([-coefficients.T / 2, coefficients.T / 2]), np.append(-intercepts / 2, intercepts / 2))
    return Head(coefficients.T, intercepts)


def squared_hinge(raw: np.ndarray, sides: np.ndarray, shares: np.ndarray) -> tuple[np.floating, np.ndarray]:
    """Return the squared hinge loss of logits (n, k), and its slope (n, k).

    Args:
        raw: float (n, k).
        sides: float (n, k), 1 for the class of an image and -1 for the others.
        shares: float (n, 1), what each image weighs.
    """
    short = np.maximum(0, 1 - sides * raw)
    return (shares * np.square(short)).sum(), -2 * shares * sides * short


def _linear_svm(rows: Rows) -> Solution:
    """Learn to tell each class from all others with squared hinge loss; the strength is 1/C.

    The objective is that of LinearSVC but for its intercept, which liblinear penalises like a weight: with as many
    classes as there are here it should be near -1. All classes are solved at once, and warm-started, at a tenth of the
    time (benchmarks/heads.md).
    """
    features, labels, weights = rows.flat()
    classes = int(labels.max()) + 1
    sides = np.where(labels[:, None] == np.arange(classes), 1, -1).astype(np.float32)
    shares = (weights / weights.sum())[:, None]

    def solution(strength: float, effort: Effort, start: Head | None) -> Head:
        penalty = strength / float(weights.sum())

        def loss(found: np.ndarray) -> tuple[float, np.ndarray]:
            kernel, bias = np.split(found.astype(np.float32).reshape(-1, classes), [-1])
            value, error = squared_hinge(features @ kernel + bias, sides, shares)
            slope = np.concatenate([features.T @ error + penalty * kernel, error.sum(axis=0, keepdims=True)])
            return float(value + penalty / 2 * np.square(kernel).sum()), slope.ravel().astype(float)

        begin = np.vstack([start.weights, start.bias]) if start else np.zeros((features.shape[1] + 1, classes))
        found = minimize(
            loss,
            begin.ravel(),
            jac=True,
            method="L-BFGS-B",
            # The last as scikit-learn has it for logistic regression, whose efforts these are.
            options={"maxiter": effort.max_iter, "gtol": effort.tol, "ftol": 64 * np.finfo(float).eps},
        ).x.reshape(-1, classes)
        return Head(found[:-1].astype(np.float32), found[-1])

    return solution


def _naive_bayes(rows: Rows) -> Solution:
    """Learn Gaussian naive Bayes; the strength is scikit-learn's var_smoothing.

    It is added to every variance, as a share of the largest variance of a feature.
    """
    features, labels, weights = rows.flat()

    def solution(strength: float, effort: Effort, start: Head | None) -> Head:
        found = GaussianNB(var_smoothing=strength).fit(features, labels, weights)
        precisions = 1 / found.var_
        constant = np.log(found.class_prior_) + np.log(precisions).sum(axis=1) / 2
        # What all classes have in common cancels out, but not its rounding.
        squares = -(precisions - precisions.mean(axis=0)) / 2
        return Head(
            np.vstack([(found.theta_ * precisions).T, squares.T]),
            constant - (precisions * np.square(found.theta_)).sum(axis=1) / 2,
        )

    return solution


def _lda(rows: Rows) -> Solution:
    """Learn linear discriminant analysis; the strength is the shrinkage of the covariance, above 0 to 1.

    The same as scikit-learn's with solver "lsqr" and a number for `shrinkage`, whose target is a multiple of the
    identity; the covariance is found once for all strengths, and in the span of the rows where that is smaller.
    """
    features, labels, weights = rows.flat()
    sums = np.bincount(labels, weights)
    means = np.stack([features[labels == label].mean(axis=0, dtype=float) for label in range(len(sums))])
    covariance = np.zeros((features.shape[1],) * 2)
    for begin in range(0, len(features), BLOCK):
        block = slice(begin, begin + BLOCK)
        apart = features[block] - means[labels[block]]
        covariance += (weights[block, None] * apart).T @ apart
    covariance /= weights.sum()
    # With a single image of each class there is no spread within the classes: then the nearest mean wins.
    target = np.eye(len(covariance)) * (np.trace(covariance) / rows.width or 1.0)

    def solution(strength: float, effort: Effort, start: Head | None) -> Head:
        shrunk = (1 - strength) * covariance + strength * target
        kernel = solve(shrunk, means.T, assume_a="pos")
        bias = np.log(sums / sums.sum()) - np.einsum("kd,dk->k", means, kernel) / 2
        return Head(kernel.astype(np.float32), bias)

    return solution


CLASSIFIERS: Mapping[str, Classifier] = {
    "logistic_regression": Classifier(_logistic_regression),
    "linear_svm": Classifier(_linear_svm),
    "naive_bayes": Classifier(_naive_bayes, closed=True, squares=True, offsets=True),
    "lda": Classifier(_lda, closed=True, sharpens=True),
}
