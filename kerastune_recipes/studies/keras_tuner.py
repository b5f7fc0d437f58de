"""Search with KerasTuner: it proposes values, stores the trials, and resumes an interrupted search."""

import contextlib
import io
import json
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras_tuner
from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.oracles import BayesianOptimizationOracle

from kerastune_recipes import atomic_files
from kerastune_recipes.studies.search_space import Dimension, Trial, Value

LOSS = "log_loss"
_METRICS = (LOSS, "accuracy", "seconds")
# Attempts to draw values that no trial had, before the space counts as exhausted.
_PATIENCE = 100

# From the number of a trial and its values to "log_loss", "accuracy" and "seconds".
Objective = Callable[[int, Mapping[str, Value]], Mapping[str, float]]


def search(
    dimensions: Sequence[Dimension], objective: Objective, trials: int, seed: int, folder: Path
) -> tuple[Trial, ...]:
    """Search for the values with the lowest log loss by Bayesian optimization; the first trial has the defaults.

    Args:
        dimensions: The search space.
        objective: Function that runs a trial: from its number and values to "log_loss", "accuracy" and "seconds". An
            exception in the first trial ends the search; in a later one it makes that trial a failure.
        trials: Total number of trials, at least 1, those already in the folder included.
        seed: Random seed of the proposals.
        folder: Folder of the search; a search in it is resumed.

    Returns:
        All trials in order; fewer than `trials` when the space is exhausted.

    Example:
        >>> search((Dimension("rate", 0.01, bounds=(0.001, 0.1)),), run_trial, 10, 0, Path("out"))[0].values
        {'rate': 0.01}
    """
    oracle = _Oracle(
        objective=keras_tuner.Objective(LOSS, "min"),
        max_trials=trials,
        # The default, three times the number of dimensions, would make most searches random.
        num_initial_points=len(dimensions) + 2,
        # 0 would mean no seed.
        seed=seed + 1,
        hyperparameters=_hyperparameters(dimensions),
        # Three learning rates in a row that are too high are no reason to stop, as by default.
        max_consecutive_failed_trials=trials + 1,
    )
    # KerasTuner prints its progress; standard output is for results.
    with contextlib.redirect_stdout(io.StringIO()):
        tuner = _Tuner(oracle, directory=str(folder.parent), project_name=folder.name)
    oracle.verbose = 0
    tuner.objective, tuner.dimensions = objective, {dimension.key: dimension for dimension in dimensions}
    with warnings.catch_warnings():
        # NumPy warns about the missing loss of a failed trial.
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
    """The first trial failed, which has the values of the rules; no other could be compared with it.

    Args:
        reason: The exception of the trial.
    """

    def __init__(self, reason: Exception):
        super().__init__(reason)
        self.reason = reason


class _Oracle(BayesianOptimizationOracle):
    """Bayesian optimization that starts with the defaults and never proposes the same values twice.

    Its files are written whole: a search that is killed while KerasTuner writes one could not be read again.
    """

    def save(self) -> None:
        """Write the state of the search."""
        atomic_files.write(Path(self._get_oracle_fname()), json.dumps(self.get_state()))

    def _save_trial(self, trial: Any) -> None:
        folder = Path(self._get_trial_dir(trial.trial_id))
        atomic_files.write(folder / "trial.json", json.dumps(trial.get_state()))

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Return the values of the next trial."""
        space = self.hyperparameters.space
        if not self.trials:
            return {"status": "RUNNING", "values": {one.name: one.default for one in space}}
        known = [trial.hyperparameters.values for trial in self.trials.values()]
        with warnings.catch_warnings():
            # The Gaussian process warns that it did not converge on a handful of points.
            warnings.filterwarnings("ignore", module="sklearn")
            proposed = super().populate_space(trial_id)
        for attempt in range(_PATIENCE):
            if proposed["status"] == "RUNNING" and proposed["values"] not in known:
                return proposed
            start = self.seed + (len(known) * _PATIENCE + attempt) * len(space)
            values = {one.name: one.random_sample(start + index) for index, one in enumerate(space)}
            proposed = {"status": "RUNNING", "values": values}
        return {"status": "STOPPED", "values": None}


class _Tuner(BaseTuner):
    """Runs each trial by the objective, and stores the reason of a failure in one line."""

    objective: Objective
    dimensions: Mapping[str, Dimension]
    problem = ""

    def run_trial(self, trial: Any) -> dict[str, float]:
        """Run a trial and return its metrics."""
        number = self._number(trial.trial_id)
        self.problem = ""
        try:
            return dict(self.objective(number, self._values(trial)))
        except Exception as error:
            if number == 1:
                raise _FirstFailedError(error) from error
            self.problem = str(error) or type(error).__name__
            # A trial without a loss has failed. For an exception KerasTuner would print a traceback.
            return {LOSS: math.nan}

    def on_trial_end(self, trial: Any) -> None:
        """Store the reason of a failure instead of its traceback."""
        trial.message = self.problem or None
        super().on_trial_end(trial)

    def trial(self, identifier: str) -> Trial:
        """Return a trial by its identifier in KerasTuner."""
        found = self.oracle.get_trial(identifier)
        number, values = self._number(identifier), self._values(found)
        if found.status != "COMPLETED":
            return Trial(number, values, None, None, None, found.message or "not finished")
        log_loss, accuracy, seconds = (float(found.metrics.get_best_value(name)) for name in _METRICS)
        return Trial(number, values, log_loss, accuracy, seconds)

    def _number(self, identifier: str) -> int:
        return int(identifier) + 1

    def _values(self, trial: Any) -> dict[str, Value]:
        return {key: _rounded(value, self.dimensions[key]) for key, value in trial.hyperparameters.values.items()}


def _rounded(value: Value, dimension: Dimension) -> Value:
    """Round a value drawn from a range to three digits, as a person would write it."""
    return float(f"{value:.3g}") if dimension.bounds and value != dimension.default else value
