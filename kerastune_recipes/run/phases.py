"""The phases of a plan, run one after the other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kerastune_recipes.devices.workers import Workers
from kerastune_recipes.planning.plan import PhasePlan
from kerastune_recipes.reporting.outcome import Outcome
from kerastune_recipes.run.checkpoint import Checkpoint, SavedPhase
from kerastune_recipes.run.context import RunContext
from kerastune_recipes.run.fit_phase import fit
from kerastune_recipes.run.solve_phase import solve
from kerastune_recipes.training import fit as training
from kerastune_recipes.training.gate import Decision


@dataclass(frozen=True)
class CompletedPhase:
    """A completed phase.

    Args:
        outcome: What it did.
        weights: All weights of the model after it.
        probabilities: Probabilities of the images that judge it, float32 (n, k).
    """

    outcome: Outcome
    weights: list[np.ndarray]
    probabilities: np.ndarray


def run(
    context: RunContext,
    phases: Sequence[PhasePlan],
    checkpoint: Checkpoint,
    decided: Mapping[str, Decision] | None = None,
) -> list[CompletedPhase]:
    """Run the phases that are not completed yet, and return all of them.

    Args:
        context: The run; its network is left with the weights of the last phase.
        phases: The phases, in order.
        checkpoint: Completed phases; the others are saved there.
        decided: For a refit, how much of each fit phase to keep, by name, as the earlier run of it decided.

    Raises:
        DataError: Images that cannot be decoded; all of them are named.
        WorkError: Training diverged, and there is no earlier model to return to.
    """
    network, display = context.network, context.display
    done: list[CompletedPhase] = []
    for phase, saved in zip(phases, checkpoint.completed(), strict=False):
        if phase.fit:
            training.freeze_layers(network, context.facts, phase.name, phase.fit)
        network.apply_changes(saved.changes)
        done.append(CompletedPhase(saved.outcome, network.model.get_weights(), saved.probabilities))
        display.line(f"{phase.name}: completed before, loaded from the checkpoint")
    for position, phase in enumerate(phases[len(done) :], len(done) + 1):
        before = network.digests() if checkpoint.folder else []
        if phase.solve:
            outcome, probabilities = solve(context, phase.name, phase.solve)
            checkpoint.begin()
        else:
            assert phase.fit is not None  # a phase is one or the other
            checkpoint.begin()
            earlier = done[-1].probabilities if done and context.plan.keep == "best_on_validation" else None
            decision = None if decided is None else decided[phase.name]
            outcome, probabilities = fit(context, phase.name, phase.fit, checkpoint.of_fit(position), earlier, decision)
        outcome, probabilities = _of_main_worker(context.workers, outcome, probabilities)
        if checkpoint.folder:
            checkpoint.save(position, SavedPhase(outcome, network.changes(before), probabilities))
        done.append(CompletedPhase(outcome, network.model.get_weights(), probabilities))
        if outcome.validation and decided is None:
            display.line(
                f"{outcome.name}: validation accuracy {outcome.validation['accuracy']:.1%}, "
                f"log loss {outcome.validation['log_loss']:.3f}, {outcome.seconds:.1f} s"
            )
    return done


def _of_main_worker(workers: Workers, outcome: Outcome, probabilities: np.ndarray) -> tuple[Outcome, np.ndarray]:
    """Return the main worker's figures: the last digit may differ between workers, and with it the phase chosen."""
    arrays, value = workers.broadcast(lambda: ({"probabilities": probabilities}, outcome.to_data()))
    return Outcome.from_data(value), arrays["probabilities"]
