"""Heads on more features than memory holds: chosen on as many images as it does, then learnt from all."""

import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.linalg import LinAlgWarning
from sklearn.utils.class_weight import compute_sample_weight
from threadpoolctl import threadpool_limits

from kerastune_recipes.arrays.files import FileArray
from kerastune_recipes.heads.calibration import Calibration
from kerastune_recipes.heads.classifiers import CLASSIFIERS, scaled
from kerastune_recipes.heads.cross_validation import ROUGH, sampled
from kerastune_recipes.heads.linear import Head
from kerastune_recipes.heads.pretrained_prior import Start, drawn_to
from kerastune_recipes.heads.rows import FiledRows, Scale, read
from kerastune_recipes.heads.solve import Solved, columns_of_taps, folded, solve
from kerastune_recipes.planning.plan import SolvePlan


def solve_from_file(
    plan: SolvePlan,
    views: FileArray,
    labels: np.ndarray,
    seed: int,
    *,
    most: int,
    groups: np.ndarray | None = None,
    widths: Sequence[int] | None = None,
    start: Start | None = None,
) -> Solved:
    """Solve a head on features in a file.

    Strength, calibration and tap are found on a stratified sample that memory holds. At that strength the head learns
    from all images, after a pass over the file for their scale: LDA and naive Bayes from moments that are added up, in
    two more at most, the others by L-BFGS from the head of the sample, with a pass for each step, `ROUGH.max_iter` of
    them at most.

    Args:
        plan: As for `solve`.
        views: float (v, n, d), features of each view of each image.
        labels: int (n,), every class present.
        seed: Of the sample, and as for `solve`.
        most: Images that memory holds.
        groups: As for `solve`.
        widths: As for `solve`.
        start: As for `solve`.

    Raises:
        DataError: As for `solve`.
    """
    chosen = np.flatnonzero(sampled(_strata(labels, plan.folds), most, seed))
    solved = solve(
        plan,
        np.stack([views[view, chosen] for view in range(len(views))]),
        labels[chosen],
        seed,
        groups=None if groups is None else groups[chosen],
        widths=widths,
        start=start,
    )
    if len(chosen) == len(labels):
        return solved
    width = views.shape[2]
    columns = slice(0, width) if solved.tap is None else columns_of_taps(widths, width)[solved.tap]
    scale = Scale.of(rows for _, rows in read(views))
    weights = compute_sample_weight("balanced" if plan.class_balance == "weights" else None, labels)
    rows = FiledRows(views, labels, weights.astype(np.float32), scale, columns)
    classifier = drawn_to(start, scale) if start and plan.head == "source_classifier" else CLASSIFIERS[plan.head]
    begin = None if classifier.closed else scaled(_uncalibrated(solved, columns), scale.part(columns))
    # As in `solve`, threads would only wait for one another where products are thin; covariances gain by them.
    with threadpool_limits(None if classifier.closed else 1, "blas"), warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", LinAlgWarning
        )  # the strength was judged by held-out loss, whatever its precision
        head = classifier.learn(rows)(solved.strength, ROUGH, begin)
    kernel, bias = folded(head, scale, columns, Calibration(solved.temperature, solved.offsets))
    how = "solved on" if classifier.closed else "trained by gradient on"
    return replace(
        solved,
        kernel=kernel,
        bias=bias,
        judged_by=f"{solved.judged_by}; {how} all {len(labels)} images",
        held_out=solved.held_out[:0],
    )


def _strata(labels: np.ndarray, folds: int) -> np.ndarray:
    """Divide each class into as many strata as there are folds, int (n,), so that a sample has an image for each."""
    parts, order = max(1, folds), np.argsort(labels, kind="stable")
    counts = np.bincount(labels)
    within = np.empty(len(labels), int)
    within[order] = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    return labels * parts + within % parts


def _uncalibrated(solved: Solved, columns: slice) -> Head:
    """Return a head that is linear as it was before its calibration, on the features that it looks at."""
    return Head(solved.kernel[columns] * solved.temperature, (solved.bias - solved.offsets) * solved.temperature)
