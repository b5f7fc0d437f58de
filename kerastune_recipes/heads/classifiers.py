"""The classifiers: each learns from standardised features; its logits are linear in them, or in their squares too."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import solve
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.preprocessing import StandardScaler

from kerastune_recipes.heads.linear import (
    Head,
    LBFGSOptions,
    LossFunction,
    LossTerm,
    cross_entropy,
    fit_lbfgs,
    squared_hinge,
)
from kerastune_recipes.heads.rows import BLOCK, AnyRows, Rows, Scale, blocks, class_means, row_space

# Fits a head: from a strength, stopping rules and a head to start from.
Solver = Callable[[float, LBFGSOptions, Head | None], Head]


@dataclass(frozen=True)
class Classifier:
    """How a head is learnt.

    Args:
        solver: From the training rows to their solver.
        closed_form: Solved without iterations, so that a solution costs little.
        squares: Uses the squares of the features too; then the axes of the features matter.
        needs_offsets: Its calibration needs an offset for each class.
        knows_scale: It standardises by itself, and is given features unchanged.
        confidence_grows: It is more confident the more images it has learnt from, so that the temperature of a head
            trained on few images does not suit one trained on many.
    """

    solver: Callable[[AnyRows], Solver]
    closed_form: bool = False
    squares: bool = False
    needs_offsets: bool = False
    knows_scale: bool = False
    confidence_grows: bool = False


def _logistic_regression(rows: AnyRows) -> Solver:
    """Multinomial logistic regression; the strength is 1/C.

    scikit-learn's, which needs all rows in memory; for rows in a file, L-BFGS on the same loss.
    """
    if not isinstance(rows, Rows):
        return _by_gradient(cross_entropy, penalise_difference=True)(rows)
    features, labels, weights = rows.flat()

    def solver(strength: float, options: LBFGSOptions, start: Head | None) -> Head:
        classifier = LogisticRegression(C=1 / strength, warm_start=True, tol=options.tol, max_iter=options.max_iter)
        if start:
            classifier.coef_, classifier.intercept_ = _to_scikit_learn(start)
        classifier.fit(features, labels, weights)
        return _from_scikit_learn(classifier.coef_, classifier.intercept_)

    return solver


def _to_scikit_learn(head: Head) -> tuple[np.ndarray, np.ndarray]:
    """Return coefficients (k, d) and intercepts (k,), with a single row for two classes."""
    if len(head.bias) == 2:
        return np.diff(head.weights).T, np.diff(head.bias)
    return head.weights.T, head.bias


def _from_scikit_learn(coefficients: np.ndarray, intercepts: np.ndarray) -> Head:
    if len(intercepts) == 1:
        return Head(np.hstack([-coefficients.T / 2, coefficients.T / 2]), np.append(-intercepts / 2, intercepts / 2))
    return Head(coefficients.T, intercepts)


def _by_gradient(objective: LossFunction, penalise_difference: bool = False) -> Callable[[AnyRows], Solver]:
    """Return a learner that minimises a loss by L-BFGS; the strength is 1/C.

    Args:
        objective: The loss.
        penalise_difference: With two classes, penalise only the difference of their weights, as scikit-learn does for
            logistic regression.
    """

    def solver_of(rows: AnyRows) -> Solver:
        classes = rows.classes
        one_hot, total = np.eye(classes, dtype=np.float32), rows.views * float(rows.weights.sum())
        factor = 2 if penalise_difference and classes == 2 else 1

        def terms() -> Iterator[LossTerm]:
            for features, labels, weights in rows.blocks():
                yield LossTerm(features, one_hot[labels], weights[:, None] / np.float32(total))

        def solver(strength: float, options: LBFGSOptions, start: Head | None) -> Head:
            begin = start or Head(np.zeros((rows.columns, classes)), np.zeros(classes))
            return fit_lbfgs(objective, terms, begin, factor * strength / total, options)

        return solver

    return solver_of


def _naive_bayes(rows: AnyRows) -> Solver:
    """Gaussian naive Bayes; the strength is scikit-learn's var_smoothing.

    That share of the largest variance of a feature is added to every variance.
    """
    bayes, scaler = GaussianNB(var_smoothing=0), StandardScaler()
    for features, labels, weights in rows.blocks():
        bayes.partial_fit(features, labels, np.arange(rows.classes), weights)
        scaler.partial_fit(features)

    def solver(strength: float, options: LBFGSOptions, start: Head | None) -> Head:
        precisions = 1 / (bayes.var_ + strength * scaler.var_.max())
        constant = np.log(bayes.class_prior_) + np.log(precisions).sum(axis=1) / 2
        # A term common to all classes cancels out, but its rounding error does not.
        squares = -(precisions - precisions.mean(axis=0)) / 2
        return Head(
            np.vstack([(bayes.theta_ * precisions).T, squares.T]),
            constant - (precisions * np.square(bayes.theta_)).sum(axis=1) / 2,
        )

    return solver


def _lda(rows: AnyRows) -> Solver:
    """Linear discriminant analysis; the strength is the shrinkage of the covariance, above 0 to 1.

    Equals scikit-learn's with solver "lsqr" and a number for `shrinkage`, whose target is a multiple of the identity.
    The covariance is computed once for all strengths, and in the span of the rows where that is smaller.
    """
    means, covariance = class_means(rows), np.zeros((rows.columns,) * 2)
    for features, labels, weights in rows.blocks():
        for begin in range(0, len(features), BLOCK):
            block = slice(begin, begin + BLOCK)
            deviations = features[block] - means[labels[block]]
            covariance += (weights[block, None] * deviations).T @ deviations
    sums = np.bincount(rows.labels, rows.weights)
    covariance /= rows.views * sums.sum()
    # With one image per class the spread within classes is zero; then the nearest mean wins.
    target = np.eye(len(covariance)) * (np.trace(covariance) / rows.width or 1.0)

    def solver(strength: float, options: LBFGSOptions, start: Head | None) -> Head:
        shrunk = (1 - strength) * covariance + strength * target
        kernel = solve(shrunk, means.T, assume_a="pos")
        bias = np.log(sums / sums.sum()) - np.einsum("kd,dk->k", means, kernel) / 2
        return Head(kernel.astype(np.float32), bias)

    return solver


# The SVM has the objective of LinearSVC, except that liblinear penalises the intercept like a weight: with the number
# of classes here it should be near -1. All classes are solved together and warm-started, in a tenth of the time
# (benchmarks/pages/heads.md).
CLASSIFIERS: Mapping[str, Classifier] = {
    "logistic_regression": Classifier(_logistic_regression),
    "linear_svm": Classifier(_by_gradient(squared_hinge)),
    "naive_bayes": Classifier(_naive_bayes, closed_form=True, squares=True, needs_offsets=True),
    "lda": Classifier(_lda, closed_form=True, confidence_grows=True),
}


def solver_for(classifier: Classifier, rows: Rows) -> Solver:
    """Return the solver on standardised images; it works in the span of their rows where that is smaller.

    Args:
        classifier: The classifier. The span is used only where the axes of the features do not matter to it.
        rows: The images.
    """
    if classifier.squares or classifier.knows_scale:
        return classifier.solver(rows)
    flat, _, _ = rows.flat()
    coordinates, basis = row_space(flat)
    if basis is None:
        return classifier.solver(rows)
    solver = classifier.solver(replace(rows, features=coordinates.reshape(*rows.features.shape[:2], -1)))

    def in_span(strength: float, options: LBFGSOptions, start: Head | None) -> Head:
        begin = Head(basis.T @ start.weights, start.bias) if start else None
        head = solver(strength, options, begin)
        return Head(basis @ head.weights, head.bias)

    return in_span


def restandardising_solver(classifier: Classifier, rows: Rows) -> Solver:
    """Return the solver on images that are first standardised by themselves.

    Held-out images then have no influence on the scale, which would leak information about a feature that varies only
    in them.

    Args:
        classifier: The classifier.
        rows: The images; changed in place, so give a copy. The heads are for features as they were before.
    """
    if classifier.knows_scale:
        return classifier.solver(rows)
    flat, _, _ = rows.flat()
    scale = Scale.of(blocks(flat))
    scale.apply(flat)
    solver = solver_for(classifier, rows)

    def on_unscaled(strength: float, options: LBFGSOptions, start: Head | None) -> Head:
        begin = None if classifier.closed_form or start is None else to_standardised(start, scale)
        return to_raw(solver(strength, options, begin), scale)

    return on_unscaled


def to_standardised(head: Head, scale: Scale) -> Head:
    """Return the head on standardised features that equals a linear head on raw features."""
    return Head(head.weights * scale.deviation[:, None], head.bias + scale.mean @ head.weights)


def to_raw(head: Head, scale: Scale, dtype: type = float) -> Head:
    """Return the head on raw features that equals a head on standardised features.

    The terms of a feature and its square are large against their sum where its mean is many deviations from zero. So
    the linear term is computed from the rounded square term, and the bias from both rounded terms.

    Args:
        head: Weights (d, k) or (2 d, k), and bias.
        scale: Scale of the d features.
        dtype: Of the weights.
    """
    mean, deviation = scale.mean[:, None], scale.deviation[:, None]
    linear, squares = np.split(head.weights, [len(mean)])
    parts, linear, bias = [], linear / deviation, head.bias
    if len(squares):
        squares = (squares / np.square(deviation)).astype(dtype)
        linear = linear - 2 * mean * squares
        bias = bias - (np.square(mean) * squares).sum(axis=0)
        parts = [squares]
    linear = linear.astype(dtype)
    return Head(np.vstack([linear, *parts]), bias - (mean * linear).sum(axis=0))
