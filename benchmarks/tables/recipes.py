"""Every shipped recipe: accuracy with its interval, and seconds."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from benchmarks.lib import markdown, results
from benchmarks.lib.results import Row
from kerastune_recipes.evaluation import metrics

SCRATCH = "from_scratch"


@dataclass(frozen=True)
class Cell:
    """A recipe on a data set.

    Args:
        seeds: Number of seeds that ran.
        accuracy: Mean over the seeds, 0..1.
        interval: 95% interval for the number of test images.
        seconds: Mean over the seeds.
        shortened: Bound on the epochs of a phase, or None.
    """

    seeds: int
    accuracy: float
    interval: tuple[float, float]
    seconds: float
    shortened: int | None


Cells = dict[str, dict[str, Cell]]


def tables() -> dict[str, str]:
    """Return how the recipes were measured, the table, and what follows from it."""
    made = results.made("recipes")
    cells = _cells(made)
    names = made["data"]
    return {
        "made": _setting(made),
        "accuracy": _accuracy(cells, names, made["seeds"]),
        "shortened": _shortened(cells),
        "against_scratch": _against_scratch(cells, names),
        "not_run": _not_run(results.read("recipes", "not_run")),
    }


def _setting(made: Row) -> str:
    size = f" at {made['size']} pixels" if made["size"] else ""
    seeds = f"{made['seeds']} seed{'s' if made['seeds'] > 1 else ''}"
    return f"{made['backbone']}{size}, {seeds}, {made['cores']} of the cores of {markdown.made_by(made)}"


def _cells(made: Row) -> Cells:
    """Return the cells of the setting; a run that was measured again counts once, by its last row."""
    runs = {}
    for run in results.read("recipes"):
        fits = run["backbone"] == made["backbone"] and run["size"] == made["size"] and run["seed"] < made["seeds"]
        if fits and run["epochs"] in (None, made["epochs"]) and run["data"] in made["data"]:
            runs[run["recipe"], run["data"], run["seed"]] = run
    grouped: dict[tuple[str, str], list[Row]] = {}
    for (recipe, data, _), run in sorted(runs.items()):
        grouped.setdefault((recipe, data), []).append(run)
    cells: Cells = {}
    for (recipe, data), found in grouped.items():
        cells.setdefault(recipe, {})[data] = _cell(found)
    return cells


def _cell(runs: Sequence[Row]) -> Cell:
    images = runs[0]["images"]
    accuracy = fmean(run["accuracy"] for run in runs)
    return Cell(
        seeds=len(runs),
        accuracy=accuracy,
        interval=metrics.wilson_interval(accuracy * images, images),
        seconds=fmean(run["seconds"] for run in runs),
        shortened=runs[0]["epochs"],
    )


def _accuracy(cells: Cells, names: Sequence[str], seeds: int) -> str:
    best = {name: max((row[name].accuracy for row in cells.values() if name in row), default=0.0) for name in names}
    return markdown.table(
        ["recipe", *names],
        (
            [f"[{recipe}](../recipes/{recipe}.yaml)", *(_shown(row.get(name), best[name], seeds) for name in names)]
            for recipe, row in cells.items()
        ),
    )


def _shown(cell: Cell | None, best: float, seeds: int) -> str:
    if cell is None:
        return ""
    low, high = cell.interval
    accuracy = f"{100 * cell.accuracy:.1f}"
    emphasised = f"**{accuracy}**" if cell.accuracy == best else accuracy
    marks = ("†" if cell.shortened else "") + (f", {cell.seeds} of {seeds} seeds" if cell.seeds < seeds else "")
    return f"{emphasised} ({100 * low:.1f} to {100 * high:.1f}){marks}, {cell.seconds:.0f} s"


def _shortened(cells: Cells) -> str:
    bounds = {cell.shortened for row in cells.values() for cell in row.values() if cell.shortened}
    if not bounds:
        return "Every run had the epochs that its recipe asks for."
    return f"**†: at most {max(bounds)} epochs in each phase, so this is not the whole recipe.**"


def _against_scratch(cells: Cells, names: Sequence[str]) -> str:
    """Say where pretraining did not pay."""
    scratch = cells.get(SCRATCH, {})
    behind = [
        f"{recipe} on {name} ({100 * row[name].accuracy:.1f} to {100 * scratch[name].accuracy:.1f})"
        for name in names
        if name in scratch
        for recipe, row in cells.items()
        if recipe != SCRATCH and name in row and row[name].accuracy <= scratch[name].accuracy
    ]
    return f"Not better than {SCRATCH}: {'; '.join(behind)}." if behind else f"All are better than {SCRATCH}."


def _not_run(rows: Sequence[Row]) -> str:
    """Name the recipes that could not run and why, with the data sets of an equal reason together."""
    together: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        together.setdefault((row["recipe"], row["reason"]), []).append(row["data"])
    lines = [f"- {recipe} ({', '.join(names)}): {reason}" for (recipe, reason), names in together.items()]
    return "\n".join(lines) or "All recipes ran."
