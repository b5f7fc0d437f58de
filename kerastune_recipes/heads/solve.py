"""Solve a head: choose the strength, calibrate, and fold everything into the weights of one Dense layer."""

import os
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.linalg import LinAlgWarning
from scipy.special import softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.class_weight import compute_sample_weight
from threadpoolctl import threadpool_limits

from kerastune_recipes.arrays.feature_matrix import CHUNK_ROWS
from kerastune_recipes.arrays.files import AnyArray
from kerastune_recipes.data.splits import NEVER_HELD_OUT
from kerastune_recipes.heads import cross_validation
from kerastune_recipes.heads.calibration import Calibration, Calibrator
from kerastune_recipes.heads.classifiers import CLASSIFIERS, Classifier, solver_for, to_standardised
from kerastune_recipes.heads.cross_validation import MANY_IMAGES, Choice, Folds, StrengthResult, make_folds
from kerastune_recipes.heads.dense import StandardisedHead, differences
from kerastune_recipes.heads.linear import Head, logits
from kerastune_recipes.heads.pretrained_prior import Start, prior_classifier
from kerastune_recipes.heads.rows import LabelledFeatures, Rows, standardise
from kerastune_recipes.planning.plan import SolvePlan
from kerastune_recipes.spec.heads import HEADS

# Version of the solved heads: raised whenever the same features and labels would give another head, so that cached
# heads are solved again. 9: rare classes stay in training, and images that the network has seen may not judge.
PROTOCOL = 9


@dataclass(frozen=True)
class Solved:
    """A head as the weights of a Dense layer on raw features.

    Args:
        kernel: float32 (d, k); (2 d, k) where the head uses features and their squares.
        bias: float32 (k,).
        centre: float32 (d,), subtracted from features before they are squared or multiplied; empty for zero.
        strength: The strength chosen, see `SolveSpec`.
        temperature: Divisor of the logits, so that probabilities match held-out frequencies; already in the weights.
        offsets: float32 (k,), added to the divided logits; already in the bias.
        log_loss_by_strength: Held-out log loss of each strength tried, strong to weak, nats, each with its own best
            calibration; the chosen strength has the least. Empty where none was tried.
        judged_by: The held-out images that decided strength and temperature, in words.
        held_out: float32 (n, k), probabilities of the images by heads that have not seen them, whose strength and
            calibration were chosen on other images too, NaN for images in no fold; (0, k) where not every image was
            held out.
        tap: Index of the chosen tap (a layer whose output becomes features), the only one that the head uses; None
            where it uses all.
        log_loss_by_tap: Held-out log loss of each tap by itself, nats; empty where none was to be chosen.
        layer_differs: How the layer in float32 differs from the head that was solved, see `dense.differences`; empty
            where it does not.
    """

    kernel: np.ndarray
    bias: np.ndarray
    strength: float
    temperature: float
    offsets: np.ndarray
    log_loss_by_strength: dict[float, float]
    judged_by: str
    held_out: np.ndarray
    tap: int | None = None
    log_loss_by_tap: tuple[float, ...] = ()
    centre: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    layer_differs: dict[str, float] = field(default_factory=dict)

    def probabilities(self, features: AnyArray) -> np.ndarray:
        """Return class probabilities, float32 (n, k), for features (n, d)."""
        return probabilities(features, Head(self.kernel, self.bias, self.centre))


def probabilities(features: AnyArray, head: Head) -> np.ndarray:
    """Return the output of a Dense layer with softmax on features, or on features and their squares.

    Args:
        features: float (n, d), of any precision, in memory or in a file.
        head: The weights of the layer, float32.

    Returns:
        float32 (n, k).
    """
    found = np.empty((len(features), len(head.bias)), np.float32)
    for begin in range(0, len(features), CHUNK_ROWS):
        block = features[begin : begin + CHUNK_ROWS].astype(np.float32, copy=False)
        found[begin : begin + CHUNK_ROWS] = softmax(logits(head, block), axis=1)
    return found


