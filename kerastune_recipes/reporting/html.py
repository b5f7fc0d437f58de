"""A report as one HTML page that needs no other file and no script."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kerastune_recipes.evaluation import metrics
from kerastune_recipes.reporting import figures, plots
from kerastune_recipes.reporting.html_parts import (
    Html,
    element,
    figure_html,
    format_interval,
    format_seconds,
    joined,
    note_html,
    page_html,
    section_html,
    table_html,
)

# The keys of every phase; all others in its record are its own choices.
_PHASE_KEYS = frozenset({"name", "kind", "seconds", "steps", "trainable_parameters", "frozen_parameters", "validation"})


def render(report: Mapping[str, Any]) -> str:
    """Write a report as a page.

    Args:
        report: The record of report.json, and three more keys: "history", one row for each epoch of each fit phase (see
            `plots.curves`); "plan_text"; "confusion", {"validation": matrix, "test": matrix or None}, each matrix
            (classes, classes) by class and prediction. A "title" may be given.

    Returns:
        The whole file. All text in it is escaped.
    """
    title = report.get("title", f"{report['recipe']} on {report['data']['source']}")
    judged = "validation" if report["test"] is None else "test"
    body = [
        _data_line(report),
        _headline(report),
        section_html("Phases", _phases(report)),
        section_html("Metrics", _metrics(report)),
        *_notes(report.get("notes", ())),
        *_curves(report["history"]),
        *(
            _range_test(number, phase)
            for number, phase in enumerate(report["phases"], 1)
            if "loss_by_learning_rate" in phase
        ),
        _confusions(report),
        section_html(f"Classes, lowest recall first ({judged})", _classes(report, judged)),
        section_html("Plan", element("pre", report["plan_text"])),
        section_html(
            "Versions", table_html(("", ""), ((name, version) for name, version in report["versions"].items()))
        ),
    ]
    return page_html(title, body)


def _notes(notes: Sequence[str]) -> list[Html]:
    return [section_html("Notes", joined(element("p", note) for note in notes))] if notes else []


def _curves(history: Sequence[Mapping[str, Any]]) -> list[Html]:
    return [section_html("Curves", figure_html(plots.curves(history), "curves"))] if history else []


def _range_test(number: int, phase: Mapping[str, Any]) -> Html:
    rates, losses = phase["loss_by_learning_rate"]
    figure = plots.range_test(rates, losses, phase["learning_rate"])
    return section_html(f"Range test of {phase['name']}", figure_html(figure, f"range-test-{number}"))


def _data_line(report: Mapping[str, Any]) -> Html:
    data = report["data"]
    counts = ", ".join(f"{data[split]:,} {split}" for split in ("train", "validation", "test") if data[split])
    line = f"{counts} images of {len(data['classes'])} classes; status {report['status']}; seed {report['seed']}"
    return note_html(line)


def _headline(report: Mapping[str, Any]) -> Html:
    backbone, cost = report["backbone"], report["cost"]
    backbone_note = f"{backbone['weights']}, {backbone['image_size']} px"
    one_pass = format_seconds(cost["seconds_one_forward_pass"])
    cost_note = f"phases took {cost['forward_equivalents']:.1f} forward passes of {one_pass}"
    cards = [
        ("Recipe", report["recipe"], f"kept: {report['returned_model']}"),
        ("Backbone", backbone["name"], backbone_note),
    ]
    if report["test"] is None:
        note = "no test images: measured on the images that chose the phase"
        cards.append(("Validation accuracy", f"{report['validation']['accuracy']:.1%}", note))
    else:
        cards.append(
            ("Test accuracy", f"{report['test']['accuracy']:.1%}", f"95% interval {format_interval(report['test'])}")
        )
    cards.append(("Cost", format_seconds(cost["seconds_total"]), cost_note))
    return element("div", *(_card(*card) for card in cards), class_="cards")


def _card(label: str, value: str, note: str) -> Html:
    lines = element("span", label, class_="soft"), element("b", value), element("span", note, class_="soft")
    return element("div", *lines, class_="card")


def _phases(report: Mapping[str, Any]) -> Html:
    header = ("phase", "kind", "time", "steps", "trainable", "frozen", "accuracy", "log loss", "chose")
    rows = [
        (
            f"{phase['name']} (kept)" if phase["name"] == report["chosen_phase"] else phase["name"],
            phase["kind"],
            format_seconds(phase["seconds"]),
            f"{phase['steps']:,}",
            f"{phase['trainable_parameters']:,}",
            f"{phase['frozen_parameters']:,}",
            f"{phase['validation']['accuracy']:.1%}",
            f"{phase['validation']['log_loss']:.3f}",
            _choices({key: value for key, value in phase.items() if key not in _PHASE_KEYS}),
        )
        for phase in report["phases"]
    ]
    note = note_html("Accuracy and log loss on the validation images; numbers of parameters.")
    return joined([table_html(header, rows, numbers=range(2, 8)), note])


def _choices(choices: Mapping[str, Any]) -> str:
    """List the choices of a phase; its tables of candidates stay in report.json."""
    plain = {key: value for key, value in choices.items() if not isinstance(value, Mapping | list)}
    return ", ".join(
        f"{key.replace('_', ' ')} {value:.3g}" if isinstance(value, float) else f"{key.replace('_', ' ')} {value}"
        for key, value in plain.items()
    )


def _metrics(report: Mapping[str, Any]) -> Html:
    header = ("", "accuracy", "95% interval", "balanced accuracy", "log loss", "calibration error")
    rows = [
        (
            split,
            f"{scores['accuracy']:.1%}",
            format_interval(scores),
            f"{scores['balanced_accuracy']:.1%}",
            f"{scores['log_loss']:.3f}",
            f"{scores['ece']:.3f}",
        )
        for split in ("validation", "test")
        if (scores := report[split]) is not None
    ]
    notes = (note_html(f"{split}: {figures.in_words(source)}.") for split, source in report["figures"].items())
    return joined([table_html(header, rows, numbers=range(1, 6)), *notes])


def _confusions(report: Mapping[str, Any]) -> Html:
    names = report["data"]["classes"]
    sections = (
        section_html(
            f"Confusion ({split})",
            figure_html(plots.confusion(np.asarray(matrix), names), f"confusion-{split}"),
            "Percentage of the images of each class (row) by predicted class (column).",
        )
        for split in ("test", "validation")
        if (matrix := report["confusion"][split]) is not None
    )
    return joined(sections, between="\n")


def _classes(report: Mapping[str, Any], split: str) -> Html:
    names, matrix = report["data"]["classes"], np.asarray(report["confusion"][split])
    recalls = metrics.recalls(matrix)
    rows = [
        (
            names[number],
            f"{matrix[number].sum():,}",
            "no images" if np.isnan(recalls[number]) else f"{recalls[number]:.1%}",
            _mistaken_for(matrix[number], number, names),
        )
        # NaN, the recall of a class without images, sorts last.
        for number in np.argsort(recalls, kind="stable")
    ]
    return table_html(("class", "images", "recall", "most often mistaken for"), rows, numbers=(1, 2))


def _mistaken_for(row: np.ndarray, number: int, names: Sequence[str]) -> str:
    others = row.copy()
    others[number] = 0
    most = int(others.argmax())
    return f"{names[most]} ({others[most]:,})" if others[most] else ""
