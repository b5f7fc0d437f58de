"""The search: defaults first, nothing twice, failures are reported, an interrupted search resumes."""

import math

import pytest

from kerastune_recipes.errors import WorkError
from kerastune_recipes.studies.search_space import Dimension

pytest.importorskip("keras_tuner", reason="KerasTuner is not installed")

from kerastune_recipes.studies.keras_tuner import search

SPACE = (
    Dimension("rate", 0.003, bounds=(0.0003, 0.03)),
    Dimension("batch", 32, (16, 32, 64)),
    Dimension("duration", "10 epochs", ("5 epochs", "10 epochs", "20 epochs")),
)


def objective(number, values):
    """Lowest at a rate of 0.01 and the longest duration."""
    loss = math.log10(values["rate"] / 0.01) ** 2 + 0.2 * (values["duration"] != "20 epochs")
    return {"log_loss": loss, "accuracy": 0.5, "seconds": float(number)}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "search"


def test_the_default_is_the_first_trial(folder):
    trials = search(SPACE, objective, 4, 0, folder)
    assert [trial.number for trial in trials] == [1, 2, 3, 4]
    assert trials[0].values == {"rate": 0.003, "batch": 32, "duration": "10 epochs"}
    assert trials[0].log_loss == pytest.approx(objective(1, trials[0].values)["log_loss"])
    assert [trial.seconds for trial in trials] == [1, 2, 3, 4]
    for trial in trials:
        assert 0.0003 <= trial.values["rate"] <= 0.03
        assert trial.values["batch"] in (16, 32, 64)


def test_the_search_finds_lower_losses(folder):
    trials = search(
        SPACE[:1], lambda number, values: objective(number, {"duration": "20 epochs", **values}), 6, 0, folder
    )
    assert min(trial.log_loss for trial in trials) < trials[0].log_loss / 2


def test_the_same_seed_proposes_the_same_values(tmp_path):
    one, same, other = (
        [trial.values for trial in search(SPACE, objective, 3, seed, tmp_path / name)]
        for name, seed in (("one", 0), ("same", 0), ("other", 1))
    )
    assert one == same != other


def test_no_values_are_tried_twice_and_an_exhausted_space_ends_the_search(folder):
    trials = search(SPACE[1:2], lambda *_: {"log_loss": 1.0, "accuracy": 0.5, "seconds": 1.0}, 10, 0, folder)
    assert sorted(trial.values["batch"] for trial in trials) == [16, 32, 64]


def test_a_failed_trial_is_reported_and_the_search_continues(folder, capfd):
    def fails_in_the_middle(number, values):
        if number in (2, 3, 4):
            raise WorkError("The loss became NaN.")
        return objective(number, values)

    trials = search(SPACE, fails_in_the_middle, 5, 0, folder)
    assert [trial.problem for trial in trials] == ["", *["The loss became NaN."] * 3, ""]
    assert trials[2].log_loss is None
    assert trials[4].log_loss > 0
    assert "Traceback" not in capfd.readouterr().err


def test_a_failure_of_the_first_trial_ends_the_search(folder):
    def broken(*_):
        raise WorkError("The loss became NaN.")

    with pytest.raises(WorkError, match="The loss became NaN."):
        search(SPACE, broken, 5, 0, folder)


@pytest.mark.parametrize("interrupted_in", [1, 3])
def test_an_interrupted_search_resumes(folder, interrupted_in, capsys):
    numbers = []

    def interrupt(number, values):
        if number == interrupted_in:
            raise KeyboardInterrupt
        numbers.append(number)
        return objective(number, values)

    with pytest.raises(KeyboardInterrupt):
        search(SPACE, interrupt, 4, 0, folder)

    def count(number, values):
        numbers.append(number)
        return objective(number, values)

    trials = search(SPACE, count, 4, 0, folder)
    assert numbers == [1, 2, 3, 4]
    assert [trial.number for trial in trials] == [1, 2, 3, 4]
    assert trials[0].values["rate"] == 0.003
    more = search(SPACE, count, 6, 0, folder)
    assert numbers == [1, 2, 3, 4, 5, 6]
    assert more[:4] == trials
    assert capsys.readouterr().out == ""