def solve(
    plan: SolvePlan,
    data: LabelledFeatures,
    seed: int,
    *,
    every_image: bool = False,
    start: Start | None = None,
) -> Solved:
    """Solve a head on standardised features.

    Chooses the strength of least held-out log loss after calibration. All views of an image stay in one fold, and only
    the image itself is evaluated. With many images, cross-validation on a sample finds a strength; a hold-out of all
    images compares it with a stronger one.

    Args:
        plan: The classifier, its strengths, the number of folds; without folds there is one strength and no
            calibration.
        data: Features and labels of the training images. Memory holds them once as float32, besides the copies of the
            folds; twice where one tap is to be chosen.
        seed: Random seed of the folds and the sample.
        every_image: Hold out every image that can be, also where they are many and only a sample is needed to choose.
        start: Prior of "pretrained_classifier", see `pretrained_prior.start`. For other heads, where there are no
            folds, an uncalibrated head to start from, which saves iterations.

    Returns:
        The head. Protocol after Kornblith et al. 2019: L-BFGS, warm-started along the path.

    Example:
        >>> random = np.random.default_rng(0)
        >>> data = LabelledFeatures(random.normal(size=(1, 30, 8)), labels=np.arange(30) % 3)
        >>> plan = SolvePlan(head="lda", strengths=(0.9, 0.5, 0.1), folds=5)
        >>> solve(plan, data, seed=0).kernel.shape
        (8, 3)
    """
    labels, width = data.labels, data.views.shape[2]
    folds = make_folds(labels, plan.folds, seed, data.groups)
    order = np.arange(len(labels)) if folds is None else folds.order
    weights = compute_sample_weight("balanced" if plan.class_balance == "weights" else None, labels)
    columns = [slice(0, width)] if plan.taps == "all" else tap_columns(data.widths, width)
    # Products with a head are thin (as many columns as classes): BLAS threads in one product only wait for one another,
    # and cost up to 25 times the time on shared cores. Solutions run in parallel instead.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(os.cpu_count()) as threads, warnings.catch_warnings():
        # A strength that does not converge within the bound, or is too weak for the precision, still competes by its
        # held-out loss.
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", LinAlgWarning)
        features, scale = standardise(np.asarray(data.views), order)
        rows = Rows(features, labels[order], weights[order].astype(np.float32), features.shape[2])
        nearby = None
        if plan.head == "pretrained_classifier":
            assert start is not None  # callers check
            classifier = prior_classifier(start, scale)
        else:
            classifier = CLASSIFIERS[plan.head]
            if start is not None and not classifier.closed_form:
                nearby = to_standardised(Head(start.kernel, start.bias), scale)
        unseen = None if data.unseen is None else data.unseen[order]
        problem = _Problem(plan, classifier, rows, folds, threads, nearby, unseen)
        feature_sets = [problem.cross_validate(each) for each in columns]
        best = min(feature_sets, key=lambda each: each.log_loss)
        choice = problem.choose(best)
        options = cross_validation.ROUGH if len(labels) > MANY_IMAGES else cross_validation.FINE
        head = solver_for(classifier, best.rows)(choice.strength, options, choice.start)
        candidates = problem.held_out_candidates(feature_sets, best, choice, every_image)
        held_out = np.empty((len(labels) if candidates else 0, len(head.bias)), np.float32)
        if folds and candidates:
            held_out[order] = cross_validation.cross_fit(candidates, folds.fold, problem.calibrator)
    standardised = StandardisedHead(head, scale, best.columns, choice.calibration)
    layer = standardised.dense()
    return Solved(
        kernel=layer.weights,
        bias=layer.bias,
        centre=layer.centre,
        layer_differs=differences(standardised.logits, layer, data.views[0]),
        strength=choice.strength,
        temperature=choice.calibration.temperature,
        offsets=choice.calibration.offsets.astype(np.float32),
        log_loss_by_strength=choice.log_losses,
        judged_by=choice.judged_by,
        held_out=held_out,
        tap=feature_sets.index(best) if plan.taps == "best" else None,
        log_loss_by_tap=tuple(each.log_loss for each in feature_sets) if plan.taps == "best" else (),
    )


def needs_folds(plan: SolvePlan) -> bool:
    """Return whether folds decide more about a head than its strength and temperature.

    That is a tap, offsets, a temperature that depends on the number of images, or the use of unlabelled images.
    """
    # None for a head with a pretrained prior: logistic regression, which needs neither.
    classifier = CLASSIFIERS.get(plan.head)
    calibrated_again = classifier is not None and (classifier.needs_offsets or classifier.confidence_grows)
    return plan.taps == "best" or plan.pseudo_labels is not None or calibrated_again


