"""The phase that is kept, and those before it, run once more on all images, held-out ones included."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from kerastune_recipes import phases
from kerastune_recipes.bench import Bench
from kerastune_recipes.frozen import TRAIN
from kerastune_recipes.gate import Kept
from kerastune_recipes.journal import Journal, Outcome


def run(
    bench: Bench, outcomes: Sequence[Outcome], chosen: int, book: Journal, begin: Callable[[], None]
) -> list[Outcome]:
    """Refit the phases up to the one that is kept, and return what all phases did with that.

    What held-out images have shown stays: which phase is kept, how much of each, and its temperature.

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
    images = len(bench.images[TRAIN].labels)
    bench.display.line(f"{outcomes[chosen].name} is refitted on all {images} images")
    bench.weights_moved()
    settled = {
        outcome.name: Kept(outcome.choices["interpolation"], outcome.choices["temperature"])
        for outcome in outcomes
        if outcome.kind == "fit"
    }
    done = phases.run(bench, bench.plan.phases[: chosen + 1], book.part("refit"), begin, settled)
    refitted = [_with_refit(before, each.outcome) for before, each in zip(outcomes, done, strict=False)]
    return [*refitted, *outcomes[chosen + 1 :]]


def _with_refit(judged: Outcome, refitted: Outcome) -> Outcome:
    if judged.kind == "fit":
        choices = refitted.choices | judged.choices
    else:  # the strength is that of the head that is kept; its features were computed before
        computed = {name: found for name, found in judged.choices.items() if name == "features_computed"}
        choices = judged.choices | refitted.choices | computed
    return replace(
        refitted,
        seconds=judged.seconds + refitted.seconds,
        validation=judged.validation,
        choices=choices,
    )
