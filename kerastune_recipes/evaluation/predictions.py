"""What a model predicts for images, with their names."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Predictions:
    """Predictions for images, with their names.

    Args:
        names: The name of each image: of a file its path, of others their number.
        class_names: Names of the classes, in the order of the probabilities.
        probabilities: float (n, classes).

    Example:
        >>> Predictions(("1.jpg",), ("ants", "bees"), np.array([[0.2, 0.8]])).classes
        ('bees',)
    """

    names: tuple[str, ...]
    class_names: tuple[str, ...]
    probabilities: np.ndarray

    @property
    def classes(self) -> tuple[str, ...]:
        """The most probable class of each image."""
        return tuple(self.class_names[index] for index in self.probabilities.argmax(axis=1))

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the name of each image, its class, the probability of that, and those of all classes by name."""
        for name, found, row in zip(self.names, self.classes, self.probabilities.tolist(), strict=True):
            probabilities = dict(zip(self.class_names, row, strict=True))
            yield {"image": name, "class": found, "probability": max(row), "probabilities": probabilities}

    def to_csv(self) -> str:
        """Return a table: image, class, probability, and a column with the probability of each class.

        Example:
            >>> print(Predictions(("1.jpg",), ("ants", "bees"), np.array([[0.25, 0.75]])).to_csv())
            image,class,probability,probability of ants,probability of bees
            1.jpg,bees,0.75,0.25,0.75
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["image", "class", "probability", *(f"probability of {name}" for name in self.class_names)])
        for row in self.rows():
            writer.writerow([row["image"], row["class"], row["probability"], *row["probabilities"].values()])
        return text.getvalue()
