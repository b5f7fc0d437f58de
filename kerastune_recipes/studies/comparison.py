"""What a comparison of recipes found: figures with their intervals, each recipe against the first."""

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kerastune_recipes.errors import DataError, OutputError
from kerastune_recipes.evaluation import metrics
from kerastune_recipes.planning.plan import Plan
from kerastune_recipes.reporting import plots
from kerastune_recipes.studies import page, significance

# What a comparison writes into its folder, beside the folders of the runs.
FILES = ("comparison.json", "comparison.html", "comparison.svg")

By = Literal["test", "validation", "out-of-fold"]

_WIDTH = 120
_JUDGED = {
    "test": "test images, by which nothing was chosen",
    "validation": "validation images, by which phases were chosen too, so the accuracies flatter",
    "out-of-fold": "images, each by models that were not trained on it",
}


@dataclass(frozen=True)
class JudgedRun:
    """One run, as far as a comparison needs it.

    Args:
        record: Its figures, as report.json holds them.
        plan: What it did.
        by: What it is judged by.
        probabilities: float (n, k), of the images that it is judged by.
        labels: int (n,).
        images: What each of these images is called, (n,): an image has one name in all runs.
    """

    record: Mapping[str, Any]
    plan: Plan
    by: By
    probabilities: np.ndarray
    labels: np.ndarray
    images: Sequence[str]

    @property
    def correct(self) -> np.ndarray:
        """Whether each image was recognised: bool (n,)."""
        return self.probabilities.argmax(axis=1) == self.labels

    @property
    def cost(self) -> "Cost":
        """What the run took, as if it had been alone."""
        return cost_alone(self.record, self.plan)


@dataclass(frozen=True)
class Cost:
    """What the phases of a run took.

    Args:
        seconds: Wall time.
        forward_passes: The same as a multiple of one forward pass of the training and validation images.
    """

    seconds: float
    forward_passes: float


def cost_alone(record: Mapping[str, Any], plan: Plan) -> Cost:
    """Return what a run took, features that it found because another had computed them counted as if it had not.

    Args:
        record: Its figures, as report.json holds them.
        plan: What it did.
    """
    data, cost = record["data"], record["cost"]
    backbones = 1 + len(plan.to_data().get("ensemble", ()))
    needed = backbones * (plan.features.views * data["train"] + data["validation"])
    spared, fresh = 0, True
    for phase in record["phases"]:
        # The heads of solve phases in a row are solved on the same features; a fit phase leaves another network.
        if phase["kind"] == "solve" and fresh:
            spared += max(0, needed - phase.get("features_computed", needed))
        fresh = phase["kind"] == "fit"
    passes = spared / backbones / (data["train"] + data["validation"])
    return Cost(
        seconds=cost["seconds_in_phases"] + passes * cost["seconds_one_forward_pass"],
        forward_passes=cost["forward_equivalents"] + passes,
    )


@dataclass(frozen=True)
class Against:
    """A recipe against the first one.

    Args:
        difference: Its accuracy less that of the first.
        difference_ci95: 95 % interval of the difference.
        better: Images that it recognised more often than the first.
        worse: Images that it recognised less often.
        p_value: Of McNemar's exact test, see `statistics.paired`.
        p_value_holm: The same, corrected for the number of recipes in the comparison.
    """

    difference: float
    difference_ci95: tuple[float, float]
    better: int
    worse: int
    p_value: float
    p_value_holm: float


@dataclass(frozen=True)
class Result:
    """The figures of one recipe: means over the seeds.

    Args:
        recipe: What it is called here.
        accuracy: Share of the judged images that are recognised.
        accuracy_ci95: Its 95 % interval, of the images; see `statistics.accuracy_interval`.
        accuracy_by_seed: That of each seed.
        balanced_accuracy: Mean over the classes.
        log_loss: In nats.
        seconds: Spent in phases, features that another run had computed counted as if computed by this one.
        forward_passes: The same as a multiple of one forward pass of all images.
        seconds_spent: Of the whole runs, as they were.
        trainable_parameters: Weights that the largest phase changes.
        against_first: The comparison with the first recipe; None for that one.
    """

    recipe: str
    accuracy: float
    accuracy_ci95: tuple[float, float]
    accuracy_by_seed: tuple[float, ...]
    balanced_accuracy: float
    log_loss: float
    seconds: float
    forward_passes: float
    seconds_spent: float
    trainable_parameters: int
    against_first: Against | None = None


