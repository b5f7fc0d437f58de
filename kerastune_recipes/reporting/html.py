"""A report, or a comparison, as one HTML page that stands alone: no scripts, light or dark as its reader."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from kerastune_recipes.evaluation import metrics
from kerastune_recipes.reporting import plots

# What every phase has; anything else in its record is something it chose by itself.
_PHASE_KEYS = frozenset({"name", "kind", "seconds", "steps", "trainable_parameters", "frozen_parameters", "validation"})

_STYLE = """
:root { color-scheme: light dark; --ink: #1c1e21; --soft: #62676d; --line: #d9dce0; --page: #ffffff; --card: #f5f6f8; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8ea; --soft: #a0a6ad; --line: #3a3f45; --page: #17191c; --card: #212429; } }
body { margin: 2rem auto; max-width: 64rem; padding: 0 1rem; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
p { margin: .3rem 0; }
.soft { color: var(--soft); }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr)); gap: .8rem; margin: 1.2rem 0; }
.card { background: var(--card); border-radius: .5rem; padding: .8rem 1rem; }
.card b { display: block; font-size: 1.35rem; font-weight: 600; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--line); padding: .35rem .6rem; text-align: left; }
th { color: var(--soft); font-weight: 500; }
.number { text-align: right; }
figure { margin: 0; }
figure svg { max-width: 100%; height: auto; color: var(--ink); }
pre { background: var(--card); border-radius: .5rem; padding: 1rem; overflow-x: auto; font-size: .85rem; }
"""


def render(report: Mapping[str, Any]) -> str:
    """Write a report as a page.

    Args:
        report: As report.json, and: "history", one row per epoch of each fit phase (see `plots.curves`);
            "plan_text"; "confusion", {"validation": matrix, "test": matrix or None}, each (classes, classes) by class
            and prediction. "title" is optional.

    Returns:
        The whole file. All text in it is escaped.
    """
    title = escaped(report.get("title", f"{report['recipe']} on {report['data']['source']}"))
    judged = "validation" if report["test"] is None else "test"
    body = [
        f"<h1>{title}</h1>",
        _data_line(report),
        _headline(report),
        section_html("Phases", _phases(report)),
        section_html("Metrics", _metrics(report)),
        section_html("Curves", figure_html(plots.curves(report["history"]), "curves")) if report["history"] else "",
        *(_range_test(phase) for phase in report["phases"] if "loss_by_learning_rate" in phase),
        _confusions(report),
        section_html(f"Classes, least recognised first ({judged})", _classes(report, judged)),
        section_html("Plan", f"<pre>{escaped(report['plan_text'])}</pre>"),
        section_html(
            "Versions", table_html(("", ""), ((name, version) for name, version in report["versions"].items()))
        ),
    ]
    return page_html(title, body)


def _range_test(phase: Mapping[str, Any]) -> str:
    rates, losses = phase["loss_by_learning_rate"]
    figure = plots.range_test(rates, losses, phase["learning_rate"])
    return section_html(f"Range test of {escaped(phase['name'])}", figure_html(figure, f"range-test-{phase['name']}"))


def page_html(title: str, body: Iterable[str]) -> str:
    head = f'<meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
    head += '<meta name="viewport" content="width=device-width, initial-scale=1">'
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>{head}</head>\n<body>\n' + "\n".join(body) + "\n</body>\n</html>\n"
    )


def _data_line(report: Mapping[str, Any]) -> str:
    data = report["data"]
    counts = ", ".join(f"{data[split]:,} {split}" for split in ("train", "validation", "test") if data[split])
    line = f"{counts} images of {len(data['classes'])} classes; status {report['status']}; seed {report['seed']}"
    return f'<p class="soft">{escaped(line)}</p>'


def _headline(report: Mapping[str, Any]) -> str:
    backbone, cost = report["backbone"], report["cost"]
    backbone_note = f"{backbone['weights']}, {backbone['image_size']} px"
    one_pass = format_seconds(cost["seconds_one_forward_pass"])
    cost_note = f"phases took {cost['forward_equivalents']:.1f} forward passes of {one_pass}"
    cards = [
        ("Recipe", report["recipe"], f"kept: {report['chosen_phase']}"),
        ("Backbone", backbone["name"], backbone_note),
    ]
    if report["test"] is None:
        note = "no test images: measured on those that also chose the phase"
        cards.append(("Validation accuracy", f"{report['validation']['accuracy']:.1%}", note))
    else:
        cards.append(
            ("Test accuracy", f"{report['test']['accuracy']:.1%}", f"{format_interval(report['test'])} at 95 %")
        )
    cards.append(("Cost", format_seconds(cost["seconds_total"]), cost_note))
    return '<div class="cards">' + "".join(_card(*card) for card in cards) + "</div>"


def _card(label: str, value: str, note: str) -> str:
    return (
        f'<div class="card"><span class="soft">{escaped(label)}</span><b>{escaped(value)}</b>'
        f'<span class="soft">{escaped(note)}</span></div>'
    )


def _phases(report: Mapping[str, Any]) -> str:
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
    note = '<p class="soft">Accuracy and log loss are those on the validation images; parameters are counted.</p>'
    return table_html(header, rows, numbers=range(2, 8)) + note


def _choices(choices: Mapping[str, Any]) -> str:
    """Name what was chosen; a table of what was tried stays in report.json."""
    plain = {key: value for key, value in choices.items() if not isinstance(value, Mapping | list)}
    return ", ".join(
        f"{key.replace('_', ' ')} {value:.3g}" if isinstance(value, float) else f"{key.replace('_', ' ')} {value}"
        for key, value in plain.items()
    )


def _metrics(report: Mapping[str, Any]) -> str:
    header = ("", "accuracy", "95 % interval", "balanced accuracy", "log loss", "calibration error")
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
    return table_html(header, rows, numbers=range(1, 6))


def format_interval(scores: Mapping[str, Any]) -> str:
    if "accuracy_ci95" not in scores:
        return ""
    low, high = scores["accuracy_ci95"]
    return f"{low:.1%} to {high:.1%}"


def _confusions(report: Mapping[str, Any]) -> str:
    names = report["data"]["classes"]
    return "\n".join(
        section_html(
            f"Confusion ({split})",
            figure_html(plots.confusion(np.asarray(matrix), names), f"confusion-{split}"),
            "Share of each class (row) taken for each class (column), in percent.",
        )
        for split in ("test", "validation")
        if (matrix := report["confusion"][split]) is not None
    )


def _classes(report: Mapping[str, Any], split: str) -> str:
    names, matrix = report["data"]["classes"], np.asarray(report["confusion"][split])
    recalls = metrics.recalls(matrix)
    rows = [
        (
            names[number],
            f"{matrix[number].sum():,}",
            "no images" if np.isnan(recalls[number]) else f"{recalls[number]:.1%}",
            _mistaken_for(matrix[number], number, names),
        )
        # NaN, which is a class without images, sorts last.
        for number in np.argsort(recalls, kind="stable")
    ]
    return table_html(("class", "images", "recognised", "most often taken for"), rows, numbers=(1, 2))


def _mistaken_for(row: np.ndarray, number: int, names: Sequence[str]) -> str:
    others = row.copy()
    others[number] = 0
    most = int(others.argmax())
    return f"{names[most]} ({others[most]:,})" if others[most] else ""


def section_html(heading: str, content: str, note: str = "") -> str:
    said = f'<p class="soft">{escaped(note)}</p>' if note else ""
    return f"<section><h2>{escaped(heading)}</h2>{said}{content}</section>"


def figure_html(figure: Figure, name: str) -> str:
    return f'<figure class="scroll">{plots.to_svg(figure, name)}</figure>'


def table_html(header: Sequence[str], rows: Iterable[Sequence[Any]], numbers: Iterable[int] = ()) -> str:
    """Lay out rows, the columns in `numbers` to the right; columns that are empty throughout are left out."""
    rows, right = list(rows), set(numbers)
    kept = [column for column in range(len(header)) if any(str(row[column]) for row in rows)]

    def line(cells: Sequence[Any], tag: str) -> str:
        return "".join(
            f'<{tag} class="number">{escaped(cells[column])}</{tag}>'
            if column in right
            else f"<{tag}>{escaped(cells[column])}</{tag}>"
            for column in kept
        )

    head = f"<thead><tr>{line(header, 'th')}</tr></thead>" if any(header) else ""
    body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    return f'<div class="scroll"><table>{head}<tbody>{body}</tbody></table></div>'


def format_seconds(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def escaped(value: object) -> str:
    return escape(str(value))
