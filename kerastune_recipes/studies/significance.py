"""Confidence intervals and a paired test for classifiers that predict the same images.

The unit is the image. A recipe trained with three seeds and tested on the same hundred images was tested on a hundred
images, not on three hundred. So everywhere `correct` is float (images,), the share of the seeds that predicted each
image correctly, 0..1 (0 or 1 with one seed), and `weights` is (images,), the number of seeds that predicted each image:
equal where all seeds share their images, unequal where each seed holds out its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from kerastune_recipes.evaluation import metrics


@dataclass(frozen=True)
class PairedTest:
    """A classifier compared with a baseline on the same images.

    Args:
        difference: Accuracy of the classifier minus accuracy of the baseline, -1..1.
        interval: 95 % interval of the difference.
        better: Number of images that the classifier predicts correctly more often.
        worse: Number of images that the baseline predicts correctly more often.
        p_value: P-value of McNemar's exact test.
    """

    difference: float
    interval: tuple[float, float]
    better: int
    worse: int
    p_value: float


def effective_images(weights: np.ndarray) -> float:
    """Return the effective sample size of weighted images (Kish 1965).

    Example:
        >>> effective_images(np.array([3, 3, 3, 3]))
        4.0
    """
    weights = np.asarray(weights, np.float64)
    return float(weights.sum() ** 2 / (weights**2).sum())


def accuracy(correct: np.ndarray, weights: np.ndarray) -> float:
    """Return the accuracy over all predictions."""
    return float(np.average(correct, weights=weights))


def accuracy_interval(correct: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Return Wilson's 95 % interval of an accuracy.

    It covers the choice of images: how far the accuracy of these trained models may differ on other images of the same
    kind. More seeds do not narrow it, because models of different seeds mistake much the same images. It does not cover
    the choice of the seed; the range over the seeds shows that.

    Example:
        >>> [round(bound, 4) for bound in accuracy_interval(np.array([1, 0, 0.5, 0.5]), np.ones(4))]
        [0.15, 0.85]
    """
    images = effective_images(weights)
    return metrics.wilson_interval(accuracy(correct, weights) * images, images)


def paired(correct: np.ndarray, baseline: np.ndarray, weights: np.ndarray) -> PairedTest:
    """Compare two classifiers image by image.

    The interval is the adjusted Wald interval for matched proportions (Agresti & Min 2005). It adds half an image to
    each of the four cells, so it has a width even where both predict the same images correctly. With shares instead of
    ones and zeros, the variance of the differences replaces the number of discordant images.

    The test is McNemar's exact test: among the images on which the two differ, is one of them correct more often than
    chance? With several seeds an image counts once, for the classifier that is correct with more of them.

    Args:
        correct: Share of the seeds with which the classifier is correct, float (images,).
        baseline: The same of the baseline, float (images,).
        weights: Number of predictions of each image, (images,).

    Example:
        >>> paired(np.array([1, 1, 1, 0]), np.array([0, 0, 0, 1]), np.ones(4)).p_value
        0.625
    """
    differences = np.asarray(correct, np.float64) - np.asarray(baseline, np.float64)
    images = effective_images(weights)
    mean, square = (float(np.average(values, weights=weights)) for values in (differences, differences**2))
    total = images * mean
    middle = total / (images + 2)
    reach = metrics.Z95 * np.sqrt(images * square + 1 - total**2 / (images + 2)) / (images + 2)
    better, worse = int((differences > 0).sum()), int((differences < 0).sum())
    return PairedTest(
        difference=mean,
        interval=(max(-1.0, float(middle - reach)), min(1.0, float(middle + reach))),
        better=better,
        worse=worse,
        p_value=float(binomtest(better, better + worse).pvalue) if better + worse else 1.0,
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for several tests (Holm 1979): they control the chance of any false positive.

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