def tap_columns(widths: Sequence[int] | None, width: int) -> list[slice]:
    """Return the columns of each tap.

    Args:
        widths: Number of features of each tap.
        width: Number of features of all taps together.

    Raises:
        ValueError: The widths do not add up.
    """
    if widths is None or sum(widths) != width:
        raise ValueError(f"widths: the taps have {width} features together; received {widths}")
    ends = np.cumsum(widths).tolist()
    return [slice(end - one, end) for end, one in zip(ends, widths, strict=True)]


@dataclass(frozen=True)
class _FeatureSet:
    """A subset of the features, and its cross-validation.

    Args:
        columns: The features.
        rows: The images with these features.
        sample: Those on which strengths were tried, with the judges that chose.
        results: Results by strength; empty without folds.
    """

    columns: slice
    rows: Rows
    sample: Rows
    results: Mapping[float, StrengthResult]

    @property
    def log_loss(self) -> float:
        return min((one.log_loss for one in self.results.values()), default=0.0)


@dataclass(frozen=True)
class _Problem:
    """One head being solved.

    Args:
        plan: The plan of the head.
        classifier: The classifier.
        rows: All features of all images.
        folds: The folds of the images; None for none.
        threads: Run solutions in parallel.
        start: Head from which the final solution starts where there are no folds.
        unseen: bool (n,), the images that the network was not trained on; None for all.
    """

    plan: SolvePlan
    classifier: Classifier
    rows: Rows
    folds: Folds | None
    threads: Executor
    start: Head | None
    unseen: np.ndarray | None

    @property
    def calibrator(self) -> Calibrator:
        return Calibrator(self.rows.labels, self.rows.weights, self.classifier.needs_offsets)

    def cross_validate(self, columns: slice) -> _FeatureSet:
        """Cross-validate the strengths on some of the features."""
        features = np.ascontiguousarray(self.rows.features[:, :, columns])
        rows = replace(self.rows, features=features, width=features.shape[2])
        folds = self.folds
        if folds is None:
            return _FeatureSet(columns, rows, rows, {})
        sample, fold, unseen = rows, folds.fold, self.unseen
        if not folds.samples_all:
            sample, fold = rows.select(folds.sample), fold[folds.sample]
            unseen = None if unseen is None else unseen[folds.sample]
        results = cross_validation.cross_validate(self.classifier, sample, fold, self.plan.strengths, self.threads)
        sample = cross_validation.judged_by(sample, fold != NEVER_HELD_OUT)
        if unseen is None:
            return _FeatureSet(columns, rows, sample, results)
        return _FeatureSet(columns, rows, *cross_validation.without_seen(self.classifier, sample, results, unseen))

    def choose(self, features: _FeatureSet) -> Choice:
        """Choose strength and calibration."""
        folds = self.folds
        if folds is None:
            uncalibrated = Calibration(1.0, np.zeros(int(self.rows.labels.max()) + 1))
            # Several were to be chosen from, and the images cannot be divided.
            several = len(self.plan.strengths) > 1
            strength = HEADS[self.plan.head].default_strength if several else self.plan.strengths[0]
            return Choice(strength, uncalibrated, self.start, {}, "default (no folds)")
        choice = cross_validation.choose_by_cross_validation(features.results, features.sample)
        if folds.samples_all and folds.fine is not None and self.classifier.confidence_grows:
            return cross_validation.recalibrate(self.classifier, features.sample, folds.fine, choice, self.threads)
        if folds.samples_all:
            return choice
        rows = features.rows
        if self.unseen is not None and not (features.sample.judge_weights > 0)[~self.unseen[folds.sample]].any():
            rows = cross_validation.judged_by(rows, self.unseen)
        training, held_out = rows.select(slice(0, folds.last)), rows.select(slice(folds.last, None))
        return cross_validation.choose_by_hold_out(
            self.classifier, training, held_out, self.plan.strengths, choice, self.threads
        )

    def held_out_candidates(
        self, feature_sets: list[_FeatureSet], best: _FeatureSet, choice: Choice, every_image: bool
    ) -> list[np.ndarray]:
        """Return logits (n, k) of all images by heads that have not seen them, or none where that was not needed."""
        folds = self.folds
        if folds and folds.samples_all:
            return [result.logits for each in feature_sets for result in each.results.values()]
        if folds and every_image:
            starts = best.results[cross_validation.best_strength(best.results)].heads
            return [cross_validation.held_out_logits(self.classifier, best.rows, folds.fold, choice.strength, starts)]
        return []
