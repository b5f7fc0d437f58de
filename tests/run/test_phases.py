"""Which of the phases is kept. How phases run is tested by whole runs, in test_runner.py."""

from kerastune_recipes.reporting.outcome import Outcome
from kerastune_recipes.run import selection


def outcome(name, log_loss, **choices):
    kind = "fit" if "interpolation" in choices else "solve"
    return Outcome(name, kind, 1.0, 10, 100, 0, {"log_loss": log_loss}, choices, ())


def test_the_least_log_loss_on_validation_is_kept():
    outcomes = [outcome("solved", 0.5), outcome("fitted", 0.4, interpolation=0.5), outcome("again", 0.6)]
    assert selection.choose_phase(outcomes, "best_on_validation") == 1
    assert selection.choose_phase(outcomes, "last") == 2


def test_a_phase_that_was_undone_is_none_to_keep():
    """Its model is that of the phase before, but for the last digit; the head of that one can be refitted."""
    outcomes = [outcome("solved", 0.5), outcome("fitted", 0.4999999, interpolation=0.0)]
    assert selection.choose_phase(outcomes, "best_on_validation") == 0
