"""Confidence intervals and a paired test for classifiers that predict the same images.

The unit is the image. A recipe trained with three seeds and tested on the same hundred images was tested on a hundred
images, not on three hundred. So everywhere `correct` is float (images,), the share of the seeds that predicted each
image correctly, 0..1 (0 or 1 with one seed), and `weights` is (images,), the number of seeds that predicted each image:
equal where all seeds share their images, unequal where each seed holds out its own.

Images may come in groups, such as the photos of one animal: `groups` is int (images,), or None. Images of a group
resemble each other, so intervals use the number of independent images that know as much (`clusters.effective_images`),
and in the test the unit is the group.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import betaln
from scipy.stats import binomtest

from kerastune_recipes.evaluation import metrics
from kerastune_recipes.evaluation.clusters import effective_images


@dataclass(frozen=True)
class PairedTest:
    """A classifier compared with a baseline on the same images.

    Args:
        difference: Accuracy of the classifier minus accuracy of the baseline, -1..1.
        interval: 95 % interval of the difference.
        better: Number of images that the classifier predicts correctly more often.
        worse: Number of images that the baseline predicts correctly more often.
        p_value: P-value of McNemar's exact test; with groups, of its extension to them.
    """

    difference: float
    interval: tuple[float, float]
    better: int
    worse: int
    p_value: float


def accuracy(correct: np.ndarray, weights: np.ndarray) -> float:
    """Return the accuracy over all predictions."""
    return float(np.average(correct, weights=weights))


def accuracy_interval(
    correct: np.ndarray, weights: np.ndarray, groups: np.ndarray | None = None
) -> tuple[float, float]:
    """Return Wilson's 95 % interval of an accuracy, for the effective number of images.

    It covers the choice of images, or of groups: how far the accuracy of these trained models may differ on other
    images of the same kind. More seeds do not narrow it, because models of different seeds mistake much the same
    images. It does not cover the choice of the seed; the range over the seeds shows that.

    Args:
        correct: Share of the seeds with which the classifier is correct, float (images,).
        weights: Number of predictions of each image, (images,).
        groups: Group of each image, int (images,), or None.

    Example:
        >>> [round(bound, 4) for bound in accuracy_interval(np.array([1, 0, 0.5, 0.5]), np.ones(4))]
        [0.15, 0.85]
    """
    images = effective_images(correct, groups, weights)
    return metrics.wilson_interval(accuracy(correct, weights) * images, images)


def paired(
    correct: np.ndarray, baseline: np.ndarray, weights: np.ndarray, groups: np.ndarray | None = None
) -> PairedTest:
    """Compare two classifiers image by image.

    The interval is the adjusted Wald interval for matched proportions (Agresti & Min 2005), for the effective number of
    images. It adds half an image to each of the four cells, so it has a width even where both predict the same images
    correctly. With shares instead of ones and zeros, the variance of the differences replaces the number of discordant
    images.

    The test is McNemar's exact test: among the images on which the two differ, is one of them correct more often than
    chance? With several seeds an image counts once, for the classifier that is correct with more of them. With groups
    it asks the same of groups, see `sign_flip_p_value`.

    Args:
        correct: Share of the seeds with which the classifier is correct, float (images,).
        baseline: The same of the baseline, float (images,).
        weights: Number of predictions of each image, (images,).
        groups: Group of each image, int (images,), or None.

    Example:
        >>> paired(np.array([1, 1, 1, 0]), np.array([0, 0, 0, 1]), np.ones(4)).p_value
        0.625
    """
    differences = np.asarray(correct, np.float64) - np.asarray(baseline, np.float64)
    images = effective_images(differences, groups, weights, symmetric=True)
    mean, square = (float(np.average(values, weights=weights)) for values in (differences, differences**2))
    total = images * mean
    middle = total / (images + 2)
    reach = metrics.Z95 * np.sqrt(images * square + 1 - total**2 / (images + 2)) / (images + 2)
    signs = np.sign(differences).astype(int)
    better, worse = int((signs > 0).sum()), int((signs < 0).sum())
    if groups is not None:
        p_value = sign_flip_p_value(_sums(signs, groups))
    else:
        p_value = float(binomtest(better, better + worse).pvalue) if better + worse else 1.0
    return PairedTest(
        difference=mean,
        interval=(max(-1.0, float(middle - reach)), min(1.0, float(middle + reach))),
        better=better,
        worse=worse,
        p_value=p_value,
    )


def _sums(signs: np.ndarray, groups: np.ndarray) -> np.ndarray:
    of_group = np.unique(groups, return_inverse=True)[1]
    return np.rint(np.bincount(of_group, signs)).astype(int)


def sign_flip_p_value(sums: np.ndarray) -> float:
    """Return the exact p-value that a sum is no further from 0 than chance makes it, if each term may have either sign.

    If two classifiers are equally good on images of a group, exchanging them in a whole group is as likely as not; this
    flips the sign of its sum. A sign-change test with groups as units is exact however few they are, and however alike
    the images of a group (Canay, Romano & Shaikh 2017). Where each sum is 1 or -1 it is McNemar's exact test. With g
    groups that differ from 0 no p-value is below 2^(1 - g).

    Args:
        sums: For each group its number of images on which one classifier is better, less the number on which it is
            worse, int (groups,).

    Example:
        >>> sign_flip_p_value(np.array([3, 1, 2]))
        0.25
    """
    sizes, counts = np.unique(np.abs(sums[sums != 0]), return_counts=True)
    # The chance of each total of the positive terms; the sum is twice that, less the total of all terms.
    chances = np.ones(1)
    for size, count in zip(sizes, counts, strict=True):
        chances_of_size = np.zeros(size * count + 1)
        chances_of_size[::size] = _fair_coins(count)
        chances = np.convolve(chances, chances_of_size)
    largest = len(chances) - 1
    extreme = np.abs(2 * np.arange(largest + 1) - largest) >= abs(sums.sum())
    return min(1.0, float(chances[extreme].sum()))


def _fair_coins(count: int) -> np.ndarray:
    """Return the chance of each number of heads, float (count + 1,)."""
    heads = np.arange(count + 1)
    return np.exp(-betaln(heads + 1, count - heads + 1) - np.log(count + 1) - count * np.log(2))


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
