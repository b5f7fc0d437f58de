"""Tuning: the fields that a recipe leaves to `auto`, searched over its whole schedule by the validation images."""

import csv
import io
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kerastune_recipes import yaml_files
from kerastune_recipes.data.dataset import Dataset
from kerastune_recipes.data.sources.open import open_dataset
from kerastune_recipes.devices import strategies
from kerastune_recipes.errors import OutputError, RecipeError, RequestError, listed
from kerastune_recipes.features import cache as store
from kerastune_recipes.progress import Display
from kerastune_recipes.run import checkpoint, run_folder
from kerastune_recipes.spec.recipe_spec import RecipeSpec, override
from kerastune_recipes.studies import search_space
from kerastune_recipes.studies.search_space import Trial, Value

if TYPE_CHECKING:
    from kerastune_recipes.recipe import Recipe

RECIPE, TRIALS = "recipe.yaml", "trials.csv"
_WIDTH = 120
# What a trial leaves behind but nobody needs again: the recipe that was found is run anew.
_LARGE = ("model.keras", "report.html")


@dataclass(frozen=True)
class Tuned:
    """What a search found.

    Args:
        recipe: The recipe with the best values in place of what it left to `auto`; it can be run like any other.
        trials: All that was tried, in that order; the first is what the rules choose, so the best is never worse than
            that on the validation images.
        left: Dotted keys that are still `auto`, and decided on by their rules.
        data: Where the images come from.
    """

    recipe: "Recipe"
    trials: tuple[Trial, ...]
    left: tuple[str, ...]
    data: str

    @property
    def best(self) -> Trial:
        """The trial with the lowest log loss; of equals the first."""
        return _best(self.trials)

    @property
    def record(self) -> dict[str, Any]:
        """All of it as plain data."""
        return {
            "recipe": self.recipe.content.to_data(),
            "data": self.data,
            "best": self.best.number,
            "left": list(self.left),
            "trials": [asdict(trial) for trial in self.trials],
        }

    def __str__(self) -> str:
        # In a notebook rich would show the text at once instead of writing it.
        console = Console(file=io.StringIO(), width=_WIDTH, color_system=None, force_jupyter=False)
        console.print(self._table())
        for note in self._notes():
            console.print(note, highlight=False, markup=False)
        return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())  # type: ignore[attr-defined]

    def _table(self) -> Table:
        title = f"{self.recipe.name} on {self.data}"
        table = Table(title=escape(title), title_justify="left", box=None, pad_edge=False)
        for heading in ("trial", "log loss", "accuracy", "seconds"):
            table.add_column(heading, justify="right")
        table.add_column("what differs from the rules", overflow="fold")
        for trial in self.trials:
            told = [escape(_shown(key, value)) for key, value in self._differing(trial).items()]
            number = f"{'* ' if trial is self.best else ''}{trial.number}"
            if trial.log_loss is None or trial.accuracy is None or trial.seconds is None:
                table.add_row(number, "failed", "", "", ", ".join([*told, escape(trial.problem)]))
            else:
                figures = (f"{trial.log_loss:.4f}", f"{trial.accuracy:.1%}", f"{trial.seconds:.1f}")
                table.add_row(number, *figures, ", ".join(told) or "nothing")
        return table

    def _differing(self, trial: Trial) -> dict[str, Value]:
        return {key: value for key, value in trial.values.items() if value != self.trials[0].values[key]}

    def _notes(self) -> Iterable[str]:
        by_rule = self.trials[0].log_loss
        yield (
            f"Best is trial {self.best.number}: log loss {self.best.log_loss:.4f} on the validation images, "
            f"{by_rule:.4f} by the rules. The best of several flatters; a test split tells what it is worth."
        )
        if self.left:
            yield f"Left to the rules: {listed(self.left)}."

    def save(self, folder: str | Path) -> None:
        """Write recipe.yaml and trials.csv.

        Raises:
            OutputError: The folder cannot be written.
        """
        folder = Path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / RECIPE).write_text(self._recipe_file(folder / RECIPE), encoding="utf-8")
            (folder / TRIALS).write_text(self._csv(), encoding="utf-8")
        except OSError as error:
            raise OutputError(f"{folder}: what was found cannot be written: {error.strerror or error}.") from None

    def _recipe_file(self, path: Path) -> str:
        head = [
            f"{self.recipe.name}: with what {len(self.trials)} trials on {self.data} found for its auto fields.",
            f"Validation log loss {self.best.log_loss:.4f}, by the rules {self.trials[0].log_loss:.4f}; the best of "
            "several flatters.",
            f"Run:     kerastune run {path} --data {self.data}",
        ]
        return "".join(f"# {' '.join(line.split())}\n" for line in head) + yaml_files.dump(
            self.recipe.content.to_data()
        )

    def _csv(self) -> str:
        text = io.StringIO()
        keys = list(self.trials[0].values)
        writer = csv.writer(text)
        writer.writerow(["trial", *keys, "log_loss", "accuracy", "seconds", "problem"])
        for trial in self.trials:
            values = [trial.values.get(key) for key in keys]
            writer.writerow([trial.number, *values, trial.log_loss, trial.accuracy, trial.seconds, trial.problem])
        return text.getvalue()


