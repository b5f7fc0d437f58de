"""The scenario recipes against the tutorial, their own solved head, and fastai's schedule."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from benchmarks.lib import markdown, results
from benchmarks.lib.images import LIKE_IMAGENET
from benchmarks.lib.results import Row

# With at least this many test images a calibration error of 0.03 is more than chance gives.
CALIBRATED = 500
KEY = ["data", "each", "backbone", "seed"]
TUTORIAL = "tutorial"
METHODS = (TUTORIAL, "solved", "scenario", "one_cycle")
# Label in the legend, marker, edge and face of each method.
_DRAWN = {
    TUTORIAL: ("tutorial", "x", "#888888", "#888888"),
    "one_cycle": ("fastai's schedule", "s", "#d9782d", "none"),
    "solved": ("solved head", "o", "#3a87c8", "none"),
    "scenario": ("recipe", "o", "#3a87c8", "#3a87c8"),
}


def tables() -> dict[str, str]:
    """Return the machines, the findings, the cells, and the short table."""
    runs = results.read("grid")
    cells = by_cell(runs)
    machines = sorted({run["machine"] for run in runs})
    rows = [
        [one.data, one.each, one.backbone, f"{one.seeds:.0f}"]
        + [_shown(getattr(one, f"{method}_accuracy"), getattr(one, f"{method}_seconds")) for method in METHODS]
        + [f"{one.scenario_ece:.3f}"]
        for one in cells.itertuples()
    ]
    header = ["data", "images a class", "network", "seeds", "tutorial", "solved head", "recipe", "fastai's schedule"]
    return {
        "made": markdown.made_by({**results.made("grid"), "machine": " and ".join(machines)}),
        "findings": "\n".join(f"- {sentence}" for sentence in _findings(cells)),
        "cells": markdown.table([*header, "calibration error of the recipe"], rows),
        "readme": _readme(cells),
    }


def figures() -> dict[str, Figure]:
    """Return the accuracy of each method in each cell, a panel for each network."""
    cells = by_cell(results.read("grid"))
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    panels = figure.subplots(ncols=cells["backbone"].nunique(), sharey=True, squeeze=False)[0]
    for axes, (backbone, part) in zip(panels, cells.groupby("backbone"), strict=True):
        names = part["data"] + ", " + part["each"]
        for method, (label, marker, edge, face) in _DRAWN.items():
            style = {"marker": marker, "markeredgecolor": edge, "markerfacecolor": face, "linestyle": ""}
            axes.plot(100 * part[f"{method}_accuracy"], names, label=label, **style)
        axes.set(title=backbone, xlabel="test accuracy, %", xlim=(0, 102))
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("data, images a class")
    panels[0].invert_yaxis()
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    return {"grid": figure}


def by_cell(runs: Sequence[Row]) -> pd.DataFrame:
    """Return a row for each cell in which the recipe and its solved head ran: figures of each, means over the seeds.

    Methods that did not run are NaN. So is the ratio of times where the tutorial ran on another machine.
    """
    table = pd.DataFrame(runs).drop_duplicates([*KEY, "method"], keep="last")
    machines = table.pivot(index=KEY, columns="method", values="machine").reindex(columns=METHODS)
    wide = table.pivot(
        index=KEY, columns="method", values=["accuracy", "seconds", "ece", "ece_by_chance", "test_images"]
    )
    wide = wide.dropna(subset=[("accuracy", "scenario"), ("accuracy", "solved")])
    flat = {f"{method}_{figure}": wide[figure, method] for figure in ("accuracy", "seconds") for method in METHODS}
    flat |= {f"{method}_ece": wide["ece", method] for method in ("solved", "scenario")}
    flat["ece_by_chance"] = wide["ece_by_chance", "scenario"]
    table = pd.DataFrame(flat | {"images": wide["test_images", "scenario"]}).astype(float)
    here = (machines[TUTORIAL] == machines["scenario"]).reindex(table.index)
    table["times"] = (table["scenario_seconds"] / table[f"{TUTORIAL}_seconds"]).where(here)
    for method in METHODS:  # on the same images: seeds that a method was not run on do not count
        table[f"{method}_gain"] = table["scenario_accuracy"] - table[f"{method}_accuracy"]
    cells = table.groupby(level=KEY[:-1])
    return cells.mean().assign(seeds=cells.size()).reset_index()


def _worse(cells: pd.DataFrame, other: str) -> pd.Series:
    """Return in which cells the recipe is worse than a method by more than a standard error of the difference."""
    recipe, theirs = cells["scenario_accuracy"], cells[f"{other}_accuracy"]
    error = np.sqrt((recipe * (1 - recipe) + theirs * (1 - theirs)) / cells["images"])
    return -cells[f"{other}_gain"] > error


def _gain(cells: pd.DataFrame, other: str) -> pd.Series:
    return 100 * cells[f"{other}_gain"].dropna()


def _findings(cells: pd.DataFrame) -> list[str]:
    """Return in sentences how the recipe did against each of the others."""
    more = cells[cells["each"] != "10"]
    far = more[~more["data"].isin(LIKE_IMAGENET) & (more["solved_accuracy"] <= 0.95)]
    by_data = _gain(cells, "one_cycle").groupby(cells["data"]).mean()
    tutorial, times = _gain(cells, TUTORIAL), cells["times"].dropna()
    large = cells[(cells["images"] >= CALIBRATED) & (cells["each"] == "all")]
    sentences = [
        f"Against the tutorial: {tutorial.mean():+.1f} points on average of {len(tutorial)} cells, below it by more "
        f"than one standard error in {_worse(cells, TUTORIAL).sum()}; in {times.median():.2f} times its seconds in the "
        f"median of {len(times)} cells measured on one machine, {times.max():.2f} at most.",
        f"Against fastai's schedule over as many epochs: {_gain(cells, 'one_cycle').mean():+.1f} points on average; "
        + ", ".join(f"{name} {gain:+.1f}" for name, gain in by_data.items())
        + ".",
    ]
    if len(more):
        sentences.append(
            f"Against its own solved head, with 30 images a class or all: {_gain(more, 'solved').mean():+.1f} points "
            f"on average of {len(more)} cells; in all cells worse by more than one standard error in "
            f"{_worse(cells, 'solved').sum()} of {len(cells)}."
        )
    if len(far):
        sentences.append(
            f"The same, far from ImageNet, where the solved head is not above 95%: {_gain(far, 'solved').mean():+.1f} "
            f"points on average of {len(far)} cells, {_gain(far, 'solved').min():+.1f} at least."
        )
    if len(large):
        sentences.append(
            f"Calibration error with all images, on sets of {CALIBRATED} test images and more: "
            f"{large['scenario_ece'].mean():.3f} on average, {large['scenario_ece'].max():.3f} at most; if the "
            f"probabilities were all true, chance would make it {large['ece_by_chance'].mean():.3f} and "
            f"{large['ece_by_chance'].max():.3f}."
        )
    return sentences


def _readme(cells: pd.DataFrame) -> str:
    more = cells[cells["each"] != "10"]
    tutorial, one_cycle, solved = _gain(cells, TUTORIAL), _gain(cells, "one_cycle"), _gain(more, "solved")
    times = cells["times"].dropna().median()
    rows = [
        [
            f"the tutorial, in {times:.1f} times its seconds",
            f"{tutorial.mean():+.0f} points",
            f"{_worse(cells, TUTORIAL).sum()} of {len(tutorial)} cells",
        ],
        ["fastai's `fine_tune` schedule", f"{one_cycle.mean():+.0f} points", "not counted"],
        ["their own head without fine-tuning, 30 images per class or more", f"{solved.mean():+.1f} points", ""],
        ["the same, all cells", "", f"{_worse(cells, 'solved').sum()} of {len(cells)} cells"],
    ]
    return markdown.table(
        ["compared with", "mean difference in test accuracy", "worse by more than one standard error"], rows
    )


def _shown(accuracy: float, seconds: float) -> str:
    return "not run" if np.isnan(accuracy) else f"{100 * accuracy:.1f}, {seconds:.0f} s"
