"""Heads on more features than memory holds: solved on as many images as it does, then trained by gradient on all."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.utils.class_weight import compute_sample_weight

from kerastune_recipes.data.matrix import AT_ONCE
from kerastune_recipes.data.spool import FileArray
from kerastune_recipes.plan import SolvePlan
from kerastune_recipes.solvers.choosing import ROUGH
from kerastune_recipes.solvers.classifiers import Head, squared_hinge
from kerastune_recipes.solvers.folds import sampled
from kerastune_recipes.solvers.learning import scaled, unscaled
from kerastune_recipes.solvers.rows import Scale
from kerastune_recipes.solvers.solving import Solved, solve
from kerastune_recipes.solvers.source import Start

# From logits (n, k), classes (n, k) as 0 and 1, and shares (n, 1) of the images to a loss and its slope (n, k).
Objective = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.floating, np.ndarray]]


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

    Strength and temperature are found on a stratified sample that memory holds. From the head that is solved on it,
    logistic regression and the linear SVM are trained on all images, by L-BFGS on the loss that they are defined by,
    with a pass over the file for each step, `ROUGH.max_iter` at most. The others stay those of the sample.

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
    objective = _OBJECTIVES.get(plan.head)
    if objective is None or len(chosen) == len(labels):
        return solved
    head = _trained_on(objective, plan, solved, views, labels)
    told = f"{solved.judged_by}; trained by gradient on all {len(labels)} images"
    return replace(solved, kernel=head.weights, bias=head.bias.astype(np.float32), judged_by=told)


def _strata(labels: np.ndarray, folds: int) -> np.ndarray:
    """Divide each class into as many strata as there are folds, int (n,), so that a sample has an image for each."""
    parts, order = max(1, folds), np.argsort(labels, kind="stable")
    counts = np.bincount(labels)
    within = np.empty(len(labels), int)
    within[order] = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    return labels * parts + within % parts


def _trained_on(objective: Objective, plan: SolvePlan, solved: Solved, views: FileArray, labels: np.ndarray) -> Head:
    """Return a head on features as they are, trained from one that was solved, on the features that that looks at."""
    used = np.flatnonzero(np.abs(solved.kernel).any(axis=1))
    scale = Scale.of(block for _, block in _blocks(views, used))
    weights = compute_sample_weight("balanced" if plan.class_balance == "weights" else None, labels)
    shares = (weights / weights.sum() / len(views)).astype(np.float32)[:, None]
    right = np.eye(int(labels.max()) + 1, dtype=np.float32)
    # A strength is the precision of a prior against the loss summed over all views. scikit-learn's logistic regression
    # of two classes penalises their difference alone.
    halved = plan.head == "logistic_regression" and len(right) == 2
    penalty = (2 if halved else 1) * solved.strength / float(weights.sum() * len(views))

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        found = flat.astype(np.float32).reshape(-1, len(right))
        value, slope = penalty / 2 * float(np.square(found[:-1]).sum()), penalty * found
        slope[-1] = 0
        for place, block in _blocks(views, used):
            scale.apply(block)
            part, error = objective(block @ found[:-1] + found[-1], right[labels[place]], shares[place])
            value += float(part)
            slope[:-1] += block.T @ error
            slope[-1] += error.sum(axis=0)
        return value, slope.ravel().astype(float)

    raw = Head(solved.kernel[used] * solved.temperature, solved.bias * solved.temperature)
    begin = scaled(raw, scale)
    options = {"maxiter": ROUGH.max_iter, "gtol": ROUGH.tol, "ftol": 64 * np.finfo(float).eps}
    found = minimize(
        loss, np.vstack([begin.weights, begin.bias]).ravel(), jac=True, method="L-BFGS-B", options=options
    ).x.reshape(-1, len(right))
    trained = unscaled(Head(found[:-1] / solved.temperature, found[-1] / solved.temperature), scale, np.float32)
    kernel = np.zeros_like(solved.kernel)
    kernel[used] = trained.weights
    return Head(kernel, trained.bias)


def _blocks(views: FileArray, used: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Give all rows in the order of the file: which images they are of, and their features in use as float32."""
    for view in range(len(views)):
        for begin in range(0, views.shape[1], AT_ONCE):
            place = slice(begin, begin + AT_ONCE)
            yield place, views[view, place].astype(np.float32)[:, used]


def _cross_entropy(raw: np.ndarray, right: np.ndarray, shares: np.ndarray) -> tuple[np.floating, np.ndarray]:
    log_probabilities = log_softmax(raw, axis=1)
    return -(shares * right * log_probabilities).sum(), shares * (np.exp(log_probabilities) - right)


def _squared_hinge(raw: np.ndarray, right: np.ndarray, shares: np.ndarray) -> tuple[np.floating, np.ndarray]:
    return squared_hinge(raw, 2 * right - 1, shares)


_OBJECTIVES: Mapping[str, Objective] = {"logistic_regression": _cross_entropy, "linear_svm": _squared_hinge}
