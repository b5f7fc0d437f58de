"""A solved head as one Dense layer in float32, and the check that the layer gives the answers that were solved."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from kerastune_recipes.arrays.files import AnyArray
from kerastune_recipes.errors import PrecisionWarning
from kerastune_recipes.heads.calibration import Calibration
from kerastune_recipes.heads.classifiers import to_raw
from kerastune_recipes.heads.linear import Head, logits
from kerastune_recipes.heads.rows import Scale

# Rows on which the layer is compared, and the numbers among them: enough for a share of 0.1%, and seconds at most.
_MOST_ROWS, _MOST_NUMBERS = 2000, 2**27
_BLOCK_NUMBERS = 2**17
# A difference in probability that is worth a warning; answers whose margin is smaller may change.
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class StandardisedHead:
    """A calibrated head as it was solved: on some of the features, standardised.

    Args:
        head: Weights (d, k), or (2 d, k) for features and their squares, and bias.
        scale: Scale of all features.
        columns: The features that the head uses.
        calibration: Calibration of its logits.
    """

    head: Head
    scale: Scale
    columns: slice
    calibration: Calibration

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Return calibrated logits, float64 (n, k), of raw features, float64 (n, all)."""
        scale = self.scale.select(self.columns)
        return self.calibration.logits(logits(self.head, (features[:, self.columns] - scale.mean) / scale.deviation))

    def dense(self) -> Head:
        """Return the same head on all raw features in float32, zero on those that it does not use.

        Where it uses squares, it is about the means: squares of features far from zero would be rounded away.
        """
        temperature, width = self.calibration.temperature, len(self.scale.mean)
        calibrated = Head(self.head.weights / temperature, self.head.bias / temperature + self.calibration.offsets)
        scale = self.scale.select(self.columns)
        used, centre = len(scale.mean), np.zeros(0, np.float32)
        if len(calibrated.weights) > used:
            centre = np.zeros(width, np.float32)
            centre[self.columns] = scale.mean
            scale = Scale(scale.mean - centre[self.columns], scale.deviation)
        found = to_raw(calibrated, scale, np.float32)
        kernel = np.zeros((len(found.weights) // used, width, len(found.bias)), np.float32)
        kernel[:, self.columns] = found.weights.reshape(-1, used, len(found.bias))
        return Head(kernel.reshape(-1, len(found.bias)), found.bias.astype(np.float32), centre)


def differences(solved: Callable[[np.ndarray], np.ndarray], layer: Head, features: AnyArray) -> dict[str, float]:
    """Compare a layer with the head that was solved, and warn where their answers differ.

    Args:
        solved: Returns the logits (n, k) of the head that was solved for features, float64 (n, d).
        layer: The head as float32 weights of a Dense layer.
        features: float (n, d) of the training images, of any precision; at most 2,000 rows are compared.

    Returns:
        Empty where no probability differs by more than 0.001 and no answer with a larger margin changes. Otherwise
        "largest_difference" of a probability, and "changed_answers", the share of images that get another class.
    """
    count, width = features.shape
    rows = np.unique(np.linspace(0, count - 1, min(count, _MOST_ROWS, max(1, _MOST_NUMBERS // width))).astype(int))
    largest, changed, clearly = 0.0, 0, False
    for block in np.array_split(rows, min(len(rows), -(-len(rows) * width // _BLOCK_NUMBERS))):
        found = softmax(logits(layer, features[block].astype(np.float32, copy=False)), axis=1)
        expected = softmax(solved(features[block].astype(float)), axis=1)
        others = found.argmax(axis=1) != expected.argmax(axis=1)
        top = np.sort(expected, axis=1)[:, -2:]
        # Where the layer overflows, nothing is right.
        largest = max(largest, float(np.nan_to_num(np.abs(found - expected), nan=1.0).max()))
        changed += int(others.sum())
        clearly |= bool((others & (top[:, 1] - top[:, 0] > _TOLERANCE)).any())
    if largest <= _TOLERANCE and not clearly:
        return {}
    beyond = {"largest_difference": largest, "changed_answers": changed / len(rows)}
    warn(beyond)
    return beyond


def warn(beyond: dict[str, float]) -> None:
    """Warn that the layer differs from the head that was solved.

    Args:
        beyond: The result of `differences`; there is no warning where it is empty.
    """
    if beyond:
        warnings.warn(
            f"The head as a float32 layer differs from the head that was solved: probabilities by up to "
            f"{beyond['largest_difference']:.3g}, and {beyond['changed_answers']:.1%} of the training images get "
            "another class. Features that hardly vary around a large mean cause this; choose another tap "
            "(features.taps).",
            PrecisionWarning,
            stacklevel=3,
        )
