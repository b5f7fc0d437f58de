"""How much images in groups know: images of a group, such as the photos of one animal, resemble each other.

Everywhere `values` is float (n,), one for each image; `weights` is float (n,), how much each image counts in the mean,
or None where all count the same; `groups` is int (n,), the group of each image, or None where images are independent.
"""

import numpy as np
from scipy.stats import t


def effective_images(values: np.ndarray, groups: np.ndarray | None, weights: np.ndarray | None = None) -> float:
    """Return the number of independent images, all of weight 1, that would know the mean of the values as well.

    Args:
        values: float (n,), n at least 1.
        groups: int (n,), or None.
        weights: float (n,), above 0, or None.

    Returns:
        Kish's (1965) number for the weights; with groups, divided by the design effect.

    Example:
        >>> effective_images(np.array([1, 1, 0, 0]), groups=np.array([0, 0, 1, 1]))
        2.0
    """
    values = np.asarray(values, np.float64)
    weights = np.ones(len(values)) if weights is None else np.asarray(weights, np.float64)
    images = kish(weights)
    if groups is None:
        return images
    of_group = np.unique(groups, return_inverse=True)[1]
    independent = kish(np.bincount(of_group, weights))
    count = int(of_group.max()) + 1
    residuals = values - np.average(values, weights=weights)
    alone = variance_of_mean(residuals, np.arange(len(values)), weights)
    if count == 1 or alone == 0:
        return independent
    few = (t.ppf(0.975, len(values) - 1) / t.ppf(0.975, count - 1)) ** 2
    return float(np.clip(images * few * alone / variance_of_mean(residuals, of_group, weights), independent, images))


def kish(weights: np.ndarray) -> float:
    """Return the number of equal weights that a mean with these weights is as precise as (Kish 1965).

    Example:
        >>> kish(np.array([3, 3, 3, 3]))
        4.0
    """
    weights = np.asarray(weights, np.float64)
    return float(weights.sum() ** 2 / (weights**2).sum())


def variance_of_mean(residuals: np.ndarray, of_group: np.ndarray, weights: np.ndarray) -> float:
    """Return the cluster-robust variance of a weighted mean (Liang & Zeger 1986), corrected for few groups.

    Args:
        residuals: Values less their weighted mean, float (n,).
        of_group: Group of each image, int (n,), 0..g-1, g at least 2.
        weights: float (n,).
    """
    sums = np.bincount(of_group, weights * residuals)
    return float(len(sums) / (len(sums) - 1) * (sums**2).sum() / weights.sum() ** 2)
