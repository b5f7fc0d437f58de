"""The table of solved heads.

A solved head is a linear probe, such as multinomial logistic regression on cached features with its L2 strength chosen
by cross-validation. How each is computed is in `heads.classifiers`.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class HeadEntry:
    """One solved head.

    Args:
        name: Its name in words.
        strength: What the strength of its regularization is called.
        strengths: Strengths that cross-validation chooses from, strong to weak; `SolveSpec` says what they mean.
        default_strength: Strength where a class is too small to cross-validate.
        allowed: Smallest and largest strength, both included; None for any above 0.
        squares: True when it also sees the squares of the features.
        pretrained: True when it starts from the classifier that the backbone was pretrained with.
    """

    name: str
    strength: str
    strengths: tuple[float, ...]
    default_strength: float
    allowed: tuple[float, float] | None = None
    squares: bool = False
    pretrained: bool = False

    def allows(self, strength: float) -> bool:
        """Return whether a strength is in its range."""
        return self.allowed is None or self.allowed[0] <= strength <= self.allowed[1]


def _half_decades(strong: int, weak: int) -> tuple[float, ...]:
    """Return 10^(strong/2), half a decade less, and so on, down to just above 10^(weak/2)."""
    return tuple(round(10 ** (half / 2), 6) for half in range(strong, weak, -1))


# By the key in a recipe. The best strengths on four data sets are in benchmarks/pages/heads.md. The default strengths
# are the middle of those, except for logistic regression: C=0.01 was good on four sets in field trials.
HEADS: Mapping[str, HeadEntry] = {
    # Kornblith et al. 2019 search 45 values over 11 decades. Half decades lose nothing where the minimum is as flat as
    # on standardised features (from 3 to 30 the log loss of sign_digits changes by 0.01), and most are skipped: decades
    # first, then a half decade beside the best.
    "logistic_regression": HeadEntry("logistic regression", "L2 strength", _half_decades(7, -3), 100.0),
    # The best were 300 to 10,000.
    "linear_svm": HeadEntry("linear SVM", "L2 strength", _half_decades(9, 1), 1000.0),
    # The best were 0.03 to 1000. Without smoothing (scikit-learn: 1e-9) a feature that never changes within a class
    # outvotes all others.
    "naive_bayes": HeadEntry("Gaussian naive Bayes", "variance smoothing", _half_decades(6, -5), 1.0, squares=True),
    # The best were 0.05 to 0.9. Ledoit-Wolf gives 0.03 to 0.4, and is worse by up to 0.1 nats. Below 1e-6, with fewer
    # images than features, the covariance could not be inverted.
    "lda": HeadEntry(
        "linear discriminant analysis",
        "shrinkage",
        (0.97, 0.9, 0.7, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02),
        0.5,
        allowed=(1e-6, 1.0),
    ),
    # The strengths of logistic regression; the best were 0.1 to 3162, the strongest where the classes are ImageNet's
    # (benchmarks/pages/reuse_head.md).
    "pretrained_classifier": HeadEntry(
        "logistic regression from the pretrained classifier",
        "L2 strength",
        _half_decades(7, -3),
        100.0,
        pretrained=True,
    ),
}
