"""How much images in groups know: images of a group, such as the photos of one animal, resemble each other.

Everywhere `values` is float (n,), one for each image, `weights` is float (n,), above 0, how much each image counts in
the mean, or None where all count the same, and `groups` is int (n,), the group of each image, or None where images are
independent. In the shapes, g is the number of groups.
"""

import numpy as np
from scipy.special import stdtrit


def effective_images(
    values: np.ndarray, groups: np.ndarray | None, weights: np.ndarray | None = None, symmetric: bool = False
) -> float:
    """Return how many independent images of equal weight would know the mean of the values as precisely.

    Without groups, and where no two images are of one group, it is Kish's number of the weights. With groups it is
    smaller by the design effect: the variance of the mean divided by its variance if images were independent. Of two
    estimates the larger one counts. The cluster-robust variance is right whatever makes images of a group alike, even
    where large groups are harder than small ones, but often too small where few groups have all the errors. The
    intraclass correlation is the better estimate then. benchmarks/pages/intervals.md compares them.

    An estimate from few groups is itself uncertain, so the number is smaller by the squared ratio of the quantiles of
    Student's t (Korn & Graubard 1998). It is never below Kish's number of the groups, which is right where images of a
    group are all alike, nor above that of the images. Equal values do not show how alike a group is; then it is the
    number of the groups.

    Args:
        values: float (n,), n at least 1.
        groups: int (n,), or None.
        weights: float (n,), or None.
        symmetric: Whether values scatter to both sides, as differences between two models do, and shares near 1 and
            losses do not. Then the cluster-robust variance alone counts.

    Example:
        >>> effective_images(np.array([1, 1, 0, 0, 1, 1]), groups=np.array([0, 0, 1, 1, 2, 2]))
        3.0
    """
    values = np.asarray(values, np.float64)
    weights = np.ones(len(values)) if weights is None else np.asarray(weights, np.float64)
    images = kish(weights)
    if groups is None:
        return images
    of_group = np.unique(groups, return_inverse=True)[1]
    count = int(of_group.max()) + 1
    if count == len(values):
        return images
    independent = kish(np.bincount(of_group, weights))
    if count == 1 or np.ptp(values) == 0:
        return independent
    effect = robust_design_effect(values, of_group, weights)
    if not symmetric:
        effect = max(effect, 1 + intraclass_correlation(values, of_group) * (images / independent - 1))
    few = (stdtrit(len(values) - 1, 0.975) / stdtrit(count - 1, 0.975)) ** 2
    # The sums of all groups, and so the effect, may be 0.
    return float(images / np.clip(effect / few, 1, images / independent))


def kish(weights: np.ndarray) -> float:
    """Return the number of equal weights whose mean is as precise as one with these weights (Kish 1965).

    Args:
        weights: float (n,), above 0.

    Example:
        >>> kish(np.array([3, 3, 3, 3]))
        4.0
    """
    weights = np.asarray(weights, np.float64)
    return float(weights.sum() ** 2 / (weights**2).sum())


def robust_design_effect(values: np.ndarray, of_group: np.ndarray, weights: np.ndarray) -> float:
    """Return the cluster-robust variance of a weighted mean, divided by its variance if images were independent.

    Both are sandwich estimates (Liang & Zeger 1986), over groups and over images.

    Args:
        values: float (n,), not all equal.
        of_group: Group of each image, int (n,), 0..g-1, each occurring, g at least 2.
        weights: float (n,).

    Example:
        >>> robust_design_effect(np.array([1, 1, 0, 0]), np.array([0, 0, 1, 1]), np.ones(4))
        3.0
    """
    scores = weights * (values - np.average(values, weights=weights))
    sums = np.bincount(of_group, scores)
    images, groups = len(scores), len(sums)
    return float((groups / (groups - 1) * sums @ sums) / (images / (images - 1) * scores @ scores))


def intraclass_correlation(values: np.ndarray, of_group: np.ndarray) -> float:
    """Return the correlation of two images of a group, 0..1, by analysis of variance (Donner 1986).

    Args:
        values: float (n,), not all equal.
        of_group: Group of each image, int (n,), 0..g-1, each occurring, g from 2 to n - 1.

    Example:
        >>> intraclass_correlation(np.array([1, 1, 0, 0]), np.array([0, 0, 1, 1]))
        1.0
    """
    sizes = np.bincount(of_group)
    images, groups = len(values), len(sizes)
    means = np.bincount(of_group, values) / sizes
    between = sizes @ (means - values.mean()) ** 2 / (groups - 1)
    within = ((values - means[of_group]) ** 2).sum() / (images - groups)
    size = (images - sizes @ sizes / images) / (groups - 1)
    return float(max(0.0, (between - within) / (between + (size - 1) * within)))
