"""Phases that train judged by cross-validation: each fold runs all of them, then the best is refitted on all images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, geometric_mean

import numpy as np

from kerastune_recipes.data import splits
from kerastune_recipes.data.dataset import Dataset
from kerastune_recipes.data.split_images import TRAIN
from kerastune_recipes.evaluation import metrics
from kerastune_recipes.reporting.outcome import Outcome
from kerastune_recipes.run import fit_phase, phases, refit
from kerastune_recipes.run.checkpoint import Journal
from kerastune_recipes.run.context import Bench
from kerastune_recipes.run.phases import Done
from kerastune_recipes.training import gate


@dataclass(frozen=True)
class Judged:
    """What phases did, and which is kept.

    Args:
        outcomes: Of all phases.
        chosen: Position of the one whose weights the network has.
        probabilities: float32 (n, k), of that one for the images it was judged by.
        refitted: Whether it has then learnt from these images too.
    """

    outcomes: list[Outcome]
    chosen: int
    probabilities: np.ndarray
    refitted: bool


def by_folds(bench: Bench, book: Journal, begin: Callable[[], None]) -> Judged:
    """Run all phases once for each fold, on the others, and the best of them once more on all images.

    Args:
        bench: What to work with; the plan says how many folds. The network is left with the refitted weights.
        book: What is finished already, and where the rest is kept.
        begin: Called before anything is written, when every image has been decoded.

    Raises:
        WorkError: Training diverged.
    """
    plan, images = bench.plan, bench.images[TRAIN]
    assert plan.folds is not None  # otherwise nobody calls this
    fold_of = splits.stratified_folds(images.labels, plan.folds, bench.seed, images.groups, plan.class_names)
    untouched = bench.network.model.get_weights()
    found = []
    for fold in range(plan.folds):
        bench.display.line(f"fold {fold + 1} of {plan.folds}")
        part = bench.on(np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold))
        bench.network.model.set_weights(untouched)
        found.append(phases.run(part, plan.phases, book.part(f"fold_{fold + 1}"), begin))
    out_of_fold = [_out_of_fold(each, fold_of) for each in zip(*found, strict=True)]
    outcomes = [
        _judged(each, probabilities, images.labels)
        for each, probabilities in zip(zip(*found, strict=True), out_of_fold, strict=True)
    ]
    chosen = choose_phase(outcomes, plan.keep)
    bench.network.model.set_weights(untouched)
    outcomes = refit.everything(bench, outcomes, chosen, book, begin)
    return Judged(outcomes, chosen, out_of_fold[chosen], refitted=True)


def _out_of_fold(each: Sequence[Done], fold_of: np.ndarray) -> np.ndarray:
    """Put together the probabilities of all images, each by the fold that has not seen it."""
    probabilities = np.empty((len(fold_of), each[0].probabilities.shape[1]), np.float32)
    for fold, done in enumerate(each):
        probabilities[fold_of == fold] = done.probabilities
    return probabilities


def _judged(each: Sequence[Done], probabilities: np.ndarray, labels: np.ndarray) -> Outcome:
    """Return the outcome of a phase over all folds."""
    outcomes = [done.outcome for done in each]
    return replace(
        outcomes[-1],
        seconds=sum(outcome.seconds for outcome in outcomes),
        validation=dict(metrics.summary(probabilities, labels)),
        choices={"accuracy_by_fold": [outcome.validation["accuracy"] for outcome in outcomes], **_together(outcomes)},
    )


def _together(outcomes: Sequence[Outcome]) -> dict[str, float | bool]:
    """Return what a phase computed in all folds; or what most of them made of it, and their mean, where it fits."""
    if outcomes[0].kind != "fit":
        return {"features_computed": sum(outcome.choices["features_computed"] for outcome in outcomes)}
    kept = [fit_phase.kept_of(outcome) for outcome in outcomes]
    again = sum(each.way.solved_again for each in kept) * 2 > len(kept)
    return {
        "interpolation": 1.0 if again else fmean(each.way.share for each in kept),
        "head_solved_again": again,
        "temperature": geometric_mean(each.temperature for each in kept),
    }


def choose_phase(outcomes: Sequence[Outcome], keep: str) -> int:
    """Return which phase's model is kept.

    Args:
        outcomes: Of all phases.
        keep: "best_on_validation" or "last".
    """
    if keep == "last":
        return len(outcomes) - 1
    # The model that a phase leaves when it is undone is that of the phase before, which can be refitted as what it is.
    left = [one for one, outcome in enumerate(outcomes) if outcome.choices.get("interpolation") != gate.BEFORE.share]
    return min(left, key=lambda one: outcomes[one].validation["log_loss"])


def by_hold_out(bench: Bench, dataset: Dataset, book: Journal, begin: Callable[[], None]) -> Judged:
    """Run all phases, and leave the network with the weights of the one that is kept, refitted where that is wanted."""
    plan, model = bench.plan, bench.network.model
    untouched = model.get_weights() if plan.refit == "all" else []
    done = phases.run(bench, plan.phases, book, begin)
    outcomes = [each.outcome for each in done]
    chosen = choose_phase(outcomes, plan.keep)
    model.set_weights(done[chosen].weights)
    refitted = dataset.held_out and (
        plan.refit == "all" or (plan.refit == "heads" and refit.has_solved_head(plan.phases[chosen]))
    )
    if refitted and plan.refit == "heads":
        outcomes = refit.head(bench.on_all(), outcomes, chosen)
    elif refitted:
        model.set_weights(untouched)
        outcomes = refit.everything(bench.on_all(), outcomes, chosen, book, begin)
    return Judged(outcomes, chosen, done[chosen].probabilities, refitted or plan.folds is not None)
