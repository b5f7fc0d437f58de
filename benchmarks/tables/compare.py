"""The recipes against the code that they replace: sentences, tables and curves."""

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, PercentFormatter, ScalarFormatter

from benchmarks.lib import markdown, measure, results
from benchmarks.lib.results import Row

# The method that the others are compared with.
OURS = "d"
TITLES = {
    "a": "TensorFlow tutorial, 10 + 10 epochs",
    "b": "Keras guide, 2 + 1 epochs",
    "b20": "Keras guide until 2023, 20 + 10 epochs",
    "c": "features and LogisticRegression by hand",
    "d": "ours: feature_extraction alone",
    "d2": "ours: (d) again, with the cached features",
    "d-auto": "ours: (d) at the size it chooses",
    "e": "ours: small_similar, both phases",
    "e-auto": "ours: (e) at the size it chooses",
}
# How README calls the data sets.
_NAMES = {
    "hymenoptera": "ants and bees",
    "omniglot_greek": "handwritten Greek, 24 characters",
    "sign_digits": "hand signs",
    "cifar10": "CIFAR-10, a part of it",
}


def tables() -> dict[str, str]:
    """Return the sentence and the section of each data set, and the short table."""
    found = _by_data()
    return {
        "made": markdown.made_by(results.made("compare")),
        "headlines": "\n".join(_headline(name, rows) for name, rows in found.items()),
        "sections": "\n\n".join(_section(name, rows) for name, rows in found.items()),
        "readme": _readme(found),
    }


def figures() -> dict[str, Figure]:
    """Return test accuracy against seconds in the first round, for each data set."""
    return {f"compare_{name}": _draw(name, rows) for name, rows in _by_data().items()}


def _by_data() -> dict[str, list[Row]]:
    """Return a row for each method, by data set: stored rows, and those made of single rounds."""
    found: dict[str, list[Row]] = {}
    for row in results.read("compare", "methods"):
        found.setdefault(row["data"], []).append(row)
    rounds: dict[str, list[Row]] = {}
    for run in results.read("compare"):
        if run["limit_epochs"] is None:
            rounds.setdefault(run["data"], []).append(run["found"])
    return found | {name: _summary(each) for name, each in rounds.items()}


def _summary(rounds: list[Row]) -> list[Row]:
    """Return a row for each method of all rounds; ratios and differences are taken within a round."""

    def spread(method: str, figure: str) -> measure.Spread:
        return measure.spread([found[method][figure] for found in rounds])

    rows = []
    for method in rounds[0]:
        ratios = [found[method]["seconds"] / found[OURS]["seconds"] for found in rounds]
        gains = [100 * (found[method]["test_accuracy"] - found[OURS]["test_accuracy"]) for found in rounds]
        row = {
            "method": method,
            "rounds": len(rounds),
            "test_images": rounds[0][method]["test_images"],
            "seconds": spread(method, "seconds"),
            "ratio": measure.spread(ratios),
            "accuracy": spread(method, "test_accuracy"),
            "gain": measure.spread(gains),
            "curve": rounds[0][method]["curve"],
            "stored": all(found[method]["stored"] for found in rounds),
        }
        if method == OURS:
            row |= {figure: spread(method, figure) for figure in ("forward_passes", "one_forward_pass")}
        rows.append(row)
    return rows


def _ours(rows: list[Row]) -> Row:
    return next(row for row in rows if row["method"] == OURS)


def _title(method: str) -> str:
    return f"({method}) {TITLES[method]}"


def _shown(row: Row, figure: str) -> str:
    form = {"seconds": "{:.1f}", "ratio": "{:.2f}", "accuracy": "{:.1%}", "gain": "{:+.1f}"}[figure]
    return measure.shown(row[figure], form.format)


def _headline(name: str, rows: list[Row]) -> str:
    ours = _ours(rows)
    others = [
        f"({row['method']}) took {_shown(row, 'ratio')} times as long for {_shown(row, 'gain')} points"
        for row in rows
        if row["method"][0] not in "de"
    ]
    reached = f"ours, (d), reached {_shown(ours, 'accuracy')} in {_shown(ours, 'seconds')} s"
    return f"- **{name}**: {'; '.join([reached, *others])}."


def _section(name: str, rows: list[Row]) -> str:
    ours = _ours(rows)
    count = ours["test_images"]
    passes = measure.shown(ours["forward_passes"], "{:.2f}".format)
    one_pass = measure.shown(ours["one_forward_pass"], "{:.1f}".format)
    columns = ("seconds", "ratio", "accuracy", "gain")
    not_cached = any(row["method"] == "d2" and not row["stored"] for row in rows)
    return "\n\n".join(
        [
            f"## {name}",
            markdown.table(
                ["", "seconds", "times as long as (d)", "test accuracy", "points against (d)"],
                ([_title(row["method"]), *(_shown(row, column) for column in columns)] for row in rows),
            ),
            f"{count} test images: one is {100 / count:.1f} points. Rounds: {ours['rounds']}.",
            f"The phase of (d) took {passes} forward passes of its training and validation images. One such pass took "
            f"{one_pass} s.",
            *(["(d) cached nothing, so (d2) is only another run of it."] if not_cached else []),
            f"![test accuracy against seconds](compare_{name}.svg)",
        ]
    )


def _readme(found: dict[str, list[Row]]) -> str:
    images = {row["data"]: row["images"] for row in results.read("feature_cache", "seconds")}
    rows = []
    for name, methods in found.items():
        (tutorial,) = (row for row in methods if row["method"] == "a")
        theirs, ours = (
            f"{row['accuracy']['median']:.1%}, {row['seconds']['median']:.0f} s" for row in (tutorial, _ours(methods))
        )
        rows.append([_NAMES[name], f"{images[name]:,}", theirs, f"**{ours}**"])
    return markdown.table(["data", "training images", "tutorial: test accuracy, seconds", "ours"], rows)


def _draw(name: str, rows: list[Row]) -> Figure:
    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.subplots()
    for row in rows:
        curve = row["curve"]
        axes.plot(
            *zip(*curve, strict=True), marker="o", markersize=3 if len(curve) > 1 else 7, label=_title(row["method"])
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set(xlabel="seconds of training", ylabel="test accuracy", title=name)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return figure