@dataclass(frozen=True)
class Failure:
    """A recipe that could not be run to its end, and why."""

    recipe: str
    reason: str


@dataclass(frozen=True)
class Comparison:
    """Recipes on the same images, with the same seeds.

    Args:
        data: Where the images come from.
        judged: What the recipes are judged by: the images of the test split, those of the validation split where there
            is no test split, or all images, each out of its fold.
        images: How many different images that are.
        seeds: The seeds.
        results: In the order in which the recipes were named.
        failures: Recipes without a result.
    """

    data: str
    judged: By
    images: int
    seeds: tuple[int, ...]
    results: tuple[Result, ...]
    failures: tuple[Failure, ...] = ()

    @classmethod
    def of_runs(
        cls,
        data: str,
        runs: Mapping[str, Mapping[int, JudgedRun]],
        failures: Sequence[Failure] = (),
    ) -> Self:
        """Compare finished runs.

        Args:
            data: Where the images come from.
            runs: By recipe and seed; of each recipe the same seeds, in the same order. At least one.
            failures: Recipes without a result.

        Raises:
            DataError: The images come in another order each time they are read.
        """
        first, *others = runs
        _check_order(run for by_seed in runs.values() for run in by_seed.values())
        names = sorted({name for run in runs[first].values() for name in run.images})
        shares = {recipe: _per_image(list(by_seed.values()), names) for recipe, by_seed in runs.items()}
        pairs = [significance.paired(shares[other][0], *shares[first]) for other in others]
        corrected = significance.holm([pair.p_value for pair in pairs])
        against = [
            Against(pair.difference, pair.interval, pair.better, pair.worse, pair.p_value, p_value)
            for pair, p_value in zip(pairs, corrected, strict=True)
        ]
        results = tuple(
            _result(recipe, list(runs[recipe].values()), *shares[recipe], compared)
            for recipe, compared in zip(runs, [None, *against], strict=True)
        )
        judged = next(iter(runs[first].values())).by
        return cls(data, judged, len(names), tuple(runs[first]), results, tuple(failures))

    @property
    def record(self) -> dict[str, Any]:
        """All figures, as comparison.json holds them."""
        return {**asdict(self), "notes": list(self.notes())}

    def notes(self) -> Iterable[str]:
        """Say what the figures mean and what they leave out, one sentence or two at a time."""
        seeds = f"{len(self.seeds)} seeds; figures are their means" if len(self.seeds) > 1 else "one seed"
        yield f"JudgedRun by {self.images} {_JUDGED[self.judged]}; {seeds}."
        yield (
            "Intervals are at 95% and of the images: how far off a figure may be for other images of the kind. "
            + (
                "An image counts once, whatever the number of seeds; what the seed changes, the range over the seeds "
                "shows."
                if len(self.seeds) > 1
                else "What another seed would change is not in them; more seeds would show it."
            )
        )
        if len(self.results) > 1:
            tests = len(self.results) - 1
            held = f", corrected for {tests} comparisons (Holm)" if tests > 1 else ""
            yield f"p is that of McNemar's exact test against {self.results[0].recipe}{held}."
        yield (
            "Seconds and forward passes are those of the phases. Features that another run had computed are counted as "
            "if computed anew; a head that another run had solved costs nothing."
        )

    def __str__(self) -> str:
        # In a notebook rich would show the text at once instead of writing it.
        console = Console(file=io.StringIO(), width=_WIDTH, color_system=None, force_jupyter=False)
        console.print(self._table())
        for failure in self.failures:
            console.print(f"{failure.recipe} failed: {failure.reason}", highlight=False, markup=False)
        for note in self.notes():
            console.print(note, highlight=False, markup=False)
        return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())  # type: ignore[attr-defined]

    def _table(self) -> Table:
        table = Table(title=f"Recipes on {escape(self.data)}", title_justify="left", box=None, pad_edge=False)
        table.add_column("recipe", overflow="fold", max_width=24)
        for title in ("accuracy", "balanced", "log loss", "seconds", "passes", "trained", "against the first", "p"):
            table.add_column(title, justify="right")
        for result in self.results:
            table.add_row(*_cells(result))
        for failure in self.failures:
            table.add_row(escape(failure.recipe), "failed", *[""] * 7)
        return table

    def to_html(self, path: str | Path) -> None:
        """Write the comparison as one self-contained HTML file."""
        Path(path).write_text(page.render_comparison(self.record), encoding="utf-8")

    def save(self, folder: str | Path) -> None:
        """Write comparison.json, comparison.html and comparison.svg.

        Raises:
            OutputError: The folder cannot be written.
        """
        folder = Path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "comparison.json").write_text(json.dumps(self.record, indent=2), encoding="utf-8")
            self.to_html(folder / "comparison.html")
            drawn = plots.to_svg(plots.comparison(self.record["results"]), "comparison")
            (folder / "comparison.svg").write_text(drawn, encoding="utf-8")
        except OSError as error:
            raise OutputError(f"{folder}: the comparison cannot be written: {error.strerror or error}.") from None


