"""Metrics of predicted probabilities: accuracy, balanced accuracy, log loss, calibration error, intervals.

Everywhere `probabilities` is (images, classes), rows summing to 1, and `labels` is (images,), class numbers from 0.
"""

import math
from typing import NamedTuple, NotRequired, TypedDict

import numpy as np

from kerastune_recipes.evaluation.clusters import effective_images

# Guo et al. 2017, "On Calibration of Modern Neural Networks".
CALIBRATION_BINS = 15
# Probabilities are clipped as in Keras's cross-entropy: 0 for the right class costs 16.1, not infinity.
_SMALLEST = 1e-7
# The two-sided 95 % point of the normal distribution.
Z95 = 1.959963984540054


class Summary(TypedDict):
    """The metrics of one set of images, as report.json holds them; `groups` is their number, where there are any."""

    accuracy: float
    accuracy_ci95: list[float]
    balanced_accuracy: float
    log_loss: float
    ece: float
    groups: NotRequired[int]


class CalibrationBin(NamedTuple):
    """The images whose highest probability falls into one bin."""

    images: int
    confidence: float
    accuracy: float


def summary(probabilities: np.ndarray, labels: np.ndarray, groups: np.ndarray | None = None) -> Summary:
    """Return all metrics of predictions, as plain numbers.

    Args:
        probabilities: (images, classes), float.
        labels: (images,), integer.
        groups: (images,), integer, the group of each image; None where images are independent. Images of a group
            resemble each other, so the interval is wider: that of as many independent images as they are worth.

    Raises:
        ValueError: There is no image, the shapes differ, or a label is out of range.

    Example:
        >>> summary(np.array([[0.75, 0.25], [0.5, 0.5]]), np.array([0, 1]))["accuracy"]
        0.5
    """
    correct = _correct(probabilities, labels)
    images, right = effective_images(correct, groups), int(correct.sum())
    found: Summary = {
        "accuracy": float(correct.mean()),
        "accuracy_ci95": list(wilson_interval(min(images, right * images / len(correct)), images)),
        "balanced_accuracy": balanced_accuracy(probabilities, labels),
        "log_loss": log_loss(probabilities, labels),
        "ece": ece(probabilities, labels),
    }
    if groups is not None:
        found["groups"] = len(np.unique(groups))
    return found


def accuracy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of images whose most probable class is the right one; ties go to the first class."""
    return float(_correct(probabilities, labels).mean())


def balanced_accuracy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean recall over the classes that occur."""
    return float(np.nanmean(recalls(confusion_matrix(probabilities, labels))))


def log_loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean of -log(probability of the right class), in nats."""
    return float(losses(probabilities, labels).mean())


def losses(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return -log(probability of the right class) of each image, float64 (n,), in nats."""
    probabilities, labels = _checked(probabilities, labels)
    return -np.log(np.clip(probabilities[np.arange(len(labels)), labels], _SMALLEST, 1))


def ece(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the expected calibration error: the mean gap between confidence and accuracy, weighted by images."""
    bins = calibration_bins(probabilities, labels)
    return sum(each.images * abs(each.confidence - each.accuracy) for each in bins) / len(labels)


def calibration_bins(probabilities: np.ndarray, labels: np.ndarray) -> tuple[CalibrationBin, ...]:
    """Bin images by their highest probability: equal widths, closed above, empty bins left out."""
    correct, confidence = _correct(probabilities, labels), np.asarray(probabilities, np.float64).max(axis=1)
    bins = np.clip(np.ceil(confidence * CALIBRATION_BINS) - 1, 0, CALIBRATION_BINS - 1)
    members = (bins == number for number in range(CALIBRATION_BINS))
    return tuple(
        CalibrationBin(int(inside.sum()), float(confidence[inside].mean()), float(correct[inside].mean()))
        for inside in members
        if inside.any()
    )


def wilson_interval(correct: float, images: float) -> tuple[float, float]:
    """Return the 95 % interval of an accuracy (Wilson 1927), which stays within 0..1 and works for small sets too.

    Args:
        correct: Number of images recognised, 0..images; the mean over several models may be fractional.
        images: Number of images, at least 1.

    Raises:
        ValueError: The counts are impossible.

    Example:
        >>> [round(bound, 4) for bound in wilson_interval(5, 10)]
        [0.2366, 0.7634]
    """
    if not 0 <= correct <= images or images < 1:
        raise ValueError(f"expected 0 to n correct images of n, n at least 1; received {correct} of {images}")
    share, weight = correct / images, Z95**2 / images
    middle = (share + weight / 2) / (1 + weight)
    reach = math.sqrt(share * (1 - share) * weight + weight**2 / 4) / (1 + weight)
    return max(0.0, middle - reach), min(1.0, middle + reach)


def confusion_matrix(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Count images by class (row) and most probable class (column): (classes, classes), int64."""
    probabilities, labels = _checked(probabilities, labels)
    matrix = np.zeros((probabilities.shape[1],) * 2, np.int64)
    np.add.at(matrix, (labels, probabilities.argmax(axis=1)), 1)
    return matrix


def recalls(matrix: np.ndarray) -> np.ndarray:
    """Return the recall of each class, NaN for a class without images: (classes,), float64."""
    images = matrix.sum(axis=1)
    return np.divide(matrix.diagonal(), images, out=np.full(len(matrix), np.nan), where=images > 0)


def _correct(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    probabilities, labels = _checked(probabilities, labels)
    return probabilities.argmax(axis=1) == labels


def _checked(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    probabilities, labels = np.asarray(probabilities, np.float64), np.asarray(labels)
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1] or len(labels) == 0:
        raise ValueError(
            "expected probabilities (images, classes) and labels (images,) of at least one image; "
            f"received {probabilities.shape} and {labels.shape}"
        )
    if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= probabilities.shape[1]:
        raise ValueError(
            f"expected labels that are class numbers in 0..{probabilities.shape[1] - 1}; "
            f"received {labels.dtype} in {labels.min()}..{labels.max()}"
        )
    return probabilities, labels
