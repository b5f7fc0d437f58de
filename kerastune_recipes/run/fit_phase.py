"""A phase that trains: fit, then keep as much of the training as the held-out images support."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kerastune_recipes.data.split_images import TRAIN, VALIDATION
from kerastune_recipes.devices.replicated import active_strategy
from kerastune_recipes.errors import WorkError
from kerastune_recipes.heads.cached import HeadRequest, load_head, solve_head
from kerastune_recipes.heads.solve import Solved
from kerastune_recipes.model.batch_norm import batch_norms, reestimate
from kerastune_recipes.planning import rules
from kerastune_recipes.planning.plan import FitPlan, PhasePlan
from kerastune_recipes.reporting.outcome import Outcome
from kerastune_recipes.run.context import RunContext
from kerastune_recipes.training import fit as training
from kerastune_recipes.training import gate
from kerastune_recipes.training.accumulation import part_size
from kerastune_recipes.training.batches import LabelledBatches
from kerastune_recipes.training.callbacks import EpochLines, Ticks
from kerastune_recipes.training.fit import FitOptions, Fitted
from kerastune_recipes.training.fit_checkpoint import FitCheckpoint
from kerastune_recipes.training.gate import Candidate, Decision


@dataclass(frozen=True)
class Trained:
    """A phase after its training, before it is decided how much of it to keep.

    Args:
        context: The run.
        plan: The plan of the phase.
        outcome: What the training did; its validation and what is decided later are empty.
        before: All weights before it.
        after: All weights after it.
        at_once: Number of images that the devices saw at once.
        candidates: Probabilities of the held-out images by each model that may be kept, float32 (n, k) each; empty in a
            refit. Only the model before the phase where the training diverged.
    """

    context: RunContext
    plan: FitPlan
    outcome: Outcome
    before: list[np.ndarray]
    after: list[np.ndarray]
    at_once: int
    candidates: Mapping[Candidate, np.ndarray]

    @property
    def diverged(self) -> bool:
        """Whether the loss became NaN or infinite, so that only the model before the phase is left."""
        return "diverged" in self.outcome.choices


def train(
    context: RunContext, name: str, plan: FitPlan, checkpoint: FitCheckpoint | None, earlier: np.ndarray | None
) -> Trained:
    """Train, and predict the held-out images by each model that may be kept.

    Args:
        context: The run; its network is left with any of these models.
        name: Name of the phase.
        plan: The plan of the phase.
        checkpoint: Where the state of the training is saved.
        earlier: Probabilities that the model before the phase gives the held-out images, float32 (n, k); None where
            there is no model to return to.

    Raises:
        WorkError: Training diverged, and there is no earlier model to return to.
    """
    began = time.perf_counter()
    network, before = context.network, context.network.model.get_weights()
    fitted = _train(context, name, plan, checkpoint)
    if fitted.diverged and earlier is None:
        raise WorkError(fitted.diverged)
    outcome = Outcome(
        name=name,
        kind="fit",
        seconds=0.0,
        steps=fitted.steps,
        trainable_parameters=fitted.trainable_parameters,
        frozen_parameters=fitted.frozen_parameters,
        validation={},
        choices={
            **({"diverged": fitted.diverged} if fitted.diverged else {}),
            **_class_balance(plan, context.images[TRAIN].labels),
            **_found_rate(fitted),
            **batch_parts(fitted.parts),
        },
        rows=fitted.rows,
    )
    at_once = part_size(plan.batch_size, fitted.parts)
    trained = Trained(context, plan, outcome, before, network.model.get_weights(), at_once, {})
    candidates = {} if earlier is None else {gate.BEFORE: earlier}
    if fitted.diverged:
        context.display.line(f"{fitted.diverged} The model before the phase is kept.")
    elif VALIDATION in context.images:
        candidates |= _predicted(trained, earlier is not None)
    seconds = time.perf_counter() - began + fitted.earlier_seconds
    return replace(trained, outcome=replace(outcome, seconds=seconds), candidates=candidates)


def _predicted(trained: Trained, has_earlier: bool) -> dict[Candidate, np.ndarray]:
    """Return the probabilities of the held-out images by each candidate of a phase."""
    context, found = trained.context, {}
    for candidate in _candidates(trained.plan, has_earlier):
        _apply(trained, candidate)
        # By features where the head was solved on them: a refit of the head then finds those of the held-out images.
        predict = context.predict_by_features if candidate.solved_again else context.predict
        found[candidate] = predict(VALIDATION)
    return found


def keep(trained: Trained, decision: Decision) -> None:
    """Leave the network with what is kept of a phase."""
    if decision.candidate == gate.BEFORE:
        trained.context.network.set_weights(trained.before)
        return
    _apply(trained, decision.candidate)
    apply_temperature(trained.context, decision.temperature)


def _train(context: RunContext, name: str, plan: FitPlan, checkpoint: FitCheckpoint | None) -> Fitted:
    train, validation = context.images[TRAIN], context.images.get(VALIDATION)
    if plan.find_rate:
        context.display.line(
            f"{name}: a range test finds the learning rate first, in {rules.RANGE_TEST_STEPS} steps at most"
        )
    ahead = training.passes(plan, len(train.labels), len(validation.labels) if validation else 0)
    with context.display.bar(name, ahead + plan.steps) as tick:
        options = FitOptions(
            seed=context.seed,
            precision=context.plan.precision,
            jit_compile=context.plan.jit_compile,
            callbacks=[Ticks(lambda done: tick(ahead + done)), EpochLines(context.display, name), *context.callbacks],
            checkpoint=checkpoint,
            progress=tick,
            workers=context.workers,
        )
        return training.fit(
            context.network,
            context.facts,
            name,
            plan,
            (train.pixels, train.labels),
            (validation.pixels, validation.labels) if validation else None,
            options,
        )


def _candidates(plan: FitPlan, has_earlier: bool) -> list[Candidate]:
    """Return what may be kept of a phase, besides nothing.

    There is no model between fresh weights and trained ones. Interpolated statistics of BatchNormalization do not fit
    the activations; on a single device they are re-estimated.
    """
    replicas = plan.batch_norm_momentum is not None and active_strategy() is not None
    whole = not has_earlier or plan.reinitialize or replicas
    candidates = [gate.AFTER] if whole else [Candidate(share) for share in gate.SHARES[1:]]
    return candidates + ([gate.SOLVED_AGAIN] if plan.solve_again else [])


def _apply(trained: Trained, candidate: Candidate) -> None:
    """Give the network the weights of a candidate."""
    context, plan = trained.context, trained.plan
    context.network.set_weights(gate.interpolate(trained.before, trained.after, candidate.share))
    if 0 < candidate.share < 1 and plan.batch_norm_momentum is not None:
        _reestimate(context, trained.at_once)
    if candidate.solved_again:
        solve_again(context, plan)


def _reestimate(context: RunContext, batch_size: int) -> None:
    """Re-estimate the statistics of trained BatchNormalization on the training images."""
    network, images = context.network, context.images[TRAIN]
    norms = [norm for norm in batch_norms(network.backbone) if norm.trainable]
    batches = LabelledBatches(images.pixels, images.labels, network.head.units, batch_size, seed=context.seed)
    with context.display.bar("statistics of BatchNormalization", len(batches)) as tick:
        reestimate(network.core, norms, _ticking((batches[index][0] for index in range(len(batches))), tick))
    network.weights_changed()


def _ticking(batches: Iterable[np.ndarray], tick: Callable[[int], None]) -> Iterator[np.ndarray]:
    for done, batch in enumerate(batches):
        tick(done)
        yield batch


def solve_again(context: RunContext, plan: FitPlan, unseen: np.ndarray | None = None) -> Solved:
    """Solve the head again on the features of the trained backbone, and put it into the network.

    Args:
        context: The run.
        plan: The plan of the phase.
        unseen: bool (n,), the training images that the phase was not trained on; None for all, or none.
    """
    assert plan.solve_again is not None  # callers check
    bank, request = context.bank(), HeadRequest(plan.solve_again, context.seed, unseen=unseen)
    solved = load_head(bank, request) or solve_head(bank, request)
    context.network.put_head(solved.kernel, solved.bias, solved.centre)
    return solved


def apply_temperature(context: RunContext, temperature: float) -> None:
    """Divide the logits by a temperature, in the weights of the head."""
    kernel, bias = context.network.head.get_weights()
    context.network.put_head(kernel / temperature, bias / temperature)


def batch_parts(parts: int) -> dict[str, int]:
    """Return the choice that says in how many parts batches were trained, where there were several."""
    return {"batch_parts": parts} if parts > 1 else {}


def notes(phases: Iterable[PhasePlan], outcomes: Iterable[Outcome]) -> list[str]:
    """Return a sentence for each fit phase whose batches were trained in parts.

    Args:
        phases: The plans of all phases.
        outcomes: Their outcomes.
    """
    plans = {phase.name: phase for phase in phases}
    return [
        f"Phase {outcome.name}: the device had no memory for a whole batch and trained each in "
        f"{outcome.batch_parts} parts, whose gradients were summed; the result differs by rounding and the masks of "
        f"dropout{_trained_norms(plans[outcome.name])}."
        for outcome in outcomes
        if outcome.batch_parts > 1
    ]


def _trained_norms(phase: PhasePlan) -> str:
    if phase.fit is None or (phase.fit.batch_norm == "frozen" and not phase.fit.reinitialize):
        return " only"
    return ", and trained BatchNormalization had the statistics of the parts instead of those of the batch"


def from_choices(choices: Mapping[str, Any]) -> Decision:
    """Return what `as_choices` turned into choices of an outcome."""
    return Decision(Candidate(choices["interpolation"], choices["head_solved_again"]), choices["temperature"])


def as_choices(decision: Decision) -> dict[str, Any]:
    """Return how much of a phase was kept, as report.json holds it."""
    return {
        "interpolation": decision.candidate.share,
        "head_solved_again": decision.candidate.solved_again,
        "temperature": decision.temperature,
    }


def _class_balance(plan: FitPlan, labels: np.ndarray) -> dict[str, Any]:
    """Return how classes of unequal size were balanced, and how unequal they are, where they were."""
    if plan.class_balance == "none":
        return {}
    counts = np.bincount(labels)
    return {"class_balance": plan.class_balance, "imbalance": float(counts.max() / counts.min())}


def _found_rate(fitted: Fitted) -> dict[str, Any]:
    """Return the peak learning rate and the curve that it was read from, where a range test found it."""
    test = fitted.range_test
    if test is None:
        return {}
    return {"learning_rate": test.learning_rate, "loss_by_learning_rate": [list(test.rates), list(test.losses)]}
