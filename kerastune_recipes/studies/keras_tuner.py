"""KerasTuner at work: it proposes values, keeps what was tried, and goes on where it was interrupted."""

import contextlib
import io
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras_tuner
from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.oracles import BayesianOptimizationOracle

from kerastune_recipes.studies.search_space import Dimension, Trial, Value

LOSS = "log_loss"
_FIGURES = (LOSS, "accuracy", "seconds")
# Proposals that were tried before, until the space counts as exhausted.
_PATIENCE = 100

Judge = Callable[[int, Mapping[str, Value]], Mapping[str, float]]


def search(dimensions: Sequence[Dimension], judge: Judge, trials: int, seed: int, folder: Path) -> tuple[Trial, ...]:
    """Look for the values with the lowest log loss, by Bayesian optimisation; the first trial is the default.

    Args:
        dimensions: What is searched.
        judge: Gets the number of a trial and its values; returns "log_loss", "accuracy" and "seconds". When it raises,
            the trial has failed, and the search goes on; but the first may not fail.
        trials: How many in all, those found in the folder among them.
        seed: Of what is proposed.
        folder: Where the search is kept; one that is there goes on.

    Returns:
        All trials, in their order; fewer where there is nothing left to try.
    """
    oracle = _Oracle(
        objective=keras_tuner.Objective(LOSS, "min"),
        max_trials=trials,
        # Its own default, three times the dimensions, would make most searches random.
        num_initial_points=len(dimensions) + 2,
        # It takes 0 for no seed.
        seed=seed + 1,
        hyperparameters=_hyperparameters(dimensions),
        # Too high a rate three times in a row is no reason to stop.
        max_consecutive_failed_trials=trials + 1,
    )
    # KerasTuner prints what it does; standard output is for results.
    with contextlib.redirect_stdout(io.StringIO()):
        tuner = _Tuner(oracle, directory=str(folder.parent), project_name=folder.name)
    oracle.verbose = 0
    tuner.judge, tuner.dimensions = judge, {dimension.key: dimension for dimension in dimensions}
    with warnings.catch_warnings():
        # NumPy says that a failed trial has no loss.
        warnings.filterwarnings("ignore", message="All-NaN")
        try:
            tuner.search()
        except _FirstFailedError as error:
            raise error.reason from None
    return tuple(tuner.trial(identifier) for identifier in oracle.start_order)


def _hyperparameters(dimensions: Sequence[Dimension]) -> keras_tuner.HyperParameters:
    found = keras_tuner.HyperParameters()
    for dimension in dimensions:
        if dimension.bounds:
            low, high = dimension.bounds
            found.Float(dimension.key, low, high, sampling="log", default=dimension.default)
        else:
            found.Choice(dimension.key, list(dimension.values), default=dimension.default)
    return found


class _FirstFailedError(keras_tuner.errors.FatalError):
    """What the rules choose cannot be run: then there is nothing to be better than.

    Args:
        reason: Why.
    """

    def __init__(self, reason: Exception):
        super().__init__(reason)
        self.reason = reason


class _Oracle(BayesianOptimizationOracle):
    """Bayesian optimisation that begins with the default and proposes nothing twice."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Return what KerasTuner is to try next."""
        space = self.hyperparameters.space
        if not self.trials:
            return {"status": "RUNNING", "values": {one.name: one.default for one in space}}
        tried = [trial.hyperparameters.values for trial in self.trials.values()]
        with warnings.catch_warnings():
            # The Gaussian process says how well it converged on a handful of points.
            warnings.filterwarnings("ignore", module="sklearn")
            proposed = super().populate_space(trial_id)
        for attempt in range(_PATIENCE):
            if proposed["status"] == "RUNNING" and proposed["values"] not in tried:
                return proposed
            start = self.seed + (len(tried) * _PATIENCE + attempt) * len(space)
            values = {one.name: one.random_sample(start + index) for index, one in enumerate(space)}
            proposed = {"status": "RUNNING", "values": values}
        return {"status": "STOPPED", "values": None}


class _Tuner(BaseTuner):
    """Hands each trial to a judge, and keeps in a word why one failed."""

    judge: Judge
    dimensions: Mapping[str, Dimension]
    problem = ""

    def run_trial(self, trial: Any) -> dict[str, float]:
        """Judge the values of a trial."""
        number = self._number(trial.trial_id)
        self.problem = ""
        try:
            return dict(self.judge(number, self._values(trial)))
        except Exception as error:
            if number == 1:
                raise _FirstFailedError(error) from error
            self.problem = str(error) or type(error).__name__
            # A trial without a loss has failed. KerasTuner would print an exception with its traceback.
            return {LOSS: math.nan}

    def on_trial_end(self, trial: Any) -> None:
        """Keep the reason of a failure rather than its traceback."""
        trial.message = self.problem or None
        super().on_trial_end(trial)

    def trial(self, identifier: str) -> Trial:
        """Return a trial as we tell of it."""
        found = self.oracle.get_trial(identifier)
        number, values = self._number(identifier), self._values(found)
        if found.status != "COMPLETED":
            return Trial(number, values, None, None, None, found.message or "it was not finished")
        log_loss, accuracy, seconds = (float(found.metrics.get_best_value(name)) for name in _FIGURES)
        return Trial(number, values, log_loss, accuracy, seconds)

    def _number(self, identifier: str) -> int:
        return int(identifier) + 1

    def _values(self, trial: Any) -> dict[str, Value]:
        return {key: _readable(value, self.dimensions[key]) for key, value in trial.hyperparameters.values.items()}


def _readable(value: Value, dimension: Dimension) -> Value:
    """Round what was drawn from a range to three digits, as a person would write it."""
    return float(f"{value:.3g}") if dimension.bounds and value != dimension.default else value
