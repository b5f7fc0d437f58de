"""The results of a comparison: metrics with intervals, each recipe against the first."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import ConfigDict, Field
from rich.table import Table

from kerastune_recipes import atomic_files
from kerastune_recipes.errors import DataError, writing
from kerastune_recipes.evaluation import metrics
from kerastune_recipes.planning.plan import Plan
from kerastune_recipes.progress import as_text
from kerastune_recipes.records import Record
from kerastune_recipes.reporting import plots
from kerastune_recipes.spec.fields import NotNegative
from kerastune_recipes.studies import page, significance

# The images that judge the runs.
JudgedBy = Literal["test", "validation", "out-of-fold"]

_JUDGED = {
    "test": "test images, which were not used for any choice",
    "validation": "validation images, which also chose the phases, so the accuracies are optimistic",
    "out-of-fold": "images, each predicted by models that were not trained on it",
}

# The p-value from which on a difference is usually called significant.
_SIGNIFICANT = 0.05


class _PhaseFigures(Record):
    model_config = ConfigDict(extra="ignore")

    kind: Literal["solve", "fit"]
    trainable_parameters: Annotated[int, Field(ge=0)]
    features_computed: Annotated[int, Field(ge=0)] | None = None


class _DataFigures(Record):
    model_config = ConfigDict(extra="ignore")

    train: Annotated[int, Field(ge=1)]
    validation: Annotated[int, Field(ge=0)]


class _CostFigures(Record):
    model_config = ConfigDict(extra="ignore")

    seconds_total: NotNegative
    seconds_in_phases: NotNegative
    seconds_one_forward_pass: NotNegative
    forward_equivalents: NotNegative


class JudgedFigures(Record):
    """The figures of report.json that a comparison needs."""

    model_config = ConfigDict(extra="ignore")

    data: _DataFigures
    phases: Annotated[tuple[_PhaseFigures, ...], Field(min_length=1)]
    cost: _CostFigures


@dataclass(frozen=True)
class JudgedRun:
    """One run and its predictions.

    Args:
        record: All figures of the run, as report.json holds them; those of `JudgedFigures` are needed.
        plan: The plan that was run.
        by: The images that judge it.
        probabilities: Probabilities for these images, float (n, k).
        labels: Their true classes, int (n,).
        images: Their names, (n,); an image has the same name in all runs.
        groups: The group of each image, int (n,), by the same numbers in all runs; None where images are not grouped.
    """

    record: Mapping[str, Any]
    plan: Plan
    by: JudgedBy
    probabilities: np.ndarray
    labels: np.ndarray
    images: Sequence[str]
    groups: np.ndarray | None = None

    def __post_init__(self) -> None:
        images = len(self.labels)
        fits = self.probabilities.shape == (images, len(self.plan.class_names)) and len(self.images) == images > 0
        if self.groups is not None:
            fits = fits and self.groups.shape == (images,) and self.groups.dtype.kind in "iu"
        if not fits or self.by not in _JUDGED or not np.isin(self.labels, range(len(self.plan.class_names))).all():
            raise ValueError("predictions, labels, names, groups and classes do not belong together")

    @property
    def correct(self) -> np.ndarray:
        """Whether each image was predicted correctly, bool (n,)."""
        return self.probabilities.argmax(axis=1) == self.labels

    @property
    def cost(self) -> "StandaloneCost":
        """The cost of the run without features from other runs."""
        return standalone_cost(self.record, self.plan)


@dataclass(frozen=True)
class StandaloneCost:
    """The cost of the phases of a run that computes all its features itself.

    Args:
        seconds: Wall time.
        forward_passes: The same time as a multiple of one forward pass of the training and validation images.
    """

    seconds: float
    forward_passes: float


def standalone_cost(record: Mapping[str, Any], plan: Plan) -> StandaloneCost:
    """Return the cost of a run, with features that other runs had computed counted as if it had computed them.

    Args:
        record: All figures of the run, as report.json holds them.
        plan: The plan that was run.
    """
    data, cost = record["data"], record["cost"]
    backbones = 1 + len(plan.to_data().get("ensemble", ()))
    needed = backbones * (plan.features.views * data["train"] + data["validation"])
    reused, new_network = 0, True
    for phase in record["phases"]:
        # Solve phases in a row use the same features; a fit phase changes the network.
        if phase["kind"] == "solve" and new_network:
            reused += max(0, needed - phase.get("features_computed", needed))
        new_network = phase["kind"] == "fit"
    passes = reused / backbones / (data["train"] + data["validation"])
    return StandaloneCost(
        seconds=cost["seconds_in_phases"] + passes * cost["seconds_one_forward_pass"],
        forward_passes=cost["forward_equivalents"] + passes,
    )


@dataclass(frozen=True)
class AgainstFirst:
    """A recipe compared with the first one.

    Args:
        difference: Accuracy of the recipe minus accuracy of the first, -1..1.
        difference_ci95: 95 % interval of the difference.
        better: Number of images that the recipe predicts correctly more often than the first.
        worse: Number of images that it predicts correctly less often.
        p_value: P-value of McNemar's exact test, or of its extension to groups; see `significance.paired`.
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
    """The results of one recipe: means over the seeds.

    Args:
        recipe: Name of the recipe in this comparison.
        accuracy: Share of the images that are predicted correctly.
        accuracy_ci95: Its 95 % interval; see `significance.accuracy_interval`.
        accuracy_by_seed: Accuracy with each seed.
        balanced_accuracy: Mean recall over the classes.
        log_loss: Log loss, nats.
        seconds: Wall time of the phases, features from other runs counted as computed here.
        forward_passes: The same time as a multiple of one forward pass of all images.
        seconds_spent: Wall time of the whole runs as measured.
        trainable_parameters: Number of weights that the largest phase changes.
        against_first: The comparison with the first recipe; None for the first itself.
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
    against_first: AgainstFirst | None = None


@dataclass(frozen=True)
class Failure:
    """A recipe that failed.

    Args:
        recipe: Name of the recipe in this comparison.
        reason: Why it failed.
    """

    recipe: str
    reason: str


@dataclass(frozen=True)
class Comparison:
    """Recipes on the same images, with the same seeds.

    Args:
        data: Source of the images.
        judged: The images that judge the recipes: "test", the test split; "validation" where there is none;
            "out-of-fold", all images, each predicted by the model of a fold that did not train on it.
        images: Number of different images among them.
        seeds: Random seeds.
        results: One for each recipe, in the order in which the user named them.
        failures: Recipes without a result.
        groups: Number of different groups of these images; None where images are not grouped.
    """

    data: str
    judged: JudgedBy
    images: int
    seeds: tuple[int, ...]
    results: tuple[Result, ...]
    failures: tuple[Failure, ...] = ()
    groups: int | None = None

    @classmethod
    def of_runs(
        cls,
        data: str,
        runs: Mapping[str, Mapping[int, JudgedRun]],
        failures: Sequence[Failure] = (),
    ) -> Self:
        """Compare finished runs.

        Args:
            data: Source of the images.
            runs: Runs by recipe and seed, with the same seeds in the same order for each recipe; at least one.
            failures: Recipes without a result.

        Raises:
            DataError: The order of the images changes each time they are read.
        """
        first, *others = runs
        _check_order(run for by_seed in runs.values() for run in by_seed.values())
        names = sorted({name for run in runs[first].values() for name in run.images})
        shares = {recipe: _per_image(list(by_seed.values()), names) for recipe, by_seed in runs.items()}
        groups = _groups((run for by_seed in runs.values() for run in by_seed.values()), names)
        pairs = [significance.paired(shares[other][0], *shares[first], groups) for other in others]
        corrected = significance.holm([pair.p_value for pair in pairs])
        against = [
            AgainstFirst(pair.difference, pair.interval, pair.better, pair.worse, pair.p_value, p_value)
            for pair, p_value in zip(pairs, corrected, strict=True)
        ]
        results = tuple(
            _result(
                recipe,
                list(runs[recipe].values()),
                significance.accuracy(*shares[recipe]),
                significance.accuracy_interval(*shares[recipe], groups),
                against_first,
            )
            for recipe, against_first in zip(runs, [None, *against], strict=True)
        )
        judged = next(iter(runs[first].values())).by
        counted = None if groups is None else len(np.unique(groups))
        return cls(data, judged, len(names), tuple(runs[first]), results, tuple(failures), counted)

    @property
    def record(self) -> dict[str, Any]:
        """All figures, as comparison.json holds them."""
        return {**asdict(self), "notes": list(self.notes())}

    def notes(self) -> Iterable[str]:
        """Explain what the figures mean and what they do not cover, one or two sentences at a time."""
        several = len(self.seeds) > 1
        seeds = f"means over {len(self.seeds)} seeds" if several else "one seed"
        yield f"Judged by {self.images} {_JUDGED[self.judged]}; {seeds}."
        if self.groups is not None:
            yield (
                f"The images are in {self.groups} groups. Images of a group resemble each other, so they count "
                f"together: as {self.groups} images at least, and as more where those of a group are less alike."
            )
        yield (
            f"95% intervals cover the choice of {'images' if self.groups is None else 'groups'}, and each image counts "
            "once. "
            + (
                "They do not cover the choice of the seed; the range over the seeds shows it."
                if several
                else "They do not cover the choice of the seed; more seeds would show it."
            )
        )
        if len(self.results) > 1:
            tests = len(self.results) - 1
            corrected = f", corrected for {tests} comparisons (Holm)" if tests > 1 else ""
            test = "McNemar's exact test" if self.groups is None else "McNemar's exact test with groups as units,"
            yield f"p: {test} against {self.results[0].recipe}{corrected}."
            if self.groups is not None and 2.0 ** (1 - self.groups) > _SIGNIFICANT:
                yield f"With {self.groups} groups p cannot be below {2.0 ** (1 - self.groups):.2g}."
        yield (
            "Seconds and forward passes count the phases. Features from other runs count as if computed again; a head "
            "that another run had solved costs nothing."
        )

    def __str__(self) -> str:
        failures = (f"{failure.recipe} failed: {failure.reason}" for failure in self.failures)
        text = as_text(self._table(), *failures, *self.notes(), width=120)
        return "\n".join(line.rstrip() for line in text.splitlines())

    def _table(self) -> Table:
        table = Table(title=f"Recipes on {self.data}", title_justify="left", box=None, pad_edge=False)
        table.add_column("recipe", overflow="fold", max_width=24)
        for title in ("accuracy", "balanced", "log loss", "seconds", "passes", "trained", "against the first", "p"):
            table.add_column(title, justify="right")
        for result in self.results:
            table.add_row(*_cells(result))
        for failure in self.failures:
            table.add_row(failure.recipe, "failed", *[""] * 7)
        return table

    def to_html(self, path: str | Path) -> None:
        """Write the comparison as one self-contained HTML file.

        Args:
            path: The file; it is replaced if it exists.
        """
        atomic_files.write(Path(path), page.render_comparison(self.record))

    def save(self, folder: str | Path) -> None:
        """Write comparison.json, comparison.html and comparison.svg.

        Args:
            folder: The folder; it is made where there is none.

        Raises:
            OutputError: The folder cannot be written.
        """
        folder = Path(folder)
        with writing(folder, "the comparison"):
            folder.mkdir(parents=True, exist_ok=True)
            atomic_files.write(folder / "comparison.json", json.dumps(self.record, indent=2))
            self.to_html(folder / "comparison.html")
            figure = plots.to_svg(plots.comparison(self.record["results"]), "comparison")
            atomic_files.write(folder / "comparison.svg", figure)


def _check_order(runs: Iterable[JudgedRun]) -> None:
    """Check that a name means the same image in all runs, as far as the labels show."""
    known: dict[str, int] = {}
    for run in runs:
        for name, label in zip(run.images, run.labels.tolist(), strict=True):
            if known.setdefault(name, label) != label:
                raise DataError(
                    "the order of the images changes each time they are read, so recipes cannot be compared image by "
                    "image; give data in a fixed order (without shuffle, or with reshuffle_each_iteration=False)."
                )


def _per_image(runs: Sequence[JudgedRun], names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the share of correct predictions of each image, and the number of predictions: float (images,) each."""
    position = {name: index for index, name in enumerate(names)}
    correct, predicted = np.zeros(len(names)), np.zeros(len(names))
    for run in runs:
        indices = [position[name] for name in run.images]
        correct[indices] += run.correct
        predicted[indices] += 1
    return correct / predicted, predicted


def _groups(runs: Iterable[JudgedRun], names: Sequence[str]) -> np.ndarray | None:
    """Return the group of each image, int (images,); None unless all are known."""
    known: dict[str, int] = {}
    for run in runs:
        if run.groups is not None:
            known.update(zip(run.images, run.groups.tolist(), strict=True))
    return np.array([known[name] for name in names]) if known.keys() >= set(names) else None


def _result(
    recipe: str,
    runs: Sequence[JudgedRun],
    accuracy: float,
    interval: tuple[float, float],
    against: AgainstFirst | None,
) -> Result:
    scores = [metrics.summary(run.probabilities, run.labels) for run in runs]
    return Result(
        recipe=recipe,
        accuracy=accuracy,
        accuracy_ci95=interval,
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
        result.recipe,
        accuracy,
        f"{result.balanced_accuracy:.1%}",
        f"{result.log_loss:.3f}",
        f"{result.seconds:.1f}",
        f"{result.forward_passes:.1f}",
        f"{result.trainable_parameters:,}",
        against,
        p_value,
    ]