def tune(
    recipe: "Recipe",
    ds: Any,
    trials: int = 10,
    seed: int = 0,
    out: str | Path | None = None,
    *,
    strategy: Any = None,
    cache: bool = True,
    verbose: bool = True,
    group_by: str | None = None,
    unlabeled: Any = None,
) -> Tuned:
    """Search what a recipe leaves to `auto`; see `Recipe.tune`."""
    if not isinstance(recipe.content, RecipeSpec):
        raise RecipeError(f"{recipe.name}: a plan leaves nothing open; tune the recipe that it was made from.")
    if isinstance(trials, bool) or not isinstance(trials, int) or trials < 2:
        raise RequestError(
            f"trials: a search takes a whole number of trials, 2 or more, the first being what the rules choose; "
            f"received {trials!r}."
        )
    strategies.check_alone(strategy, "a search")
    keras_tuner = _keras_tuner()
    # Only what was asked for, so that a run without it is a run as ever.
    grouped: dict[str, Any] = {} if group_by is None else {"group_by": group_by}
    further = {} if unlabeled is None else {"unlabeled": unlabeled}
    options = {"strategy": strategy, "verbose": verbose, **further}
    # Nothing is chosen by the test images; a search does not even see them.
    dataset = replace(open_dataset(ds, seed=seed, **grouped), test=None)
    dimensions = search_space.space(recipe.content, recipe.plan(dataset, seed=seed), dataset.facts())
    open_keys = search_space.open_keys(recipe.content)
    if not dimensions:
        still = f"; its rules decide on {listed(open_keys)}" if open_keys else ""
        raise RecipeError(
            f"{recipe.name}: there is nothing to search{still}. Write auto for what is to be searched: learning_rate, "
            "duration, batch_size, views or batch_norm_momentum of a fit phase, or backbone.image_size."
        )
    folder = None if out is None else Path(out)
    if folder:
        request = _request(recipe, dataset, seed, grouped | further)
        run_folder.check_same(folder, "search", request)
        run_folder.write_request(folder, request)
    display = Display(verbose)
    with tempfile.TemporaryDirectory() as passing, store.shared(cache):
        home = folder or Path(passing)

        def judge(number: int, values: Mapping[str, Value]) -> dict[str, float]:
            display.line(f"trial {number} of {trials}: {listed((_shown(*each) for each in values.items()), most=99)}")
            return _judged(_with(recipe, values), dataset, home / "trials" / f"{number:03}", seed, options)

        found = keras_tuner.search(dimensions, judge, trials, seed, home / "keras_tuner")
    tuned = Tuned(
        recipe=replace(_with(recipe, _best(found).values), name=f"{recipe.name}_tuned"),
        trials=found,
        left=tuple(key for key in open_keys if key not in found[0].values),
        data=dataset.source,
    )
    if folder:
        tuned.save(folder)
    return tuned


def _keras_tuner() -> Any:
    try:
        from kerastune_recipes.studies import keras_tuner
    except ModuleNotFoundError as error:
        if error.name != "keras_tuner":
            raise
        raise RequestError(
            'tuning needs KerasTuner, which is not installed; pip install "kerastune-recipes[tune]" does it.'
        ) from None
    return keras_tuner


def _request(recipe: "Recipe", dataset: Dataset, seed: int, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what makes a search this one; more trials go on with it."""
    return {
        "recipe": run_folder.digest(recipe.content),
        "images": checkpoint.mark_of(dataset),
        "seed": seed,
        "options": run_folder.plain(options),
    }


def _with(recipe: "Recipe", values: Mapping[str, Value]) -> "Recipe":
    data = override(recipe.content.to_data(), values, recipe.name)
    return replace(recipe, content=RecipeSpec.from_data(data, recipe.name))


def _judged(
    recipe: "Recipe", dataset: Dataset, folder: Path, seed: int, options: Mapping[str, Any]
) -> dict[str, float]:
    """Run a recipe, and return how good the model is that it keeps."""
    going_on = (folder / checkpoint.FOLDER).is_dir()
    with recipe.weights_kept():
        report = recipe.run(dataset, out=folder, seed=seed, resume=going_on, overwrite=not going_on, **options)
    for name in _LARGE:
        (folder / name).unlink(missing_ok=True)
    scores = report.record["validation"]
    return {
        "log_loss": scores["log_loss"],
        "accuracy": scores["accuracy"],
        "seconds": report.record["cost"]["seconds_total"],
    }


def _best(trials: Iterable[Trial]) -> Trial:
    return min((trial for trial in trials if trial.log_loss is not None), key=lambda trial: trial.log_loss or 0.0)


def _shown(key: str, value: Value) -> str:
    """Say a value as a person would: "fine_tuning.learning_rate 0.003"."""
    return f"{key.removeprefix('phases.').replace('.fit.', '.')} {value}"
