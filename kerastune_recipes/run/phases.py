"""The phases of a plan, run one after the other."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kerastune_recipes.devices.workers import Team
from kerastune_recipes.planning.plan import PhasePlan
from kerastune_recipes.reporting.outcome import Outcome
from kerastune_recipes.run.checkpoint import Journal
from kerastune_recipes.run.context import Bench
from kerastune_recipes.run.fit_phase import fit
from kerastune_recipes.run.solve_phase import solve
from kerastune_recipes.training.gate import Kept


@dataclass(frozen=True)
class Done:
    """A finished phase.

    Args:
        outcome: What it did.
        weights: All weights of the model behind it.
        probabilities: float32 (n, k), of the images that it is judged by.
    """

    outcome: Outcome
    weights: list[np.ndarray]
    probabilities: np.ndarray


def run(
    bench: Bench,
    phases: Sequence[PhasePlan],
    book: Journal,
    begin: Callable[[], None],
    settled: Mapping[str, Kept] | None = None,
) -> list[Done]:
    """Run what is not finished of some phases, and return them all.

    Args:
        bench: What to work with; the network is left with the last phase's weights.
        phases: To be run, in order.
        book: What is finished already, and where the rest is kept.
        begin: Called before anything is written, when every image has been decoded.
        settled: What is made of the phases that fit, by name, where other runs of them have shown it.

    Raises:
        DataError: Images that cannot be decoded, all of them.
        WorkError: Training diverged, and there is no model before it.
    """
    done: list[Done] = []
    for position, outcome in enumerate(book.finished(), 1):
        probabilities = book.restore(position, bench.network.model)
        done.append(Done(outcome, bench.network.model.get_weights(), probabilities))
        bench.display.line(f"{outcome.name}: finished before, taken from the journal")
        bench.weights_moved()
    for position, phase in enumerate(phases[len(done) :], len(done) + 1):
        if phase.solve:
            outcome, probabilities = solve(bench, phase.name, phase.solve)
            begin()
        else:
            assert phase.fit is not None  # a phase is one or the other
            begin()
            earlier = done[-1].probabilities if done and bench.plan.keep == "best_on_validation" else None
            kept = None if settled is None else settled[phase.name]
            outcome, probabilities = fit(bench, phase.name, phase.fit, book.epochs(position), earlier, kept)
        outcome, probabilities = _chiefs(bench.team, outcome, probabilities)
        book.keep(position, outcome, bench.network.model, probabilities)
        done.append(Done(outcome, bench.network.model.get_weights(), probabilities))
        if outcome.validation and settled is None:
            bench.display.line(
                f"{outcome.name}: validation accuracy {outcome.validation['accuracy']:.1%}, "
                f"log loss {outcome.validation['log_loss']:.3f}, {outcome.seconds:.1f} s"
            )
    return done


def _chiefs(team: Team, outcome: Outcome, probabilities: np.ndarray) -> tuple[Outcome, np.ndarray]:
    """Return what the chief found: figures by which a phase is chosen may differ in the last digit between workers."""
    arrays, value = team.told(lambda: ({"probabilities": probabilities}, outcome.to_data()))
    return Outcome.from_data(value), arrays["probabilities"]
