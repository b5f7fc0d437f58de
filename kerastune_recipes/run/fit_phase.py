"""A phase that trains: fit, then keep as much of it as held-out images support."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from kerastune_recipes.data.split_images import TRAIN, VALIDATION
from kerastune_recipes.devices.replicated import strategy_in_force
from kerastune_recipes.devices.workers import Team
from kerastune_recipes.errors import WorkError
from kerastune_recipes.features.bank import Wanted
from kerastune_recipes.heads.solve import Solved
from kerastune_recipes.model.batch_norm import batch_norms, reestimate
from kerastune_recipes.planning import rules
from kerastune_recipes.planning.plan import FitPlan
from kerastune_recipes.reporting.outcome import Outcome
from kerastune_recipes.run.context import Bench, by_features, predict, scores
from kerastune_recipes.training import fit as training
from kerastune_recipes.training import gate
from kerastune_recipes.training.batches import LabelledBatches
from kerastune_recipes.training.callbacks import EpochLines, Ticks
from kerastune_recipes.training.fit import Fitted
from kerastune_recipes.training.gate import Kept, Verdict, Way


def fit(
    bench: Bench, name: str, plan: FitPlan, epochs: Path | None, earlier: np.ndarray | None, settled: Kept | None
) -> tuple[Outcome, np.ndarray]:
    """Train, and keep as much of it as held-out images speak for, or as is settled already.

    Args:
        bench: What to work with.
        name: Of the phase.
        plan: What to do.
        epochs: Folder for checkpoints.
        earlier: float32 (n, k), what the model before the phase makes of the held-out images; None where there is none
            to go back to.
        settled: What is made of the phase, where that is known.
    """
    began = time.perf_counter()
    train, validation = bench.images[TRAIN], bench.images.get(VALIDATION)
    before = bench.network.model.get_weights()
    if plan.find_rate:
        bench.display.line(
            f"{name}: first a range test finds the learning rate, in {rules.RANGE_TEST_STEPS} steps at most"
        )
    ahead = training.passes(plan, len(train.labels), len(validation.labels) if validation else 0)
    with bench.display.bar(name, ahead + plan.steps) as tick:
        fitted = training.fit(
            bench.network,
            bench.facts,
            name,
            plan,
            (train.pixels, train.labels),
            (validation.pixels, validation.labels) if validation else None,
            seed=bench.seed,
            precision=bench.plan.precision,
            jit_compile=bench.plan.jit_compile,
            callbacks=[Ticks(lambda done: tick(ahead + done)), EpochLines(bench.display, name), *bench.callbacks],
            backup=epochs,
            progress=tick,
            team=bench.team,
        )
    bench.weights_moved()
    after = bench.network.model.get_weights()
    probabilities = np.empty((0, bench.network.head.units), np.float32)
    choices: dict[str, Any] = {}
    if fitted.diverged:
        if earlier is None:
            raise WorkError(fitted.diverged)
        bench.display.line(f"{fitted.diverged} The model before it stays.")
        bench.network.model.set_weights(before)
        probabilities, choices = earlier, {**_told(Kept(gate.BEFORE, 1.0)), "diverged": fitted.diverged}
    elif settled:
        _make(bench, plan, before, after, settled.way)
        cool(bench, settled.temperature)
        choices = _told(settled)
    elif validation:
        verdict = _gate(bench, plan, before, after, earlier)
        probabilities = verdict.probabilities
        choices = {
            **_told(verdict.kept),
            "log_loss_by_interpolation": {str(way): loss for way, loss in verdict.log_losses.items()},
            "ece_before_temperature": verdict.ece,
        }
    seconds = time.perf_counter() - began
    return Outcome(
        name=name,
        kind="fit",
        seconds=seconds,
        steps=fitted.steps,
        trainable_parameters=fitted.trainable_parameters,
        frozen_parameters=fitted.frozen_parameters,
        validation=scores(bench, probabilities),
        choices=choices | _balance(plan, train.labels) | _found_rate(fitted),
        rows=fitted.rows,
    ), probabilities


def _gate(
    bench: Bench, plan: FitPlan, before: list[np.ndarray], after: list[np.ndarray], earlier: np.ndarray | None
) -> Verdict:
    """Let held-out images judge what may be made of a phase, and make of it what they speak for."""
    ways = _ways(plan, earlier is not None)
    candidates = {} if earlier is None else {gate.BEFORE: earlier}
    for way in ways:
        _make(bench, plan, before, after, way)
        # The features behind the phase are kept: a refit of the head finds those of the held-out images, too.
        candidates[way] = by_features(bench, VALIDATION) if way.solved_again else predict(bench, VALIDATION)
    verdict = _main_workers_verdict(bench.team, gate.judge(candidates, bench.images[VALIDATION].labels))
    if verdict.kept.way != ways[-1]:
        _make(bench, plan, before, after, verdict.kept.way)
    cool(bench, verdict.kept.temperature)
    return verdict


def _main_workers_verdict(team: Team, verdict: Verdict) -> Verdict:
    """Keep what the chief would: between machines the last digits of a loss may differ."""
    kept = verdict.kept
    _, (share, again, temperature) = team.told(lambda: ({}, [kept.way.share, kept.way.solved_again, kept.temperature]))
    return replace(verdict, kept=Kept(Way(share, again), temperature))


def _ways(plan: FitPlan, has_before: bool) -> list[Way]:
    """Return what may be made of a phase, besides nothing.

    Between fresh weights and others there is no model. Between statistics of BatchNormalization there are none that are
    those of the activations there; one device takes them anew.
    """
    several = plan.batch_norm_momentum is not None and strategy_in_force() is not None
    whole = not has_before or plan.reinitialize or several
    ways = [gate.AFTER] if whole else [Way(share) for share in gate.SHARES[1:]]
    return ways + ([gate.SOLVED_AGAIN] if plan.solve_again else [])


def _make(bench: Bench, plan: FitPlan, before: list[np.ndarray], after: list[np.ndarray], way: Way) -> None:
    bench.network.model.set_weights(gate.between(before, after, way.share))
    if 0 < way.share < 1 and plan.batch_norm_momentum is not None:
        _reestimate(bench, plan)
    bench.weights_moved()
    if way.solved_again:
        solve_again(bench, plan)


def _reestimate(bench: Bench, plan: FitPlan) -> None:
    """Take the statistics of BatchNormalization that was trained anew, on the training images."""
    images, norms = bench.images[TRAIN], [norm for norm in batch_norms(bench.network.backbone) if norm.trainable]
    batches = LabelledBatches(images.pixels, images.labels, bench.network.head.units, plan.batch_size, seed=bench.seed)
    # The last one may be too small to have statistics.
    whole = max(1, len(images.labels) // plan.batch_size)
    with bench.display.bar("statistics of BatchNormalization", whole) as tick:
        reestimate(bench.network.core, norms, _ticking((batches[index][0] for index in range(whole)), tick))


def _ticking(batches: Iterable[np.ndarray], tick: Callable[[int], None]) -> Iterator[np.ndarray]:
    for done, batch in enumerate(batches):
        tick(done)
        yield batch


def solve_again(bench: Bench, plan: FitPlan) -> Solved:
    """Solve the head anew on the features of the network as it is, and put it there."""
    assert plan.solve_again is not None  # or nobody would have thought of it
    frozen, wanted = bench.frozen(), Wanted(plan.solve_again, bench.seed)
    solved = frozen.recall(wanted) or frozen.solve(wanted)
    bench.network.put_head(solved.kernel, solved.bias)
    return solved


def cool(bench: Bench, temperature: float) -> None:
    """Divide the logits by a temperature, in the weights of the head."""
    kernel, bias = bench.network.head.get_weights()
    bench.network.put_head(kernel / temperature, bias / temperature)


def _told(kept: Kept) -> dict[str, Any]:
    return {
        "interpolation": kept.way.share,
        "head_solved_again": kept.way.solved_again,
        "temperature": kept.temperature,
    }


def kept_of(outcome: Outcome) -> Kept:
    """Return what was made of a phase that fits."""
    said = outcome.choices
    return Kept(Way(said["interpolation"], said["head_solved_again"]), said["temperature"])


def _balance(plan: FitPlan, labels: np.ndarray) -> dict[str, Any]:
    """Return what was done about classes of unequal size, and how unequal they are, where anything was done."""
    if plan.class_balance == "none":
        return {}
    counts = np.bincount(labels)
    return {"class_balance": plan.class_balance, "imbalance": float(counts.max() / counts.min())}


def _found_rate(fitted: Fitted) -> dict[str, Any]:
    """Return the peak learning rate and what spoke for it, where a range test found it."""
    test = fitted.range_test
    if test is None:
        return {}
    return {"learning_rate": test.learning_rate, "loss_by_learning_rate": [list(test.rates), list(test.losses)]}
