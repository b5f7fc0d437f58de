"""Learning from some of the images: standardised by themselves, in the span of their rows, undone in the head found."""

from dataclasses import replace

import numpy as np

from kerastune_recipes.heads.classifiers import Classifier, Solution
from kerastune_recipes.heads.head import Effort, Head
from kerastune_recipes.heads.rows import Rows, Scale, blocks, row_space


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
