"""The result of a search, as a table and a recipe file."""

import csv
import io
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from kerastune_recipes import atomic_files, printable, yaml_files
from kerastune_recipes.errors import listed, writing
from kerastune_recipes.progress import as_text
from kerastune_recipes.studies.search_space import Trial, Value

if TYPE_CHECKING:
    from kerastune_recipes.recipe import Recipe


# The files of a search in its folder.
RECIPE, TRIALS = "recipe.yaml", "trials.csv"


@dataclass(frozen=True)
class Tuned:
    """The result of a search.

    Args:
        recipe: The recipe with the best values in place of `auto`; it runs like any other recipe.
        trials: All trials in order. The first has the values of the rules, so the best is never worse than these on the
            validation images.
        left: Dotted keys that are still `auto`; their rules set them.
        data: Source of the images.
    """

    recipe: "Recipe"
    trials: tuple[Trial, ...]
    left: tuple[str, ...]
    data: str

    @property
    def best(self) -> Trial:
        """The trial with the lowest log loss; the first of equals."""
        return best_of(self.trials)

    @property
    def record(self) -> dict[str, Any]:
        """The result as plain data."""
        return {
            "recipe": self.recipe.content.to_data(),
            "data": self.data,
            "best": self.best.number,
            "left": list(self.left),
            "trials": [asdict(trial) for trial in self.trials],
        }

    def __str__(self) -> str:
        text = as_text(self._table(), *self._notes(), width=120)
        return "\n".join(line.rstrip() for line in text.splitlines())

    def _table(self) -> Table:
        title = f"{self.recipe.name} on {self.data}"
        table = Table(title=title, title_justify="left", box=None, pad_edge=False)
        for heading in ("trial", "log loss", "accuracy", "seconds"):
            table.add_column(heading, justify="right")
        table.add_column("changed from the rules", overflow="fold")
        for trial in self.trials:
            changes = [show_value(key, value) for key, value in self._changes(trial).items()]
            number = f"{'* ' if trial is self.best else ''}{trial.number}"
            if trial.log_loss is None or trial.accuracy is None or trial.seconds is None:
                table.add_row(number, "failed", "", "", ", ".join([*changes, trial.problem]))
            else:
                figures = (f"{trial.log_loss:.4f}", f"{trial.accuracy:.1%}", f"{trial.seconds:.1f}")
                table.add_row(number, *figures, ", ".join(changes) or "nothing")
        return table

    def _changes(self, trial: Trial) -> dict[str, Value]:
        return {key: value for key, value in trial.values.items() if value != self.trials[0].values[key]}

    def _notes(self) -> Iterable[str]:
        by_rule = self.trials[0].log_loss
        yield (
            f"Best: trial {self.best.number}, log loss {self.best.log_loss:.4f} on the validation images; the rules: "
            f"{by_rule:.4f}. The best of several trials is optimistic; measure it on a test split."
        )
        if self.left:
            yield f"Set by the rules: {listed(self.left)}."

    def save(self, folder: str | Path) -> None:
        """Write recipe.yaml and trials.csv.

        Args:
            folder: The folder; it is made where there is none.

        Raises:
            OutputError: The folder cannot be written.
        """
        folder = Path(folder)
        with writing(folder, "the result"):
            folder.mkdir(parents=True, exist_ok=True)
            atomic_files.write(folder / RECIPE, self._recipe_file(folder / RECIPE))
            atomic_files.write(folder / TRIALS, self._csv())

    def _recipe_file(self, path: Path) -> str:
        head = [
            f"{self.recipe.name}: its auto fields set to the best of {len(self.trials)} trials on {self.data}.",
            f"Validation log loss {self.best.log_loss:.4f}, with the rules {self.trials[0].log_loss:.4f}; the best of "
            "several trials is optimistic.",
            f"Run:     kerastune run {path} --data {self.data}",
        ]
        return "".join(f"# {printable.one_line(' '.join(line.split()))}\n" for line in head) + yaml_files.dump(
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


def best_of(trials: Iterable[Trial]) -> Trial:
    """Return the trial with the lowest log loss, the first of equals; at least one must not have failed."""
    return min((trial for trial in trials if trial.log_loss is not None), key=lambda trial: trial.log_loss or 0.0)


def show_value(key: str, value: Value) -> str:
    """Write a value with its key shortened.

    Example:
        >>> show_value("phases.fine_tuning.fit.learning_rate", 0.003)
        'fine_tuning.learning_rate 0.003'
    """
    return f"{key.removeprefix('phases.').replace('.fit.', '.')} {value}"