def _check_order(runs: Iterable[JudgedRun]) -> None:
    """See that a name stands for one image in all runs, as far as labels tell."""
    known: dict[str, int] = {}
    for run in runs:
        for name, label in zip(run.images, run.labels.tolist(), strict=True):
            if known.setdefault(name, label) != label:
                raise DataError(
                    "the images come in another order each time they are read, so recipes cannot be compared image by "
                    "image; give data in a fixed order (without shuffle, or with reshuffle_each_iteration=False)."
                )


def _per_image(runs: Sequence[JudgedRun], names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return in which share of its judgements each image was recognised, and how many there were: (images,) each."""
    place = {name: index for index, name in enumerate(names)}
    recognised, judged = np.zeros(len(names)), np.zeros(len(names))
    for run in runs:
        indices = [place[name] for name in run.images]
        recognised[indices] += run.correct
        judged[indices] += 1
    return recognised / judged, judged


def _result(
    recipe: str, runs: Sequence[JudgedRun], correct: np.ndarray, weights: np.ndarray, against: Against | None
) -> Result:
    scores = [metrics.summary(run.probabilities, run.labels) for run in runs]
    return Result(
        recipe=recipe,
        accuracy=significance.accuracy(correct, weights),
        accuracy_ci95=significance.accuracy_interval(correct, weights),
        accuracy_by_seed=tuple(score["accuracy"] for score in scores),
        balanced_accuracy=_mean(score["balanced_accuracy"] for score in scores),
        log_loss=_mean(score["log_loss"] for score in scores),
        seconds=_mean(run.cost.seconds for run in runs),
        forward_passes=_mean(run.cost.forward_passes for run in runs),
        seconds_spent=_mean(run.record["cost"]["seconds_total"] for run in runs),
        trainable_parameters=max(phase["trainable_parameters"] for run in runs for phase in run.record["phases"]),
        against_first=against,
    )


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def _cells(result: Result) -> list[str]:
    low, high = result.accuracy_ci95
    accuracy = f"{result.accuracy:.1%} ({100 * low:.1f} to {100 * high:.1f})"
    if len(result.accuracy_by_seed) > 1:
        lowest, highest = min(result.accuracy_by_seed), max(result.accuracy_by_seed)
        accuracy += f"\nseeds {100 * lowest:.1f} to {100 * highest:.1f}"
    against, p_value = "", ""
    if result.against_first:
        low, high = result.against_first.difference_ci95
        against = f"{100 * result.against_first.difference:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"
        against += f"\n{result.against_first.better} better, {result.against_first.worse} worse"
        p_value = f"{result.against_first.p_value_holm:.2g}"
    return [
        escape(result.recipe),
        accuracy,
        f"{result.balanced_accuracy:.1%}",
        f"{result.log_loss:.3f}",
        f"{result.seconds:.1f}",
        f"{result.forward_passes:.1f}",
        f"{result.trainable_parameters:,}",
        against,
        p_value,
    ]
