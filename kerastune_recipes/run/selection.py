"""Which phase the returned model comes from: chosen by a hold-out or by cross-validation, then refitted."""

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean, geometric_mean

import numpy as np

from kerastune_recipes.data import splits
from kerastune_recipes.data.split_images import TRAIN, Images
from kerastune_recipes.evaluation import metrics
from kerastune_recipes.reporting.outcome import Outcome, Selection
from kerastune_recipes.run import phases, refit
from kerastune_recipes.run.checkpoint import Checkpoint
from kerastune_recipes.run.context import RunContext
from kerastune_recipes.run.fit_phase import batch_parts, decision_of
from kerastune_recipes.run.phases import CompletedPhase
from kerastune_recipes.training import gate


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
    done = phases.run(context, plan.phases, checkpoint)
    outcomes = [each.outcome for each in done]
    chosen = choose_phase(outcomes, plan.keep)
    network.set_weights(done[chosen].weights)
    probabilities = done[chosen].probabilities
    if held_out and plan.refit == "heads" and refit.has_solved_head(plan.phases[chosen]):
        outcomes = refit.head(context.on_all_images(), outcomes, chosen)
        return Selection(outcomes, chosen, probabilities, refitted=True)
    if held_out and plan.refit == "all":
        network.set_weights(initial)
        outcomes = refit.everything(context.on_all_images(), outcomes, chosen, checkpoint)
        return Selection(outcomes, chosen, probabilities, refitted=True)
    # Heads solved with folds have learned from all images already.
    return Selection(outcomes, chosen, probabilities, refitted=plan.folds is not None)


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
    fold_of = splits.stratified_folds(images.labels, plan.folds, context.seed, images.groups, plan.class_names)
    initial = network.model.get_weights()
    found = []
    for fold in range(plan.folds):
        context.display.line(f"fold {fold + 1} of {plan.folds}")
        part = context.on_fold(np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold))
        network.set_weights(initial)
        found.append(phases.run(part, plan.phases, checkpoint.part(f"fold_{fold + 1}")))
    by_phase = list(zip(*found, strict=True))
    out_of_fold = [_out_of_fold(each, fold_of) for each in by_phase]
    outcomes = [
        _over_folds(each, probabilities, images) for each, probabilities in zip(by_phase, out_of_fold, strict=True)
    ]
    chosen = choose_phase(outcomes, plan.keep)
    network.set_weights(initial)
    outcomes = refit.everything(context, outcomes, chosen, checkpoint)
    return Selection(outcomes, chosen, out_of_fold[chosen], refitted=True)


def choose_phase(outcomes: Sequence[Outcome], keep: str) -> int:
    """Return the position of the phase whose model is returned.

    Args:
        outcomes: Outcomes of all phases.
        keep: "best_on_validation" or "last".
    """
    if keep == "last":
        return len(outcomes) - 1
    # A discarded phase leaves the model of the phase before it, which is chosen, and refitted, as what it is.
    kept = [one for one, outcome in enumerate(outcomes) if outcome.choices.get("interpolation") != gate.BEFORE.share]
    return min(kept, key=lambda one: outcomes[one].validation["log_loss"])


def _out_of_fold(each: Sequence[CompletedPhase], fold_of: np.ndarray) -> np.ndarray:
    """Return the probabilities of all images, each by the model that has not seen it."""
    probabilities = np.empty((len(fold_of), each[0].probabilities.shape[1]), np.float32)
    for fold, done in enumerate(each):
        probabilities[fold_of == fold] = done.probabilities
    return probabilities


def _over_folds(each: Sequence[CompletedPhase], probabilities: np.ndarray, images: Images) -> Outcome:
    """Return one outcome for a phase that ran in every fold."""
    outcomes = [done.outcome for done in each]
    return replace(
        outcomes[-1],
        seconds=sum(outcome.seconds for outcome in outcomes),
        validation=dict(metrics.summary(probabilities, images.labels, images.groups)),
        choices={
            "accuracy_by_fold": [outcome.validation["accuracy"] for outcome in outcomes],
            **_combined_choices(outcomes),
        },
    )


def _combined_choices(outcomes: Sequence[Outcome]) -> dict[str, float | bool]:
    """Return the features computed in all folds; for a fit phase the majority's decision, and mean figures."""
    if outcomes[0].kind != "fit":
        return {"features_computed": sum(outcome.choices["features_computed"] for outcome in outcomes)}
    decisions = [decision_of(outcome) for outcome in outcomes]
    again = sum(each.candidate.solved_again for each in decisions) * 2 > len(decisions)
    return {
        "interpolation": 1.0 if again else fmean(each.candidate.share for each in decisions),
        "head_solved_again": again,
        "temperature": geometric_mean(each.temperature for each in decisions),
        **batch_parts(max(outcome.batch_parts for outcome in outcomes)),
    }
