"""Doubtful labels, by confident learning on probabilities of models that have not seen the image."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Doubt:
    """An image whose label is doubtful.

    Args:
        position: Its position.
        label: Its label, a class number.
        likely: The class that is more likely.
        margin: Probability of that class less that of the label, 0..1.
    """

    position: int
    label: int
    likely: int
    margin: float


def doubtful(probabilities: np.ndarray, labels: np.ndarray) -> list[Doubt]:
    """Return the images whose label is doubtful, the most doubtful first.

    Confident learning (Northcutt et al. 2021): an image counts as of a class where its probability for the class is at
    least the mean probability that images labelled so have for it; of several such classes, the most probable. Where
    that is not its label, the label is doubtful.

    Args:
        probabilities: float (n, k), by models that were not trained on the image; rows of NaN are left out.
        labels: int (n,), 0 to k - 1.

    Example:
        >>> chances = np.array([[0.9, 0.1], [0.8, 0.2], [0.2, 0.8], [0.1, 0.9], [0.05, 0.95]])
        >>> doubtful(chances, np.array([0, 0, 1, 1, 0]))[0].position
        4
    """
    usable = np.isfinite(probabilities).all(axis=1)
    thresholds = np.array(
        [
            probabilities[usable & (labels == label), label].mean() if (usable & (labels == label)).any() else np.inf
            for label in range(probabilities.shape[1])
        ]
    )
    confident = np.where(probabilities >= thresholds, probabilities, -np.inf)
    found = [
        Doubt(
            int(position),
            int(labels[position]),
            int(confident[position].argmax()),
            float(probabilities[position, confident[position].argmax()] - probabilities[position, labels[position]]),
        )
        for position in np.flatnonzero(usable & np.isfinite(confident.max(axis=1)))
        if confident[position].argmax() != labels[position]
    ]
    return sorted((one for one in found if one.margin > 0), key=lambda one: -one.margin)
