"""From features to a head: chosen, calibrated, and folded into the weights of one dense layer."""

import os
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import LinAlgWarning
from scipy.special import softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.class_weight import compute_sample_weight
from threadpoolctl import threadpool_limits

from kerastune_recipes.arrays.feature_matrix import AT_ONCE
from kerastune_recipes.arrays.files import Rows as Stored
from kerastune_recipes.heads import cross_validation
from kerastune_recipes.heads.calibration import Calibration, Judge
from kerastune_recipes.heads.classifiers import CLASSIFIERS, Classifier, learn, scaled, unscaled
from kerastune_recipes.heads.cross_validation import MANY_IMAGES, Choice, Cut, Tried, cut
from kerastune_recipes.heads.linear import Head, logits
from kerastune_recipes.heads.pretrained_prior import Start, drawn_to
from kerastune_recipes.heads.rows import Rows, Scale, standardised
from kerastune_recipes.planning.plan import SolvePlan

# Raised whenever the same features and labels would be solved to another head: heads solved before are then not used.
PROTOCOL = 7


@dataclass(frozen=True)
class Solved:
    """A head as the weights of a dense layer on unstandardised features.

    Args:
        kernel: float32 (d, k); (2 d, k) where the head looks at features and their squares.
        bias: float32 (k,).
        strength: The strength chosen, see `SolveSpec`.
        temperature: What the logits were divided by, so that probabilities match held-out frequencies.
        offsets: float32 (k,), what was added to them then.
        log_loss_by_strength: Held-out log loss of each strength tried, strong to weak, in nats and each with its own
            best calibration; the chosen strength has the least. Empty where none was tried.
        judged_by: What held-out images strength and temperature were found on, in words.
        held_out: float32 (n, k), probabilities of the images by heads that have not seen them, strength and calibration
            chosen by other images too; (0, k) where not every image was held out.
        tap: Number of the tap chosen, whose features alone the head looks at; None where it looks at all.
        log_loss_by_tap: Held-out log loss of each tap alone, nats; empty where none was to be chosen.
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

    def probabilities(self, features: Stored) -> np.ndarray:
        """Return class probabilities (n, k) for features (n, d)."""
        return probabilities(features, self.kernel, self.bias)


def probabilities(features: Stored, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Return what a dense layer with softmax makes of features, or of features and their squares.

    Args:
        features: float (n, d), of any precision, in memory or in a file.
        kernel: float32 (d, k) or (2 d, k).
        bias: float32 (k,).

    Returns:
        float32 (n, k).
    """
    head, found = Head(kernel, bias), np.empty((len(features), len(bias)), np.float32)
    for begin in range(0, len(features), AT_ONCE):
        some = features[begin : begin + AT_ONCE].astype(np.float32, copy=False)
        found[begin : begin + AT_ONCE] = softmax(logits(head, some), axis=1)
    return found


