"""The classifiers: each learns from standardised features, and is linear in them, or in them and their squares."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import solve
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.preprocessing import StandardScaler

from kerastune_recipes.heads.linear import Effort, Head, Objective, Term, cross_entropy, descend, squared_hinge
from kerastune_recipes.heads.rows import BLOCK, AnyRows, Rows, Scale, blocks, class_means, row_space

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

    learn: Callable[[AnyRows], Solution]
    closed: bool = False
    squares: bool = False
    offsets: bool = False
    scaled: bool = False
    sharpens: bool = False


def _logistic_regression(rows: AnyRows) -> Solution:
    """Learn multinomial logistic regression; the strength is 1/C.

    It is scikit-learn's, which needs all rows in memory; where they are not, it is our own descent on the same loss.
    """
    if not isinstance(rows, Rows):
        return _by_gradient(cross_entropy, halved=True)(rows)
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


def _by_gradient(objective: Objective, halved: bool = False) -> Callable[[AnyRows], Solution]:
    """Return what learns by L-BFGS on the loss that a head is defined by; the strength is 1/C.

    Args:
        objective: The loss.
        halved: Of two classes the difference alone is penalised, as scikit-learn has it for logistic regression.
    """

    def learn(rows: AnyRows) -> Solution:
        classes = rows.classes
        right, total = np.eye(classes, dtype=np.float32), rows.views * float(rows.weights.sum())
        factor = 2 if halved and classes == 2 else 1

        def terms() -> Iterator[Term]:
            for features, labels, weights in rows.blocks():
                yield Term(features, right[labels], weights[:, None] / np.float32(total))

        def solution(strength: float, effort: Effort, start: Head | None) -> Head:
            begin = start or Head(np.zeros((rows.columns, classes)), np.zeros(classes))
            return descend(objective, terms, begin, factor * strength / total, effort)

        return solution

    return learn


def _naive_bayes(rows: AnyRows) -> Solution:
    """Learn Gaussian naive Bayes; the strength is scikit-learn's var_smoothing.

    It is added to every variance, as a share of the largest variance of a feature.
    """
    bayes, scaler = GaussianNB(var_smoothing=0), StandardScaler()
    for features, labels, weights in rows.blocks():
        bayes.partial_fit(features, labels, np.arange(rows.classes), weights)
        scaler.partial_fit(features)

    def solution(strength: float, effort: Effort, start: Head | None) -> Head:
        precisions = 1 / (bayes.var_ + strength * scaler.var_.max())
        constant = np.log(bayes.class_prior_) + np.log(precisions).sum(axis=1) / 2
        # What all classes have in common cancels out, but not its rounding.
        squares = -(precisions - precisions.mean(axis=0)) / 2
        return Head(
            np.vstack([(bayes.theta_ * precisions).T, squares.T]),
            constant - (precisions * np.square(bayes.theta_)).sum(axis=1) / 2,
        )

    return solution


def _lda(rows: AnyRows) -> Solution:
    """Learn linear discriminant analysis; the strength is the shrinkage of the covariance, above 0 to 1.

    The same as scikit-learn's with solver "lsqr" and a number for `shrinkage`, whose target is a multiple of the
    identity; the covariance is found once for all strengths, and in the span of the rows where that is smaller.
    """
    means, covariance = class_means(rows), np.zeros((rows.columns,) * 2)
    for features, labels, weights in rows.blocks():
        for begin in range(0, len(features), BLOCK):
            block = slice(begin, begin + BLOCK)
            apart = features[block] - means[labels[block]]
            covariance += (weights[block, None] * apart).T @ apart
    sums = np.bincount(rows.labels, rows.weights)
    covariance /= rows.views * sums.sum()
    # With a single image of each class there is no spread within the classes: then the nearest mean wins.
    target = np.eye(len(covariance)) * (np.trace(covariance) / rows.width or 1.0)

    def solution(strength: float, effort: Effort, start: Head | None) -> Head:
        shrunk = (1 - strength) * covariance + strength * target
        kernel = solve(shrunk, means.T, assume_a="pos")
        bias = np.log(sums / sums.sum()) - np.einsum("kd,dk->k", means, kernel) / 2
        return Head(kernel.astype(np.float32), bias)

    return solution


# The SVM's objective is that of LinearSVC but for its intercept, which liblinear penalises like a weight: with as many
# classes as there are here it should be near -1. All classes are solved at once, and warm-started, at a tenth of the
# time (benchmarks/heads.md).
CLASSIFIERS: Mapping[str, Classifier] = {
    "logistic_regression": Classifier(_logistic_regression),
    "linear_svm": Classifier(_by_gradient(squared_hinge)),
    "naive_bayes": Classifier(_naive_bayes, closed=True, squares=True, offsets=True),
    "lda": Classifier(_lda, closed=True, sharpens=True),
}


def learn(classifier: Classifier, rows: Rows) -> Solution:
    """Return what solves heads on images: in the span of their rows, where that is smaller and axes do not matter."""
    if classifier.squares or classifier.scaled:
        return classifier.learn(rows)
    flat, _, _ = rows.flat()
    found, basis = row_space(flat)
    if basis is None:
        return classifier.learn(rows)
    solution = classifier.learn(replace(rows, features=found.reshape(*rows.features.shape[:2], -1)))

    def in_span(strength: float, effort: Effort, start: Head | None) -> Head:
        begin = Head(basis.T @ start.weights, start.bias) if start else None
        head = solution(strength, effort, begin)
        return Head(basis @ head.weights, head.bias)

    return in_span


def learn_anew(classifier: Classifier, rows: Rows) -> Solution:
    """Return what solves heads on images, standardised by themselves.

    So the images held out have no part in it: where a feature hardly changes but in them, a head would be told before.

    Args:
        classifier: What is learnt.
        rows: The images. They are changed, so give a copy. The heads are for features as they came.
    """
    if classifier.scaled:
        return classifier.learn(rows)
    flat, _, _ = rows.flat()
    scale = Scale.of(blocks(flat))
    scale.apply(flat)
    solution = learn(classifier, rows)

    def anew(strength: float, effort: Effort, start: Head | None) -> Head:
        begin = None if classifier.closed or start is None else scaled(start, scale)
        return unscaled(solution(strength, effort, begin), scale)

    return anew


def scaled(head: Head, scale: Scale) -> Head:
    """Return the head on standardised features that is this one, which is linear, on features as they are."""
    return Head(head.weights * scale.deviation[:, None], head.bias + scale.mean @ head.weights)


def unscaled(head: Head, scale: Scale, precision: type = float) -> Head:
    """Return the head on features as they are that is this one on standardised features.

    Terms in a feature and its square are large against their sum where its mean is many deviations away. So each is
    made to fit the one before it as it was rounded, and the bias to fit both.

    Args:
        head: Weights (d, k) or (2 d, k), and bias.
        scale: Of the d features.
        precision: Of the weights.
    """
    mean, deviation = scale.mean[:, None], scale.deviation[:, None]
    linear, squares = np.split(head.weights, [len(mean)])
    parts, linear, bias = [], linear / deviation, head.bias
    if len(squares):
        squares = (squares / np.square(deviation)).astype(precision)
        linear = linear - 2 * mean * squares
        bias = bias - (np.square(mean) * squares).sum(axis=0)
        parts = [squares]
    linear = linear.astype(precision)
    return Head(np.vstack([linear, *parts]), bias - (mean * linear).sum(axis=0))
