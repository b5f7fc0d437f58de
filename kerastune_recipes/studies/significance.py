"""How sure a comparison is: intervals and a test for classifiers that were judged on the same images.

The image is the unit throughout. Trained with three seeds and judged on the same hundred images, a recipe was still
judged on a hundred images, not on three hundred. So everywhere `correct` is (images,), the share of its judgements in
which each image was recognised, 0..1 (0 or 1 where there is one seed), and `weights` is (images,), how often each was
judged: equal where all seeds share their images, unequal where each seed holds out images of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest, norm

from kerastune_recipes.evaluation import metrics

_Z95 = float(norm.ppf(0.975))


@dataclass(frozen=True)
class Paired:
    """One classifier against another on the same images.

    Args:
        difference: Its accuracy less that of the other, -1..1.
        interval: 95 % interval of the difference.
        better: Images that it recognised more often than the other.
        worse: Images that it recognised less often.
        p_value: Of McNemar's exact test.
    """

    difference: float
    interval: tuple[float, float]
    better: int
    worse: int
    p_value: float


def effective_images(weights: np.ndarray) -> float:
    """Return how many equally weighted images would be worth as much (Kish 1965).

    Example:
        >>> effective_images(np.array([3, 3, 3, 3]))
        4.0
    """
    weights = np.asarray(weights, np.float64)
    return float(weights.sum() ** 2 / (weights**2).sum())


def accuracy(correct: np.ndarray, weights: np.ndarray) -> float:
    """Return the accuracy over all judgements."""
    return float(np.average(correct, weights=weights))


def accuracy_interval(correct: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Return the 95 % interval of an accuracy: Wilson's, of the images.

    It says how far the accuracy of these trained models may be off for other images of the kind. It is as wide as that
    of one seed, however many there are: so it is never too narrow, for seeds mistake much the same images. What another
    seed would have changed is not in it; the range over the seeds shows that.

    Example:
        >>> [round(bound, 4) for bound in accuracy_interval(np.array([1, 0, 0.5, 0.5]), np.ones(4))]
        [0.15, 0.85]
    """
    images = effective_images(weights)
    return metrics.wilson_interval(accuracy(correct, weights) * images, images)


def paired(correct: np.ndarray, other: np.ndarray, weights: np.ndarray) -> Paired:
    """Compare two classifiers image by image.

    The interval is the adjusted Wald interval for matched proportions (Agresti & Min 2005), which adds half an image to
    each of the four cells, so that it has a width even where both recognise the same images. With shares instead of
    ones and zeros the variance of the differences takes the place of the count of discordant images.

    The test is McNemar's, exact: of the images on which the two differ, is either right more often than a fair coin
    would have it? With several seeds an image counts once, for the classifier that recognised it in more of them.

    Args:
        correct: Of the classifier in question.
        other: Of the one that it is compared with, on the same images.
        weights: How often each image was judged.

    Example:
        >>> paired(np.array([1, 1, 1, 0]), np.array([0, 0, 0, 1]), np.ones(4)).p_value
        0.625
    """
    differences = np.asarray(correct, np.float64) - np.asarray(other, np.float64)
    images = effective_images(weights)
    mean, square = (float(np.average(values, weights=weights)) for values in (differences, differences**2))
    total = images * mean
    middle = total / (images + 2)
    reach = _Z95 * np.sqrt(images * square + 1 - total**2 / (images + 2)) / (images + 2)
    better, worse = int((differences > 0).sum()), int((differences < 0).sum())
    return Paired(
        difference=mean,
        interval=(max(-1.0, float(middle - reach)), min(1.0, float(middle + reach))),
        better=better,
        worse=worse,
        p_value=float(binomtest(better, better + worse).pvalue) if better + worse else 1.0,
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values of several tests, corrected so that any false alarm among them is as rare as said (Holm 1979).

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values)
    factors = np.arange(len(p_values), 0, -1)
    rising = np.maximum.accumulate(factors * np.asarray(p_values, np.float64)[order])
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(rising, 1)
    return corrected.tolist()
