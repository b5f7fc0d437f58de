"""Calibration on held-out images: a temperature, and an offset for each class where a classifier needs it."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax

# The measurements behind these numbers are in benchmarks/pages/heads.md.

# Weight, in images, of an extra held-out image with a uniform label. It keeps the temperature finite where every
# held-out image is classified correctly.
UNIFORM_LABEL_WEIGHT = 0.3
# The temperature is searched within exp(LOG_TEMPERATURE_RANGE) times the standard deviation of the logits, either way.
LOG_TEMPERATURE_RANGE, LOG_TEMPERATURE_PRECISION = 7.0, 1e-3
# Precision of the Gaussian prior on the offsets, centred at zero, against the summed loss.
OFFSET_PENALTY = 1.0


@dataclass(frozen=True)
class Calibration:
    """Makes the logits of a head match held-out frequencies.

    Args:
        temperature: Divisor of the logits.
        offsets: float (k,), added to each class after the division.
    """

    temperature: float
    offsets: np.ndarray

    def logits(self, raw: np.ndarray) -> np.ndarray:
        """Return calibrated logits (n, k)."""
        return raw / self.temperature + self.offsets


@dataclass(frozen=True)
class Calibrator:
    """Fits calibrations on held-out images, and compares heads on them.

    Args:
        labels: int (n,).
        weights: float (n,), sample weight of each image.
        offsets: Fit an offset for each class besides the temperature.
        prior: Standard deviation of a Gaussian prior on the logarithm of the temperature, centred at temperature 1;
            None for logits of unknown scale.
    """

    labels: np.ndarray
    weights: np.ndarray
    offsets: bool
    prior: float | None = None

    def select(self, images: np.ndarray) -> "Calibrator":
        """Return the calibrator of some of the images."""
        return Calibrator(self.labels[images], self.weights[images], self.offsets, self.prior)

    def fit(self, raw: np.ndarray) -> tuple[Calibration, float]:
        """Return the best calibration of logits (n, k), and the mean log loss with it, nats.

        Temperature scaling (Guo et al. 2017); bias-corrected with offsets (Alexandari et al. 2020).
        """
        calibration = self._fit_temperature(raw)
        if self.offsets:
            calibration = self._fit_offsets(raw, calibration.temperature)
        return calibration, self.log_loss(calibration.logits(raw))

    def log_loss(self, logits: np.ndarray) -> float:
        """Return the weighted mean log loss of calibrated logits (n, k), nats."""
        return float(np.average(self.losses(logits), weights=self.weights))

    def losses(self, logits: np.ndarray) -> np.ndarray:
        """Return the log loss (n,) of each image, nats."""
        return self._of_labels(log_softmax(logits, axis=1))

    def _of_labels(self, log_probabilities: np.ndarray) -> np.ndarray:
        """Return the negative log probability of each image's own class, (n,)."""
        return -log_probabilities[np.arange(len(self.labels)), self.labels]

    def _fit_temperature(self, raw: np.ndarray) -> Calibration:
        scale = float(raw.std()) or 1.0
        total = self.weights.sum() + UNIFORM_LABEL_WEIGHT
        uniform = UNIFORM_LABEL_WEIGHT / total
        penalty = 0.0 if self.prior is None else 0.5 / (total * self.prior**2)

        def loss(log_temperature: float) -> float:
            log_probabilities = log_softmax(raw / (scale * np.exp(log_temperature)), axis=1)
            labelled = np.average(self._of_labels(log_probabilities), weights=self.weights)
            surprise = penalty * (np.log(scale) + log_temperature) ** 2
            return (1 - uniform) * labelled - uniform * log_probabilities.mean() + surprise

        bounds = (-LOG_TEMPERATURE_RANGE, LOG_TEMPERATURE_RANGE)
        found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": LOG_TEMPERATURE_PRECISION})
        return Calibration(scale * float(np.exp(found.x)), np.zeros(raw.shape[1]))

    def _fit_offsets(self, raw: np.ndarray, temperature: float) -> Calibration:
        """Fit temperature and offsets together, starting from the best temperature."""
        total, targets = self.weights.sum(), np.eye(raw.shape[1])[self.labels]
        scaled, weights = raw / temperature, self.weights[:, None] / total

        def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
            factor, offsets = np.exp(parameters[0]), parameters[1:]
            log_probabilities = log_softmax(scaled * factor + offsets, axis=1)
            error = weights * (np.exp(log_probabilities) - targets)
            penalty = OFFSET_PENALTY / total * offsets
            gradient = np.concatenate([[factor * (error * scaled).sum()], error.sum(axis=0) + 2 * penalty])
            return -(weights * targets * log_probabilities).sum() + penalty @ offsets, gradient

        found = minimize(loss, np.zeros(1 + raw.shape[1]), jac=True, method="L-BFGS-B").x
        return Calibration(temperature / float(np.exp(found[0])), found[1:])