def solve(
    plan: SolvePlan,
    views: np.ndarray,
    labels: np.ndarray,
    seed: int,
    *,
    groups: np.ndarray | None = None,
    widths: Sequence[int] | None = None,
    every_image: bool = False,
    start: Start | None = None,
) -> Solved:
    """Solve a head on standardised features.

    The strength is chosen by held-out log loss after calibration, because the head is calibrated in the end. All views
    of an image stay in one fold, and only the image itself is used to judge. Of many images, cross-validation of a
    sample singles out a strength; a hold-out tries it, and a stronger one, on all.

    Args:
        plan: The classifier, its strengths, the folds; without folds there is one strength and no calibration.
        views: float (v, n, d), features of each view of each image, the image itself first; of any precision, and a
            memory map if you like. They are held in memory once, as float32, besides what the folds take; twice where
            one tap is to be chosen.
        labels: int (n,), every class present.
        seed: Of the folds and the sample.
        groups: int (n,), the group of each image, or None; images of a group stay in one fold.
        widths: Features of each tap, adding up to d; needed where one tap is to be chosen.
        every_image: Hold out every image, also where they are many and the choice needs a sample only.
        start: What "source_classifier" is drawn to, see `source.start`; with other heads, where there are no folds,
            a head without calibration to begin at, which saves steps.

    Returns:
        The head. Protocol after Kornblith et al. 2019: L-BFGS, warm-started along the path.

    Raises:
        DataError: Groups that leave a class out of what a fold learns from.

    Example:
        >>> plan = SolvePlan(head="lda", strengths=(0.9, 0.5, 0.1), folds=5)
        >>> solved = solve(plan, features[None], labels, seed=0)
    """
    parts = cut(labels, plan.folds, seed, groups)
    weights = compute_sample_weight("balanced" if plan.class_balance == "weights" else None, labels)
    columns = [slice(0, views.shape[2])] if plan.taps == "all" else columns_of_taps(widths, views.shape[2])
    # Products with a head are thin (as wide as there are classes): several BLAS threads to one product only wait for
    # one another, and cost up to 25 times the time where the cores are shared. Solutions run side by side instead.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(os.cpu_count()) as threads, warnings.catch_warnings():
        # A strength that does not converge within the bound, or is too weak for the precision, is judged by its
        # held-out loss like any other.
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", LinAlgWarning)
        features, scale = standardised(views, parts.order)
        rows = Rows(features, labels[parts.order], weights[parts.order].astype(np.float32), features.shape[2])
        if plan.head == "source_classifier":
            assert start is not None  # it is what the head is named for
            classifier, begin = drawn_to(start, scale), None
        else:
            classifier = CLASSIFIERS[plan.head]
            begin = None if start is None or classifier.closed else scaled(Head(start.kernel, start.bias), scale)
        work = _Work(plan, classifier, rows, parts, threads, begin)
        options = [work.option(one) for one in columns]
        best = min(options, key=lambda option: option.log_loss)
        choice = work.choice(best)
        effort = cross_validation.ROUGH if len(labels) > MANY_IMAGES else cross_validation.FINE
        head = learn(work.classifier, best.rows)(choice.strength, effort, choice.start)
        candidates = work.candidates(options, best, choice, every_image)
        held_out = np.empty((len(labels) if candidates else 0, len(head.bias)), np.float32)
        if candidates:
            held_out[parts.order] = cross_validation.cross_fitted(candidates, parts.fold, work.judge)
    kernel, bias = folded(head, scale, best.columns, choice.calibration)
    return Solved(
        kernel=kernel,
        bias=bias,
        strength=choice.strength,
        temperature=choice.calibration.temperature,
        offsets=choice.calibration.offsets.astype(np.float32),
        log_loss_by_strength=choice.log_losses,
        judged_by=choice.judged_by,
        held_out=held_out,
        tap=options.index(best) if plan.taps == "best" else None,
        log_loss_by_tap=tuple(option.log_loss for option in options) if plan.taps == "best" else (),
    )


def needs_folds(plan: SolvePlan) -> bool:
    """Return whether folds find more for a head than its strength and temperature.

    That is a tap, an offset for each class, a temperature that more images change, or what unlabelled images are good
    for.
    """
    calibrated = CLASSIFIERS.get(plan.head)  # none for what is drawn to a start, which is logistic regression
    anew = calibrated is not None and (calibrated.offsets or calibrated.sharpens)
    return plan.taps == "best" or plan.pseudo_labels is not None or anew


def columns_of_taps(widths: Sequence[int] | None, width: int) -> list[slice]:
    """Return the columns of each tap.

    Args:
        widths: Features of each tap.
        width: Of all taps together.
    """
    if widths is None or sum(widths) != width:
        raise ValueError(f"widths: the taps have {width} features together; received {widths}")
    ends = np.cumsum(widths).tolist()
    return [slice(end - one, end) for end, one in zip(ends, widths, strict=True)]


