"""What a search found, as a table and a recipe file."""

import csv
import io
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kerastune_recipes import yaml_files
from kerastune_recipes.errors import OutputError, listed
from kerastune_recipes.studies.search_space import Trial, Value

if TYPE_CHECKING:
    from kerastune_recipes.recipe import Recipe


RECIPE, TRIALS = "recipe.yaml", "trials.csv"


_WIDTH = 120


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
        return best_of(self.trials)

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
            told = [escape(show_value(key, value)) for key, value in self._differing(trial).items()]
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


def best_of(trials: Iterable[Trial]) -> Trial:
    return min((trial for trial in trials if trial.log_loss is not None), key=lambda trial: trial.log_loss or 0.0)


def show_value(key: str, value: Value) -> str:
    """Say a value as a person would: "fine_tuning.learning_rate 0.003"."""
    return f"{key.removeprefix('phases.').replace('.fit.', '.')} {value}"
