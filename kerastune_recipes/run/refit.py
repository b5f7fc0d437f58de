"""Refit the selected model on all images, held-out ones included."""

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from kerastune_recipes.data.split_images import TRAIN
from kerastune_recipes.heads.pretrained_prior import Start
from kerastune_recipes.heads.solve import needs_folds
from kerastune_recipes.planning.plan import PhasePlan, SolvePlan
from kerastune_recipes.reporting.outcome import Outcome
from kerastune_recipes.run import phases
from kerastune_recipes.run.checkpoint import Checkpoint
from kerastune_recipes.run.context import RunContext
from kerastune_recipes.run.fit_phase import apply_temperature, batch_parts, from_choices, solve_again
from kerastune_recipes.run.solve_phase import solve


def may_refit_head(phase: PhasePlan, outcome: Outcome) -> bool:
    """Return whether the head of a phase can be solved on all images, and held-out images do not speak against it.

    A trained head that the gate kept is better than one that is solved; no refit takes its place.
    """
    return phase.fit is None or bool(outcome.choices["head_solved_again"])


def head(context: RunContext, outcomes: Sequence[Outcome], chosen: int) -> list[Outcome]:
    """Solve the head of the chosen phase again, on all images, and return the outcomes of all phases with that.

    After a fit phase this is worth more than the head solved on four fifths of the images (benchmarks/pages/gate.md).

    Args:
        context: The run; the network with the weights of the chosen phase. It is left with the refitted head.
        outcomes: Outcomes of all phases, judged by images that they had not seen.
        chosen: Position of the chosen phase, see `may_refit_head`.
    """
    on_all = context.on_all_images()
    _announce(on_all, f"the head of {outcomes[chosen].name}")
    began, phase, judged = time.perf_counter(), context.plan.phases[chosen], outcomes[chosen]
    if phase.solve:
        refitted = _merged(judged, _solve_head(on_all, phase.name, phase.solve, judged))
    else:
        assert phase.fit is not None  # a phase is one or the other
        unseen = np.arange(len(on_all.images[TRAIN].labels)) >= len(context.images[TRAIN].labels)
        solved = solve_again(on_all, phase.fit, unseen)
        refitted = replace(
            judged,
            seconds=judged.seconds + time.perf_counter() - began,
            choices=judged.choices
            | {"temperature": solved.temperature, "strength": solved.strength, "judged_by": solved.judged_by},
        )
    return [*outcomes[:chosen], refitted, *outcomes[chosen + 1 :]]


def _solve_head(context: RunContext, name: str, plan: SolvePlan, judged: Outcome) -> Outcome:
    """Solve a head at the strength that was chosen for it.

    Its temperature was found with the strength, on images that no head had seen. So one solution is enough, unless the
    head needs folds.
    """
    if plan.pseudo_labels:
        # The supervised head that they have to beat is the best of all strengths.
        return solve(context, name, plan)[0]
    at_strength = plan.model_copy(update={"strengths": (judged.choices["strength"],)})
    if needs_folds(plan):
        return solve(context, name, at_strength)[0]
    temperature = judged.choices["temperature"]
    kernel, bias = context.network.head.get_weights()
    nearby = Start(kernel * temperature, bias * temperature)
    refitted, _ = solve(context, name, at_strength.model_copy(update={"folds": 0}), nearby)
    apply_temperature(context, temperature)
    return replace(refitted, choices=refitted.choices | {"temperature": temperature})


def everything(context: RunContext, outcomes: Sequence[Outcome], chosen: int, checkpoint: Checkpoint) -> list[Outcome]:
    """Run the phases up to the chosen one again, on all images, and return the outcomes of all phases with that.

    What held-out images decided stays: which phase is chosen, how much of each is kept, and its temperature.

    Args:
        context: All images; the network as it was before the first phase. It is left with the refitted weights.
        outcomes: Outcomes of all phases, judged by images that they had not seen.
        chosen: Position of the chosen phase.
        checkpoint: Checkpoint of the whole run, from which an interrupted refit resumes.

    Raises:
        WorkError: Training diverged.
    """
    _announce(context, outcomes[chosen].name)
    decided = {outcome.name: from_choices(outcome.choices) for outcome in outcomes if outcome.kind == "fit"}
    # Of a discarded phase nothing would be kept.
    pairs = zip(context.plan.phases[: chosen + 1], outcomes, strict=False)
    kept = [phase for phase, outcome in pairs if not outcome.discarded]
    done = {each.name: each for each in phases.refit(context, kept, checkpoint.part("refit"), decided)}
    return [_merged(judged, done[judged.name]) if judged.name in done else judged for judged in outcomes]


def _announce(context: RunContext, what: str) -> None:
    context.display.line(f"{what} is refitted on all {len(context.images[TRAIN].labels)} images")


def _merged(judged: Outcome, refitted: Outcome) -> Outcome:
    if judged.kind == "fit":
        choices = refitted.choices | judged.choices | batch_parts(max(refitted.batch_parts, judged.batch_parts))
    else:
        computed = judged.choices["features_computed"] + refitted.choices["features_computed"]
        # These describe the refitted head; all other choices explain how it was chosen.
        of_head = {key: refitted.choices[key] for key in ("strength", "temperature", "tap") if key in refitted.choices}
        choices = refitted.choices | judged.choices | of_head | {"features_computed": computed}
    return replace(
        refitted,
        seconds=judged.seconds + refitted.seconds,
        validation=judged.validation,
        choices=choices,
    )
