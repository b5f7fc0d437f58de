"""The phases of a plan, run one after the other."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from kerastune_recipes.devices.replicated import strategy_in_force
from kerastune_recipes.devices.workers import Team
from kerastune_recipes.errors import DataError, WorkError
from kerastune_recipes.evaluation import metrics
from kerastune_recipes.features import extraction
from kerastune_recipes.features.bank import TEST, TRAIN, VALIDATION, Frozen, Wanted
from kerastune_recipes.heads import pretrained_prior
from kerastune_recipes.heads import solve as solve_module
from kerastune_recipes.heads.pretrained_prior import Start
from kerastune_recipes.heads.solve import Solved
from kerastune_recipes.model.batch_norm import reestimate
from kerastune_recipes.model.freeze import batch_norms
from kerastune_recipes.planning import rules
from kerastune_recipes.planning.plan import FitPlan, PhasePlan, SolvePlan
from kerastune_recipes.progress import EpochLines, Ticks
from kerastune_recipes.run.checkpoint import Journal, Outcome
from kerastune_recipes.run.context import Bench
from kerastune_recipes.training import fit, gate
from kerastune_recipes.training.batches import LabelledBatches
from kerastune_recipes.training.fit import Fitted
from kerastune_recipes.training.gate import Kept, Verdict, Way


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
            outcome, probabilities = _fit(bench, phase.name, phase.fit, book.epochs(position), earlier, kept)
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


def chosen(outcomes: Sequence[Outcome], keep: str) -> int:
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


def solve(bench: Bench, name: str, plan: SolvePlan, nearby: Start | None = None) -> tuple[Outcome, np.ndarray]:
    """Solve a head; return what was done, and what it makes of the images that the phase is judged by.

    Args:
        bench: What to work with.
        name: Of the phase.
        plan: What to do.
        nearby: A head that is not far from the one wanted, see `solvers.solve`.

    Raises:
        DataError: Images that cannot be decoded, all of them.
    """
    began = time.perf_counter()
    network, frozen = bench.network, bench.frozen()
    start = nearby if plan.source_classes is None else _source_start(bench, plan.source_classes)
    wanted = Wanted(plan, bench.seed, bench.every_image, start)
    solved = frozen.recall(wanted)
    needed = [split for split in bench.images if split != TRAIN or solved is None]
    # Without a phase that fits, nobody has decoded the test images yet, and one that is damaged must be told of now.
    elsewhere = _look(frozen, [split for split in needed if split != TEST or not bench.plan.fits])
    if solved is None:
        with bench.display.bar(f"{name}: solving", 1):
            solved = frozen.solve(wanted)
    network.put_head(solved.kernel, solved.bias)
    if VALIDATION in bench.images:
        probabilities = solved.probabilities(frozen.features(VALIDATION).plain)
    else:
        probabilities = solved.held_out
    seconds = time.perf_counter() - began - elsewhere
    head = solved.kernel.size + solved.bias.size
    return Outcome(
        name=name,
        kind="solve",
        seconds=seconds,
        steps=0,
        trainable_parameters=head,
        frozen_parameters=network.model.count_params() - head,
        validation=_scores(bench, probabilities),
        choices={
            "head": plan.head,
            "class_balance": plan.class_balance,
            "strength": solved.strength,
            "temperature": solved.temperature,
            "judged_by": solved.judged_by,
            "log_loss_by_strength": {f"{tried:g}": loss for tried, loss in solved.log_loss_by_strength.items()},
            **_tap(solved, bench.taps),
            **_source_classes(bench, plan),
            "features_computed": frozen.computed,
        },
        rows=(),
    ), probabilities


def _source_start(bench: Bench, classes: Mapping[str, Sequence[int]]) -> Start:
    """Return the columns of the source classifier that a head starts from."""
    assert bench.source is not None  # it is loaded where a plan uses it
    wanted = [classes.get(name, ()) for name in bench.plan.class_names]
    return pretrained_prior.start(bench.source.kernel, bench.source.bias, wanted)


def _source_classes(bench: Bench, plan: SolvePlan) -> dict[str, Any]:
    """Say which source classes each class of the data was taken from, where they were."""
    if plan.source_classes is None:
        return {}
    called = bench.facts.source.called
    return {"source_classes": {name: list(map(called, found)) for name, found in plan.source_classes.items()}}


def _tap(solved: Solved, taps: Sequence[str]) -> dict[str, Any]:
    """Say which tap was chosen, and what each gave, where one was to be."""
    if solved.tap is None:
        return {}
    return {"tap": taps[solved.tap], "log_loss_by_tap": dict(zip(taps, solved.log_loss_by_tap, strict=True))}


def _look(frozen: Frozen, splits: Sequence[str]) -> float:
    """Take the features of splits; return the seconds of it that are no work of a phase.

    Raises:
        DataError: Images of any split that cannot be decoded, all of them.
    """
    problems: list[str] = []
    elsewhere = 0.0
    for split in splits:
        if frozen.has(split):
            continue
        began = time.perf_counter()
        try:
            found = frozen.features(split)
        except DataError as error:
            problems += error.problems
            continue
        elsewhere += time.perf_counter() - began if split == TEST else found.seconds_aside
    if problems:
        raise DataError(*problems)
    return elsewhere


def _fit(
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
    ahead = fit.passes(plan, len(train.labels), len(validation.labels) if validation else 0)
    with bench.display.bar(name, ahead + plan.steps) as tick:
        fitted = fit.fit(
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
        validation=_scores(bench, probabilities),
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
    verdict = _chiefs_verdict(bench.team, gate.judge(candidates, bench.images[VALIDATION].labels))
    if verdict.kept.way != ways[-1]:
        _make(bench, plan, before, after, verdict.kept.way)
    cool(bench, verdict.kept.temperature)
    return verdict


def _chiefs_verdict(team: Team, verdict: Verdict) -> Verdict:
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


def _scores(bench: Bench, probabilities: np.ndarray) -> dict[str, Any]:
    """Judge a phase; what is only refitted has been judged before."""
    return dict(metrics.summary(probabilities, bench.images[bench.judged].labels)) if len(probabilities) else {}


def predict(bench: Bench, split: str) -> np.ndarray:
    """Return the probabilities float32 (n, k) that the model as it is gives the images of a split."""
    pixels = bench.images[split].pixels
    with bench.display.bar(f"predicting {split} images", len(pixels)) as tick:
        return extraction.predict(bench.network.core, pixels, tick, bench.team)


def by_features(bench: Bench, split: str) -> np.ndarray:
    """Return the same by the head alone, on the features of the network as it is."""
    kernel, bias = bench.network.head.get_weights()
    return solve_module.probabilities(bench.frozen().features(split).plain, kernel, bias)
