"""The phases of a plan, run one after the other: on one division of the images, or on that of each fold."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kerastune_recipes.data import splits
from kerastune_recipes.devices.workers import Workers
from kerastune_recipes.evaluation.judges import Judges
from kerastune_recipes.planning.plan import PhasePlan
from kerastune_recipes.progress import Display
from kerastune_recipes.reporting.outcome import Outcome
from kerastune_recipes.run import fit_phase
from kerastune_recipes.run.checkpoint import Checkpoint, SavedPhase
from kerastune_recipes.run.context import RunContext, scores
from kerastune_recipes.run.fit_phase import Trained, as_choices, batch_parts, from_choices
from kerastune_recipes.run.solve_phase import solve
from kerastune_recipes.training import fit as training
from kerastune_recipes.training import gate
from kerastune_recipes.training.gate import Assessment, Decision


@dataclass(frozen=True)
class Division:
    """A division of the images: some to train on, others to judge.

    Args:
        context: The run on this division; all divisions share its network.
        checkpoint: Checkpoint of this division: that of the whole run where it is the only one.
        name: What progress calls it, such as "fold 1 of 5"; empty for the only one.
    """

    context: RunContext
    checkpoint: Checkpoint
    name: str = ""


@dataclass(frozen=True)
class CompletedPhase:
    """A completed phase.

    Args:
        outcome: What it did.
        weights: All weights of the model after it, of each division.
        probabilities: Probabilities that these models give the images that judge them, division by division, float32
            (n, k).
        cross_fitted: The same by models that other images than these chose and calibrated, float32 (n, k); with several
            divisions, the models are of that kind already.
    """

    outcome: Outcome
    weights: tuple[list[np.ndarray], ...]
    probabilities: np.ndarray
    cross_fitted: np.ndarray


def run(divisions: Sequence[Division], phases: Sequence[PhasePlan], checkpoint: Checkpoint) -> list[CompletedPhase]:
    """Run the phases that are not completed yet, and return all of them.

    With several divisions each phase runs in all of them before the next begins: what is kept of it in one is decided
    by the images of the others.

    Args:
        divisions: The divisions of the images; the network is left with the weights of the last phase in the last one.
        phases: The phases, in order.
        checkpoint: Completed phases of the whole run; the others are saved there.

    Raises:
        DataError: Images that cannot be decoded; all of them are named.
        WorkError: Training diverged, and there is no earlier model to return to.
    """
    network, display = divisions[0].context.network, divisions[0].context.display
    initial = network.model.get_weights() if len(divisions) > 1 else []
    weights = (initial,) * len(divisions)
    done: list[CompletedPhase] = []
    for phase, saved, *of_divisions in zip(phases, checkpoint.completed(), *_saved_of(divisions), strict=False):
        pairs = zip(divisions, weights, of_divisions or [saved], strict=True)
        loaded = tuple(_load(division, before, phase, one) for division, before, one in pairs)
        weights = loaded if len(divisions) > 1 else weights
        done.append(CompletedPhase(saved.outcome, loaded, saved.probabilities, saved.cross_fitted))
        display.line(f"{phase.name}: completed before, loaded from the checkpoint")
    for position, phase in enumerate(phases[len(done) :], len(done) + 1):
        judges = judges_of(divisions)
        fold = folds_of(divisions, judges)
        running = _Running(divisions, phase, position, weights, done[-1] if done else None, judges, fold)
        completed, of_divisions = running.solve() if phase.solve else running.fit()
        running.save(checkpoint, completed, of_divisions)
        done.append(completed)
        weights = completed.weights if len(divisions) > 1 else weights
        _show(display, completed.outcome)
    return done


def refit(
    context: RunContext, phases: Sequence[PhasePlan], checkpoint: Checkpoint, decided: Mapping[str, Decision]
) -> list[Outcome]:
    """Run phases again, on all images, and keep as much of each as was decided before.

    Args:
        context: All images; the network as it was before the first phase. It is left with that of the last one.
        phases: The phases, in order.
        checkpoint: Completed phases of the refit; the others are saved there.
        decided: How much of each fit phase to keep, by name.

    Returns:
        The outcomes; their validation is empty.

    Raises:
        WorkError: Training diverged.
    """
    network, division = context.network, Division(context, checkpoint)
    none = np.empty((0, network.head.units), np.float32)
    found: list[Outcome] = []
    for phase, saved in zip(phases, checkpoint.completed(), strict=False):
        _load(division, [], phase, saved)
        found.append(saved.outcome)
    for position, phase in enumerate(phases[len(found) :], len(found) + 1):
        before = network.digests() if checkpoint.folder else []
        if phase.solve:
            outcome, _ = solve(context, phase.name, phase.solve)
        else:
            assert phase.fit is not None  # a phase is one or the other
            trained = fit_phase.train(context, phase.name, phase.fit, checkpoint.of_fit(position), None)
            outcome = _kept(trained, decided[phase.name])
        outcome, *_ = _of_main_worker(context.workers, outcome, none, none)
        if checkpoint.folder:
            checkpoint.save(position, SavedPhase(outcome, network.changes(before), none, none))
        checkpoint.forget_fit(position)
        found.append(outcome)
    return found


def judges_of(divisions: Sequence[Division]) -> Judges:
    """Return the images that judge all divisions, division by division."""
    if len(divisions) == 1:
        return divisions[0].context.judges
    of_divisions = [division.context.judges for division in divisions]
    groups = [each.groups for each in of_divisions if each.groups is not None]
    return Judges.of(
        np.concatenate([each.labels for each in of_divisions]),
        divisions[0].context.plan.balanced,
        np.concatenate(groups) if groups else None,
    )


def folds_of(divisions: Sequence[Division], judges: Judges) -> np.ndarray:
    """Return the fold of each judging image, int (n,): figures of an image do not profit from choices by its own fold.

    Args:
        divisions: Several are the folds.
        judges: The images of all divisions.
    """
    if len(divisions) > 1:
        return np.repeat(np.arange(len(divisions)), [len(division.context.judges) for division in divisions])
    return splits.dealt_folds(judges.labels, gate.CROSS_FITTING_FOLDS, divisions[0].context.seed, judges.groups)


def _saved_of(divisions: Sequence[Division]) -> list[Iterator[SavedPhase]]:
    """Return what is saved of each division, where there are several."""
    return [division.checkpoint.completed() for division in divisions] if len(divisions) > 1 else []


def _load(division: Division, before: list[np.ndarray], phase: PhasePlan, saved: SavedPhase) -> list[np.ndarray]:
    """Leave the network as a completed phase left it, and return its weights."""
    context, network = division.context, division.context.network
    if before:
        network.set_weights(before)
    if phase.fit:
        training.freeze_layers(network, context.facts, phase.name, phase.fit)
    network.apply_changes(saved.changes)
    return network.model.get_weights()


@dataclass(frozen=True)
class _Result:
    """What a phase did in one division.

    Args:
        outcome: What it did.
        weights: All weights of the model after it.
        changes: The variables of the model that it changed; empty where no checkpoint is kept.
    """

    outcome: Outcome
    weights: list[np.ndarray]
    changes: dict[str, np.ndarray]


@dataclass(frozen=True)
class _Running:
    """A phase under way.

    Args:
        divisions: The divisions of the images.
        phase: The phase.
        position: Its number, from 1.
        weights: The weights before it, of each division; empty where there is a single one, whose network has them.
        earlier: The phase before it; None for the first.
        judges: The images that judge it, division by division.
        fold: int (n,), the fold of each of them.
    """

    divisions: Sequence[Division]
    phase: PhasePlan
    position: int
    weights: tuple[list[np.ndarray], ...]
    earlier: CompletedPhase | None
    judges: Judges
    fold: np.ndarray

    @property
    def context(self) -> RunContext:
        return self.divisions[0].context

    @property
    def several(self) -> bool:
        return len(self.divisions) > 1

    def solve(self) -> tuple[CompletedPhase, list[_Result]]:
        """Solve a head in each division."""
        assert self.phase.solve is not None  # the caller chooses by it
        found, results = [], []
        for division, before in zip(self.divisions, self.weights, strict=True):
            digests = self._start(division, before)
            outcome, probabilities = solve(division.context, self.phase.name, self.phase.solve)
            division.checkpoint.begin()
            found.append(probabilities)
            results.append(self._result(outcome, digests))
        probabilities = np.concatenate(found)
        return self._completed(results, {}, probabilities, probabilities), results

    def fit(self) -> tuple[CompletedPhase, list[_Result]]:
        """Train in each division; then the images of all decide how much is kept."""
        assert self.phase.fit is not None  # the caller chooses by it
        trained, digests = [], []
        for division, before, earlier in zip(self.divisions, self.weights, self._before(), strict=True):
            digests.append(self._start(division, before))
            division.checkpoint.begin()
            of_fit = division.checkpoint.of_fit(self.position)
            trained.append(fit_phase.train(division.context, self.phase.name, self.phase.fit, of_fit, earlier))
        assessment = self._assess(trained)
        decisions = assessment.decisions if self.several else (assessment.decision,)
        kept = zip(trained, decisions, digests, strict=True)
        results = [self._result(_kept(each, decision), before) for each, decision, before in kept]
        probabilities = assessment.cross_fitted if self.several else assessment.probabilities
        return self._completed(results, _choices(assessment), probabilities, assessment.cross_fitted), results

    def save(self, checkpoint: Checkpoint, completed: CompletedPhase, results: Sequence[_Result]) -> None:
        """Save the completed phase in the checkpoints of the divisions, and then in that of the whole run."""
        if self.several:
            for number, (division, result) in enumerate(zip(self.divisions, results, strict=True)):
                own = completed.probabilities[self.fold == number]
                division.checkpoint.save(self.position, SavedPhase(result.outcome, result.changes, own, own))
        changes = {} if self.several else results[0].changes
        saved = SavedPhase(completed.outcome, changes, completed.probabilities, completed.cross_fitted)
        checkpoint.save(self.position, saved)
        for division in self.divisions:
            division.checkpoint.forget_fit(self.position)

    def _before(self) -> list[np.ndarray | None]:
        """Return the probabilities by the model before the phase, of each division; None for no way back."""
        if self.earlier is None or self.context.plan.keep == "last":
            return [None] * len(self.divisions)
        if self.several:
            return [self.earlier.probabilities[self.fold == number] for number in range(len(self.divisions))]
        return [self.earlier.probabilities]

    def _start(self, division: Division, before: list[np.ndarray]) -> list[bytes]:
        """Give the network the weights of a division; return digests of its variables where a checkpoint is kept."""
        if division.name:
            division.context.display.line(f"{self.phase.name}, {division.name}")
        if before:
            self.context.network.set_weights(before)
        return self.context.network.digests() if division.checkpoint.folder else []

    def _result(self, outcome: Outcome, digests: list[bytes]) -> _Result:
        network = self.context.network
        return _Result(outcome, network.model.get_weights(), network.changes(digests) if digests else {})

    def _assess(self, trained: Sequence[Trained]) -> Assessment:
        """Choose what is kept, on the main worker: the last digits of a loss may differ between machines."""
        names = sorted({one for each in trained for one in each.candidates})
        candidates = {
            # Where training diverged, the model before the phase stands for every candidate.
            one: np.concatenate([each.candidates.get(one, each.candidates.get(gate.BEFORE)) for each in trained])
            for one in names
        }
        before = self.earlier.cross_fitted if self.earlier and gate.BEFORE in names else None
        found = gate.choose(candidates, self.judges, self.fold, before)
        arrays, chosen = self.context.workers.broadcast(
            lambda: (
                {"probabilities": found.probabilities, "cross_fitted": found.cross_fitted},
                [as_choices(one) for one in (found.decision, *found.decisions)],
            )
        )
        decision, *decisions = map(from_choices, chosen)
        return replace(
            found,
            decision=decision,
            decisions=tuple(decisions),
            probabilities=arrays["probabilities"],
            cross_fitted=arrays["cross_fitted"],
        )

    def _completed(
        self,
        results: Sequence[_Result],
        choices: Mapping[str, Any],
        probabilities: np.ndarray,
        cross_fitted: np.ndarray,
    ) -> CompletedPhase:
        outcomes = [result.outcome for result in results]
        outcome = outcomes[-1]
        if self.several:
            correct = probabilities.argmax(axis=1) == self.judges.labels
            outcome = replace(
                outcome,
                seconds=sum(each.seconds for each in outcomes),
                choices={
                    "accuracy_by_fold": [
                        float(correct[self.fold == number].mean()) for number in range(len(self.divisions))
                    ],
                    **_over_parts(outcomes),
                },
            )
        outcome = replace(
            outcome,
            validation=scores(cross_fitted, self.judges, self.context.plan.balanced),
            choices={**outcome.choices, **choices},
        )
        outcome, probabilities, cross_fitted = _of_main_worker(
            self.context.workers, outcome, probabilities, cross_fitted
        )
        return CompletedPhase(outcome, tuple(result.weights for result in results), probabilities, cross_fitted)


def _kept(trained: Trained, decision: Decision) -> Outcome:
    """Leave the network with what is kept of a phase, and return its outcome."""
    began = time.perf_counter()
    kept = Decision(gate.BEFORE, 1.0) if trained.diverged else decision
    fit_phase.keep(trained, kept)
    return replace(
        trained.outcome,
        seconds=trained.outcome.seconds + time.perf_counter() - began,
        choices={**as_choices(kept), **trained.outcome.choices},
    )


def _choices(assessment: Assessment) -> dict[str, Any]:
    """Return what was decided about a phase, and why."""
    several = len(set(assessment.decisions)) > 1
    return {
        **as_choices(assessment.decision),
        "log_loss_by_interpolation": {str(one): loss for one, loss in assessment.log_losses.items()},
        "ece_before_temperature": assessment.ece,
        **({"kept_by_fold": [str(one.candidate) for one in assessment.decisions]} if several else {}),
    }


def _over_parts(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return what a phase chose in all divisions together, but for what was decided about it."""
    if outcomes[0].kind == "fit":
        return batch_parts(max(outcome.batch_parts for outcome in outcomes))
    return {"features_computed": sum(outcome.choices["features_computed"] for outcome in outcomes)}


def _of_main_worker(
    workers: Workers, outcome: Outcome, probabilities: np.ndarray, cross_fitted: np.ndarray
) -> tuple[Outcome, np.ndarray, np.ndarray]:
    """Return the main worker's figures: the last digit may differ between workers, and with it the phase chosen."""
    arrays, value = workers.broadcast(
        lambda: ({"probabilities": probabilities, "cross_fitted": cross_fitted}, outcome.to_data())
    )
    return Outcome.from_data(value), arrays["probabilities"], arrays["cross_fitted"]


def _show(display: Display, outcome: Outcome) -> None:
    display.line(
        f"{outcome.name}: validation accuracy {outcome.validation['accuracy']:.1%}, "
        f"log loss {outcome.validation['log_loss']:.3f}, {outcome.seconds:.1f}  s"
        + ("; discarded, the model before it is kept" if outcome.discarded else "")
    )
