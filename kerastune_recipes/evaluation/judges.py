"""The images that judge models: how much each counts, and which belong together."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from kerastune_recipes.evaluation.clusters import effective_images


@dataclass(frozen=True)
class Judges:
    """Held-out images that decide between models.

    Args:
        labels: int (n,), at least one.
        weights: float (n,), how much each image counts, 1 on average.
        groups: int (n,), the group of each image; images of a group are not independent. None where all are.
    """

    labels: np.ndarray
    weights: np.ndarray
    groups: np.ndarray | None = None

    @classmethod
    def of(cls, labels: np.ndarray, balanced: bool, groups: np.ndarray | None = None) -> Self:
        """Return images as judges.

        Args:
            labels: int (n,), at least one.
            balanced: Whether each class counts the same, however many images it has, or each image.
            groups: int (n,), the group of each image; None where images are not grouped.

        Example:
            >>> Judges.of(np.array([0, 0, 0, 1]), balanced=True).weights.round(2).tolist()
            [0.67, 0.67, 0.67, 2.0]
        """
        if not balanced:
            return cls(labels, np.ones(len(labels)), groups)
        counts = np.bincount(labels)
        return cls(labels, len(labels) / ((counts > 0).sum() * counts[labels]), groups)

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, images: np.ndarray) -> Self:
        """Return some of them, given as positions or as bool (n,)."""
        groups = None if self.groups is None else self.groups[images]
        return type(self)(self.labels[images], self.weights[images], groups)

    def mean(self, losses: np.ndarray) -> float:
        """Return the weighted mean of losses (n,)."""
        return float(np.average(losses, weights=self.weights))

    def evidence(self, gains: np.ndarray) -> float:
        """Return what the gains of all images add up to, each group counting as much as it knows.

        Args:
            gains: Log loss of each image under a baseline, less that under a model, float (n,), nats.

        Returns:
            The mean gain times the effective number of images, nats; without weights and groups, the sum.

        Example:
            >>> Judges.of(np.zeros(10, int), balanced=False).evidence(np.full(10, 0.25))
            2.5
        """
        return self.mean(gains) * effective_images(gains, self.groups, self.weights)

    def standard_error(self, values: np.ndarray) -> float:
        """Return the standard error of the weighted mean of values (n,), n at least 2.

        Example:
            >>> Judges.of(np.zeros(4, int), balanced=False).standard_error(np.array([0.0, 0, 2, 2])).round(3)
            0.577
        """
        images = len(values)
        variance = np.average(np.square(values - self.mean(values)), weights=self.weights) * images / (images - 1)
        return float(np.sqrt(variance / effective_images(values, self.groups, self.weights)))
