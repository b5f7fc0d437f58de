"""Figures of a run (curves, confusion, calibration) and of a comparison, for a light or a dark page."""

import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator, PercentFormatter

from kerastune_recipes import printable
from kerastune_recipes.evaluation import metrics

# Placeholder for the text colour of the page; `to_svg` replaces it.
INK = "#010101"
# The colour-blind can tell them apart, and their medium lightness is clear on white and on black.
_BLUE, _ORANGE, _GREY = "#3a87c8", "#d9782d", "#888888"
# Most classes with readable numbers in the cells, and with readable names on the axes.
_MOST_NUMBERS, _MOST_NAMES = 20, 100
# Characters of a class name and of a recipe name before they are shortened.
_LONGEST_NAME, _LONGEST_RECIPE = 24, 40
# Space for the phase names between axes and title, points.
_TITLE_PAD = 18


def curves(history: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw loss, accuracy and learning rate over the epochs of all fit phases.

    Args:
        history: One row for each epoch with "phase", "loss", "accuracy", "val_loss", "val_accuracy" and
            "learning_rate"; a value may be None or missing. At least one row.
    """
    figure = Figure(figsize=(11, 3.2), layout="constrained")
    losses, accuracies, rates = figure.subplots(1, 3)
    for axes, title, training, validation in (
        (losses, "Loss", "loss", "val_loss"),
        (accuracies, "Accuracy", "accuracy", "val_accuracy"),
    ):
        axes.plot(*_known(history, training), color=_ORANGE, marker=".", label="training")
        axes.plot(*_known(history, validation), color=_BLUE, marker=".", label="validation")
        axes.set_title(title, pad=_TITLE_PAD)
    losses.set_ylim(bottom=0)
    losses.legend(frameon=False, labelcolor=INK)
    accuracies.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    rates.plot(*_known(history, "learning_rate"), color=_GREY, marker=".")
    rates.set_title("Learning rate", pad=_TITLE_PAD)
    rates.set_ylim(bottom=0)
    rates.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.2g}"))
    for axes in (losses, accuracies, rates):
        axes.set_xlabel("epoch")
        axes.set_xlim(0.5, len(history) + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        _mark_phases(axes, [str(row["phase"]) for row in history])
        _in_ink(axes)
    return figure


def range_test(rates: Sequence[float], losses: Sequence[float], learning_rate: float) -> Figure:
    """Draw the loss of a learning rate range test against the learning rate, and mark the peak rate it chose.

    Args:
        rates: Learning rates, rising.
        losses: Smoothed loss at each.
        learning_rate: The peak rate.
    """
    figure = Figure(figsize=(5, 3.2), layout="constrained")
    axes = figure.subplots()
    axes.plot(rates, losses, color=_ORANGE)
    axes.axvline(learning_rate, color=_BLUE, linestyle="--", label=f"peak: {learning_rate:.2g}")
    axes.set_xscale("log")
    axes.set(xlabel="learning rate", ylabel="loss, smoothed")
    axes.legend(frameon=False, labelcolor=INK)
    _in_ink(axes)
    return figure


def confusion(matrix: np.ndarray, class_names: Sequence[str]) -> Figure:
    """Draw a confusion matrix in percent of each class.

    Args:
        matrix: Numbers of images by class (row) and prediction (column), (classes, classes). A class without images
            has an empty row.
        class_names: Name of each class.
    """
    matrix = np.asarray(matrix, np.float64)
    images = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, images, out=np.zeros_like(matrix), where=images > 0)
    count = len(class_names)
    side = min(max(0.42 * count, 2.6), 9.0)
    # The height of a cell in points, less a margin.
    font_size = min(9.0, 0.8 * 72 * side / count)
    figure = Figure(figsize=(side + 1.8, side + 1.4), layout="constrained")
    axes = figure.subplots()
    # The colour follows the root of the share, so that one mistake in fifty images is visible.
    image = axes.imshow(shares, cmap=_fading(_BLUE), norm=PowerNorm(0.5, vmin=0, vmax=1), interpolation="nearest")
    step = math.ceil(count / _MOST_NAMES)
    names = [_shortened(name) for name in class_names][::step]
    axes.set_xticks(range(0, count, step), names, rotation=90, fontsize=font_size, parse_math=False)
    axes.set_yticks(range(0, count, step), names, fontsize=font_size, parse_math=False)
    axes.set_xlabel("predicted")
    axes.set_ylabel("class")
    if count <= _MOST_NUMBERS:
        for row, column in zip(*np.nonzero(shares), strict=True):
            text = f"{shares[row, column]:.0%}".removesuffix("%")
            axes.text(column, row, text, ha="center", va="center", fontsize=font_size, color=INK)
    bar = figure.colorbar(image, ax=axes, shrink=0.6, ticks=[0, 0.05, 0.25, 0.5, 1], format=PercentFormatter(1))
    bar.outline.set_edgecolor(_GREY)
    _in_ink(axes)
    _in_ink(bar.ax)
    return figure


def reliability(probabilities: np.ndarray, labels: np.ndarray) -> Figure:
    """Draw accuracy by confidence with 95 % intervals, and below it the number of images.

    Args:
        probabilities: Probabilities, float (images, classes).
        labels: True classes, int (images,).
    """
    bins = metrics.calibration_bins(probabilities, labels)
    confidences, accuracies = [each.confidence for each in bins], [each.accuracy for each in bins]
    intervals = [metrics.wilson_interval(round(each.accuracy * each.images), each.images) for each in bins]
    figure = Figure(figsize=(4.2, 4.6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.plot([0, 1], [0, 1], color=_GREY, linestyle="--", linewidth=1)
    above.vlines(confidences, *zip(*intervals, strict=True), color=_BLUE, alpha=0.5)
    above.plot(confidences, accuracies, color=_BLUE, marker="o", linestyle="")
    above.set_ylabel("accuracy")
    above.set_title(f"Expected calibration error {metrics.ece(probabilities, labels):.3f}")
    above.set_ylim(0, 1.02)
    below.bar(confidences, [each.images for each in bins], width=0.6 / metrics.CALIBRATION_BINS, color=_BLUE)
    below.set_ylabel("images")
    below.set_xlabel("confidence")
    below.set_xlim(0, 1.02)
    below.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=3))
    _in_ink(above)
    _in_ink(below)
    return figure


def comparison(results: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw the accuracy of recipes, with 95 % intervals, against their time.

    Args:
        results: For each recipe a mapping with "recipe", "accuracy", "accuracy_ci95" and "seconds"; at least one. The
            first is the one that all others are compared with.
    """
    figure = Figure(figsize=(8, max(3.6, 0.28 * len(results) + 1)), layout="constrained")
    axes = figure.subplots()
    bounds = [bound for result in results for bound in result["accuracy_ci95"]]
    bottom, top = max(0.0, min(bounds) - 0.02), min(1.0, max(bounds) + 0.02)
    heights = _spread(
        [result["accuracy"] for result in results], (top - bottom) / max(14, len(results) - 1), bottom, top
    )
    for number, (result, height) in enumerate(zip(results, heights, strict=True)):
        colour = _BLUE if number else _ORANGE
        seconds, accuracy = result["seconds"], result["accuracy"]
        axes.vlines(seconds, *result["accuracy_ci95"], color=colour, alpha=0.5)
        axes.plot(seconds, accuracy, color=colour, marker="o")
        # A column of names beside the axes, where they cannot overlap.
        axes.annotate(
            _shortened(result["recipe"], _LONGEST_RECIPE),
            (seconds, accuracy),
            (1.03, height),
            textcoords=axes.get_yaxis_transform(),
            arrowprops={"arrowstyle": "-", "color": _GREY, "alpha": 0.4, "linewidth": 0.8},
            va="center",
            fontsize=8,
            color=INK,
            parse_math=False,
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_ylim(bottom, top)
    axes.set_xlabel("seconds")
    axes.set_ylabel("accuracy")
    axes.grid(color=_GREY, alpha=0.2)
    _in_ink(axes)
    return figure


def to_svg(figure: Figure, name: str) -> str:
    """Return a figure as an `<svg>` element in the text colour of the page around it.

    Args:
        figure: A figure of this module.
        name: Prefix of every identifier in it, so that several figures can share a page; a plain word of ours.
    """
    buffer = io.StringIO()
    # Text stays text (small, searchable); a fixed salt makes equal figures equal files.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=no_metadata)
    content = buffer.getvalue()
    # Only within tags: a class may be called #010101.
    return re.sub("<[^>]*>", lambda tag: _of_the_page(tag[0], name), content[content.index("<svg") :])


def _of_the_page(tag: str, name: str) -> str:
    tag = tag.replace(INK, "currentColor")
    for reference in ('id="', 'xlink:href="#', "url(#"):
        tag = tag.replace(reference, f"{reference}{name}-")
    return tag


def _spread(values: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move values apart until they differ by a gap, and keep them within two bounds."""
    order = np.argsort(values, kind="stable")
    moved = np.asarray(values, np.float64)[order]
    for index in range(1, len(moved)):
        moved[index] = max(moved[index], moved[index - 1] + gap)
    moved[-1] = min(moved[-1], high)
    for index in range(len(moved) - 1, 0, -1):
        moved[index - 1] = min(moved[index - 1], moved[index] - gap)
    spread = np.empty(len(moved))
    spread[order] = np.maximum(moved, low)
    return spread.tolist()


def _known(history: Sequence[Mapping[str, Any]], key: str) -> tuple[list[int], list[float]]:
    known = [(epoch, float(row[key])) for epoch, row in enumerate(history, 1) if row.get(key) is not None]
    return [epoch for epoch, _ in known], [value for _, value in known]


def _mark_phases(axes: Axes, phases: Sequence[str]) -> None:
    starts = [number for number, phase in enumerate(phases) if number == 0 or phase != phases[number - 1]]
    for order, (start, end) in enumerate(zip(starts, [*starts[1:], len(phases)], strict=True)):
        if order % 2:
            axes.axvspan(start + 0.5, end + 0.5, color=_GREY, alpha=0.15, linewidth=0)
        axes.text(
            (start + end + 1) / 2,
            1.02,
            _shortened(phases[start]),
            transform=axes.get_xaxis_transform(),
            ha="center",
            va="bottom",
            fontsize=8,
            color=_GREY,
            parse_math=False,
        )


def _fading(colour: str) -> LinearSegmentedColormap:
    red, green, blue = mpl.colors.to_rgb(colour)
    return LinearSegmentedColormap.from_list("fading", [(red, green, blue, 0.0), (red, green, blue, 1.0)])


def _shortened(name: str, longest: int = _LONGEST_NAME) -> str:
    name = printable.one_line(str(name))
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def _in_ink(axes: Axes) -> None:
    axes.tick_params(colors=INK)
    for text in (axes.title, axes.xaxis.label, axes.yaxis.label):
        text.set_color(INK)
    for spine in axes.spines.values():
        spine.set_color(_GREY)
