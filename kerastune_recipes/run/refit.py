"""What is kept learns from all images in the end, those too that were held out to choose it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from kerastune_recipes.data.split_images import TRAIN
from kerastune_recipes.heads import pretrained_prior, solve
from kerastune_recipes.planning.plan import PhasePlan, SolvePlan
from kerastune_recipes.reporting.outcome import Outcome
from kerastune_recipes.run import fit_phase, phases, solve_phase
from kerastune_recipes.run.checkpoint import Journal
from kerastune_recipes.run.context import Bench


def has_solved_head(phase: PhasePlan) -> bool:
    """Return whether the head that a phase leaves can be solved on all images, at a forward pass at most."""
    return phase.fit is None or phase.fit.solve_again is not None


def head(bench: Bench, outcomes: Sequence[Outcome], chosen: int) -> list[Outcome]:
    """Solve the head once more behind the phase that is kept, on all images, and return what all phases did with that.

    Behind a phase that trained that is worth more than what training made of the head, which has seen four fifths of
    the images (benchmarks/gate.md).

    Args:
        bench: All images; the network with the weights that the phase left. It is left with the refitted head.
        outcomes: Of all phases, judged by images that they had not seen.
        chosen: Position of the one that is kept, whose head can be solved.
    """
    _tell(bench, f"the head of {outcomes[chosen].name}")
    began, phase, judged = time.perf_counter(), bench.plan.phases[chosen], outcomes[chosen]
    if phase.solve:
        refitted = _merged(judged, _solved(bench, phase.name, phase.solve, judged))
    else:
        assert phase.fit is not None  # a phase is one or the other
        # By all images alike, though the features of those that were trained on are better than others' will be: the
        # held-out ones are too few to find strength and temperature (docs/experiments.md).
        solved = fit_phase.solve_again(bench, phase.fit)
        refitted = replace(
            judged,
            seconds=judged.seconds + time.perf_counter() - began,
            choices=judged.choices | {"head_solved_again": True, "temperature": solved.temperature},
        )
    return [*outcomes[:chosen], refitted, *outcomes[chosen + 1 :]]


def _solved(bench: Bench, name: str, plan: SolvePlan, judged: Outcome) -> Outcome:
    """Solve a head at the strength that was chosen for it.

    Its temperature was found with it, by images that no head had seen; so one solution is all, unless folds are needed.
    """
    at_strength = plan.model_copy(update={"strengths": (judged.choices["strength"],)})
    if solve.needs_folds(plan):
        return solve_phase.solve(bench, name, at_strength)[0]
    temperature = judged.choices["temperature"]
    kernel, bias = bench.network.head.get_weights()
    nearby = pretrained_prior.Start(kernel * temperature, bias * temperature)
    refitted, _ = solve_phase.solve(bench, name, at_strength.model_copy(update={"folds": 0}), nearby)
    fit_phase.cool(bench, temperature)
    return replace(refitted, choices=refitted.choices | {"temperature": temperature})


def everything(
    bench: Bench, outcomes: Sequence[Outcome], chosen: int, book: Journal, begin: Callable[[], None]
) -> list[Outcome]:
    """Run the phases up to the one that is kept once more, and return what all phases did with that.

    What held-out images have shown stays: which phase is kept, what is made of each, and its temperature.

    Args:
        bench: All images to train on; the network as it was before the first phase. It is left with the refitted
            weights.
        outcomes: Of all phases, judged by images that they had not seen.
        chosen: Position of the one that is kept.
        book: Of the whole run; where an interrupted refit goes on.
        begin: Called before anything is written.

    Raises:
        WorkError: Training diverged.
    """
    _tell(bench, outcomes[chosen].name)
    settled = {outcome.name: fit_phase.kept_of(outcome) for outcome in outcomes if outcome.kind == "fit"}
    done = phases.run(bench, bench.plan.phases[: chosen + 1], book.part("refit"), begin, settled)
    refitted = [_merged(before, each.outcome) for before, each in zip(outcomes, done, strict=False)]
    return [*refitted, *outcomes[chosen + 1 :]]


def _tell(bench: Bench, what: str) -> None:
    bench.display.line(f"{what} is refitted on all {len(bench.images[TRAIN].labels)} images")
    bench.weights_moved()


def _merged(judged: Outcome, refitted: Outcome) -> Outcome:
    if judged.kind == "fit":
        choices = refitted.choices | judged.choices
    else:
        computed = judged.choices["features_computed"] + refitted.choices["features_computed"]
        # What the head is, and not what it was chosen by.
        anew = {key: refitted.choices[key] for key in ("temperature", "tap") if key in refitted.choices}
        choices = refitted.choices | judged.choices | anew | {"features_computed": computed}
    return replace(
        refitted,
        seconds=judged.seconds + refitted.seconds,
        validation=judged.validation,
        choices=choices,
    )
