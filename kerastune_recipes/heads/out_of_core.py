"""Heads on more features than memory holds: chosen on a sample that fits, then learnt from all images."""

import warnings
from dataclasses import replace

import numpy as np
from scipy.linalg import LinAlgWarning
from sklearn.utils.class_weight import compute_sample_weight
from threadpoolctl import threadpool_limits

from kerastune_recipes.arrays.files import FileArray
from kerastune_recipes.heads.calibration import Calibration
from kerastune_recipes.heads.classifiers import CLASSIFIERS, to_standardised
from kerastune_recipes.heads.cross_validation import ROUGH, stratified_sample
from kerastune_recipes.heads.dense import StandardisedHead, differences
from kerastune_recipes.heads.linear import Head
from kerastune_recipes.heads.pretrained_prior import Start, prior_classifier
from kerastune_recipes.heads.rows import FileRows, LabelledFeatures, Scale, read_blocks
from kerastune_recipes.heads.solve import Solved, solve, tap_columns
from kerastune_recipes.planning.plan import SolvePlan


def solve_out_of_core(
    plan: SolvePlan, data: LabelledFeatures, seed: int, max_images: int, *, start: Start | None = None
) -> Solved:
    """Solve a head on features in a file.

    Strength, calibration and tap are chosen on a stratified sample that fits into memory. At that strength the head
    learns from all images, after one pass over the file for their scale: LDA and naive Bayes from sums, in at most two
    more passes; the others by L-BFGS, starting from the head of the sample, with one pass per evaluation of the loss
    and at most `ROUGH.max_iter` iterations.

    Args:
        plan: The plan of the head, see `solve`.
        data: Features and labels; the views are a FileArray.
        seed: Random seed of the sample, and as for `solve`.
        max_images: Number of images whose features fit into memory.
        start: As for `solve`.

    Returns:
        The head; without held-out probabilities unless all images fit.

    Raises:
        DataError: As for `solve`.
    """
    views, labels, groups = data.views, data.labels, data.groups
    assert isinstance(views, FileArray)
    chosen = np.flatnonzero(stratified_sample(_strata(labels, plan.folds), max_images, seed))
    sample = LabelledFeatures(
        views=np.stack([views[view, chosen] for view in range(len(views))]),
        labels=labels[chosen],
        groups=None if groups is None else groups[chosen],
        widths=data.widths,
        unseen=None if data.unseen is None else data.unseen[chosen],
    )
    solved = solve(plan, sample, seed, start=start)
    if len(chosen) == len(labels):
        return solved
    width = views.shape[2]
    columns = slice(0, width) if solved.tap is None else tap_columns(data.widths, width)[solved.tap]
    scale = Scale.of(rows for _, rows in read_blocks(views))
    weights = compute_sample_weight("balanced" if plan.class_balance == "weights" else None, labels)
    rows = FileRows(views, labels, weights.astype(np.float32), scale, columns)
    has_prior = plan.head == "pretrained_classifier"
    classifier = prior_classifier(start, scale) if start and has_prior else CLASSIFIERS[plan.head]
    nearby = None if classifier.closed_form else to_standardised(_uncalibrated(solved, columns), scale.select(columns))
    # As in `solve`, BLAS threads only wait for one another in thin products; covariances profit from them.
    with threadpool_limits(None if classifier.closed_form else 1, "blas"), warnings.catch_warnings():
        # The strength was chosen by held-out loss, whatever its precision.
        warnings.simplefilter("ignore", LinAlgWarning)
        head = classifier.solver(rows)(solved.strength, ROUGH, nearby)
    standardised = StandardisedHead(head, scale, columns, Calibration(solved.temperature, solved.offsets))
    layer = standardised.dense()
    how = "solved on" if classifier.closed_form else "trained by gradient on"
    return replace(
        solved,
        kernel=layer.weights,
        bias=layer.bias,
        centre=layer.centre,
        layer_differs=differences(standardised.logits, layer, views.part(0)),
        judged_by=f"{solved.judged_by}; {how} all {len(labels)} images",
        held_out=solved.held_out[:0],
    )


def _strata(labels: np.ndarray, folds: int) -> np.ndarray:
    """Divide each class into as many strata as folds, int (n,), so that the sample has an image of it for each fold."""
    parts, order = max(1, folds), np.argsort(labels, kind="stable")
    counts = np.bincount(labels)
    rank = np.empty(len(labels), int)
    rank[order] = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    return labels * parts + rank % parts


def _uncalibrated(solved: Solved, columns: slice) -> Head:
    """Return a linear head as it was before calibration, on the features that it uses."""
    return Head(solved.kernel[columns] * solved.temperature, (solved.bias - solved.offsets) * solved.temperature)