@dataclass(frozen=True)
class _Option:
    """Features that a head may look at, and what was tried of them.

    Args:
        columns: Which they are.
        rows: The images.
        tried: By strength; empty without folds.
    """

    columns: slice
    rows: Rows
    tried: Mapping[float, Tried]

    @property
    def log_loss(self) -> float:
        return min((one.log_loss for one in self.tried.values()), default=0.0)


@dataclass(frozen=True)
class _Work:
    """One problem while it is solved.

    Args:
        plan: What to do.
        classifier: What is learnt.
        rows: All features of all images.
        parts: The images' parts.
        threads: On which solutions run side by side.
        begin: Where the last solution begins, if nothing has been tried.
    """

    plan: SolvePlan
    classifier: Classifier
    rows: Rows
    parts: Cut
    threads: Executor
    begin: Head | None

    @property
    def judge(self) -> Judge:
        return Judge(self.rows.labels, self.rows.weights, self.classifier.offsets)

    def option(self, columns: slice) -> _Option:
        """Try strengths on some of the features."""
        features = np.ascontiguousarray(self.rows.features[:, :, columns])
        rows = replace(self.rows, features=features, width=features.shape[2])
        if not self.plan.folds:
            return _Option(columns, rows, {})
        sample, fold = (
            (rows, self.parts.fold)
            if self.parts.whole
            else (rows.part(self.parts.sample), self.parts.fold[self.parts.sample])
        )
        tried = cross_validation.cross_validate(self.classifier, sample, fold, self.plan.strengths, self.threads)
        return _Option(columns, rows, tried)

    def choice(self, option: _Option) -> Choice:
        """Choose the strength."""
        if not self.plan.folds:
            untried = Calibration(1.0, np.zeros(int(self.rows.labels.max()) + 1))
            return Choice(self.plan.strengths[0], untried, self.begin, {}, "nothing, there being no folds")
        choice = cross_validation.by_cross_validation(option.tried)
        if self.parts.whole and self.parts.fine is not None and self.classifier.sharpens:
            return cross_validation.calibrated_finely(
                self.classifier, option.rows, self.parts.fine, choice, self.threads
            )
        if self.parts.whole:
            return choice
        end = int(np.argmin(self.parts.fold))
        training, held = option.rows.part(slice(0, end)), option.rows.part(slice(end, None))
        return cross_validation.by_hold_out(self.classifier, training, held, self.plan.strengths, choice, self.threads)

    def candidates(self, options: list[_Option], best: _Option, choice: Choice, every_image: bool) -> list[np.ndarray]:
        """Return logits (n, k) of all images by heads that have not seen them, none where that was not needed."""
        if self.plan.folds and self.parts.whole:
            return [tried.logits for option in options for tried in option.tried.values()]
        if self.plan.folds and every_image:
            starts = best.tried[cross_validation.least(best.tried)].heads
            return [
                cross_validation.logits_by_fold(self.classifier, best.rows, self.parts.fold, choice.strength, starts)
            ]
        return []


def folded(head: Head, scale: Scale, columns: slice, calibration: Calibration) -> tuple[np.ndarray, np.ndarray]:
    """Return kernel and bias, float32, that make calibrated logits of all features as they are.

    Args:
        head: On some of the features, standardised.
        scale: What all of them were standardised by.
        columns: Which the head looks at.
        calibration: Of its logits.
    """
    calibrated = Head(head.weights / calibration.temperature, head.bias / calibration.temperature + calibration.offsets)
    found = unscaled(calibrated, scale.part(columns), np.float32)
    width, seen = len(scale.mean), len(scale.mean[columns])
    kernel = np.zeros((len(found.weights) // seen, width, len(found.bias)), np.float32)
    kernel[:, columns] = found.weights.reshape(-1, seen, len(found.bias))
    return kernel.reshape(-1, len(found.bias)), found.bias.astype(np.float32)
