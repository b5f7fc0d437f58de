"""Probabilities that match held-out frequencies: a temperature, and an offset for each class where a head needs it."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax

# What the numbers rest on is in benchmarks/heads.md.

# Besides the held-out images there is this much of one that may be of any class, so that the temperature is finite also
# where every image was told right.
DOUBT = 0.3
# Temperatures are sought this far from the deviation of the logits, as logarithms, and this finely.
RANGE, FINENESS = 7.0, 1e-3
# Precision of the offsets around zero, against the summed loss.
OFFSET_PENALTY = 1.0


@dataclass(frozen=True)
class Calibration:
    """What makes a head's logits those of probabilities.

    Args:
        temperature: What they are divided by.
        offsets: float (k,), what each class is given then.
    """

    temperature: float
    offsets: np.ndarray

    def logits(self, raw: np.ndarray) -> np.ndarray:
        """Return calibrated logits (n, k)."""
        return raw / self.temperature + self.offsets


@dataclass(frozen=True)
class Judge:
    """Held-out images, by which heads are calibrated and compared.

    Args:
        labels: int (n,).
        weights: float (n,), what each image weighs.
        offsets: True where a temperature alone does not do.
    """

    labels: np.ndarray
    weights: np.ndarray
    offsets: bool

    def among(self, chosen: np.ndarray) -> "Judge":
        """Return a judge by some of the images."""
        return Judge(self.labels[chosen], self.weights[chosen], self.offsets)

    def __call__(self, raw: np.ndarray) -> tuple[Calibration, float]:
        """Return the best calibration of logits (n, k), and the mean log loss with it, nats.

        Temperature scaling after Guo et al. 2017; with offsets it is bias-corrected (Alexandari et al. 2020).
        """
        calibration = self._by_temperature(raw)
        if self.offsets:
            calibration = self._with_offsets(raw, calibration.temperature)
        return calibration, self.log_loss(calibration.logits(raw))

    def log_loss(self, logits: np.ndarray) -> float:
        """Return the mean log loss of calibrated logits (n, k), nats."""
        return float(np.average(self.losses(logits), weights=self.weights))

    def losses(self, logits: np.ndarray) -> np.ndarray:
        """Return the log loss (n,) of each image, nats."""
        return self._right(log_softmax(logits, axis=1))

    def _right(self, log_probabilities: np.ndarray) -> np.ndarray:
        return -log_probabilities[np.arange(len(self.labels)), self.labels]

    def _by_temperature(self, raw: np.ndarray) -> Calibration:
        scale = float(raw.std()) or 1.0
        doubt = DOUBT / (self.weights.sum() + DOUBT)

        def loss(log_temperature: float) -> float:
            log_probabilities = log_softmax(raw / (scale * np.exp(log_temperature)), axis=1)
            sure = np.average(self._right(log_probabilities), weights=self.weights)
            return (1 - doubt) * sure - doubt * log_probabilities.mean()

        found = minimize_scalar(loss, bounds=(-RANGE, RANGE), method="bounded", options={"xatol": FINENESS})
        return Calibration(scale * float(np.exp(found.x)), np.zeros(raw.shape[1]))

    def _with_offsets(self, raw: np.ndarray, temperature: float) -> Calibration:
        """Find temperature and offsets together, from the best temperature on."""
        total, right = self.weights.sum(), np.eye(raw.shape[1])[self.labels]
        scaled, shares = raw / temperature, self.weights[:, None] / total

        def loss(found: np.ndarray) -> tuple[float, np.ndarray]:
            sharper, offsets = np.exp(found[0]), found[1:]
            log_probabilities = log_softmax(scaled * sharper + offsets, axis=1)
            error = shares * (np.exp(log_probabilities) - right)
            penalty = OFFSET_PENALTY / total * offsets
            slope = np.concatenate([[sharper * (error * scaled).sum()], error.sum(axis=0) + 2 * penalty])
            return -(shares * right * log_probabilities).sum() + penalty @ offsets, slope

        found = minimize(loss, np.zeros(1 + raw.shape[1]), jac=True, method="L-BFGS-B").x
        return Calibration(temperature / float(np.exp(found[0])), found[1:])
