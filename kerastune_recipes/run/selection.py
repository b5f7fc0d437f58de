"""Which phase the returned model comes from: chosen by a hold-out or by cross-validation, then refitted."""

from collections.abc import Sequence

import numpy as np

from kerastune_recipes.data import splits
from kerastune_recipes.data.split_images import TRAIN
from kerastune_recipes.evaluation import metrics
from kerastune_recipes.evaluation.judges import Judges
from kerastune_recipes.reporting.outcome import Selection
from kerastune_recipes.run import phases, refit
from kerastune_recipes.run.checkpoint import Checkpoint
from kerastune_recipes.run.context import RunContext
from kerastune_recipes.run.phases import CompletedPhase, Division


def by_hold_out(context: RunContext, checkpoint: Checkpoint, held_out: bool) -> Selection:
    """Run all phases, choose one by the validation images, and refit it where the plan says so.

    Args:
        context: The run; its network is left with the chosen weights.
        checkpoint: Completed phases; the others are saved there.
        held_out: Whether the validation images were held out of the training images, so that a refit may use them.

    Raises:
        WorkError: Training diverged.
    """
    plan, network = context.plan, context.network
    initial = network.model.get_weights() if plan.refit == "all" else []
    divisions = [Division(context, checkpoint)]
    done = phases.run(divisions, plan.phases, checkpoint)
    chosen, probabilities = choose_phase(done, *_judges(divisions), plan.keep)
    network.set_weights(done[chosen].weights[0])
    outcomes = [each.outcome for each in done]
    if held_out and plan.refit == "heads" and refit.may_refit_head(plan.phases[chosen], outcomes[chosen]):
        outcomes = refit.head(context, outcomes, chosen)
        return Selection(outcomes, chosen, probabilities, refitted="head")
    if held_out and plan.refit == "all":
        network.set_weights(initial)
        outcomes = refit.everything(context.on_all_images(), outcomes, chosen, checkpoint)
        return Selection(outcomes, chosen, probabilities, refitted="all")
    # Heads solved with folds have learned from all images already.
    return Selection(outcomes, chosen, probabilities, refitted="head" if plan.folds else "none")


def by_folds(context: RunContext, checkpoint: Checkpoint) -> Selection:
    """Run all phases once for each fold, on the other folds, and refit the best of them on all images.

    Args:
        context: The run; its plan says how many folds. Its network is left with the refitted weights.
        checkpoint: Completed phases of each fold and of the refit; the others are saved there.

    Raises:
        WorkError: Training diverged.
    """
    plan, network, images = context.plan, context.network, context.images[TRAIN]
    assert plan.folds is not None  # callers check
    fold_of = splits.stratified_folds(images.labels, plan.folds, context.seed, images.together, plan.class_names)
    initial = network.model.get_weights()
    positions = [np.flatnonzero(fold_of == fold) for fold in range(plan.folds)]
    divisions = [
        Division(
            context.on_fold(np.flatnonzero(fold_of != fold), held),
            checkpoint.part(f"fold_{fold + 1}", is_fold=True),
            f"fold {fold + 1} of {plan.folds}",
        )
        for fold, held in enumerate(positions)
    ]
    done = phases.run(divisions, plan.phases, checkpoint)
    chosen, by_division = choose_phase(done, *_judges(divisions), plan.keep)
    network.set_weights(initial)
    outcomes = refit.everything(context, [each.outcome for each in done], chosen, checkpoint)
    probabilities = np.empty_like(by_division)
    probabilities[np.concatenate(positions)] = by_division
    return Selection(outcomes, chosen, probabilities, refitted="all")


def choose_phase(done: Sequence[CompletedPhase], judges: Judges, fold: np.ndarray, keep: str) -> tuple[int, np.ndarray]:
    """Choose the phase whose model is returned, by held-out log loss.

    Args:
        done: All phases.
        judges: The held-out images.
        fold: int (n,), the fold of each.
        keep: "best_on_validation" or "last".

    Returns:
        Position of the phase, and the probabilities of each image by the phase that the images outside its fold
        choose, float32 (n, k).
    """
    if keep == "last":
        return len(done) - 1, done[-1].cross_fitted
    # A discarded phase leaves the model of the phase before it, which is chosen, and refitted, as what it is.
    kept = [position for position, phase in enumerate(done) if not phase.outcome.discarded]
    losses = {position: metrics.losses(done[position].cross_fitted, judges.labels) for position in kept}
    chosen = min(kept, key=lambda position: judges.mean(losses[position]))
    probabilities = done[chosen].cross_fitted.copy()
    for number in range(fold.max() + 1 if fold.any() else 0):
        outside = fold != number
        others = judges.select(outside)
        best = min(kept, key=lambda position: others.mean(losses[position][outside]))
        probabilities[~outside] = done[best].cross_fitted[~outside]
    return chosen, probabilities


def _judges(divisions: Sequence[Division]) -> tuple[Judges, np.ndarray]:
    judges = phases.judges_of(divisions)
    return judges, phases.folds_of(divisions, judges)
