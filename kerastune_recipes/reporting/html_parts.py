"""Pieces of the HTML pages: a page that needs no other file, sections, tables, figures; light or dark as its reader."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from matplotlib.figure import Figure

from kerastune_recipes.reporting import plots, wording

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


def page_html(title: str, body: Iterable[str]) -> str:
    """Return a whole HTML file.

    Args:
        title: Title of the page, escaped.
        body: Elements of the page, as HTML.
    """
    head = f'<meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
    head += '<meta name="viewport" content="width=device-width, initial-scale=1">'
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>{head}</head>\n<body>\n' + "\n".join(body) + "\n</body>\n</html>\n"
    )


def section_html(heading: str, content: str, note: str = "") -> str:
    """Return a section.

    Args:
        heading: Its heading; escaped here.
        content: Its content, as HTML.
        note: A sentence between the two; escaped here.
    """
    paragraph = f'<p class="soft">{escaped(note)}</p>' if note else ""
    return f"<section><h2>{escaped(heading)}</h2>{paragraph}{content}</section>"


def figure_html(figure: Figure, name: str) -> str:
    """Return a figure as inline SVG.

    Args:
        figure: A figure of `plots`.
        name: A name that no other figure of the page has.
    """
    return f'<figure class="scroll">{plots.to_svg(figure, name)}</figure>'


def table_html(header: Sequence[str], rows: Iterable[Sequence[Any]], numbers: Iterable[int] = ()) -> str:
    """Return a table without the columns that are empty in every row.

    Args:
        header: Headings of the columns; no heading at all leaves out the header row.
        rows: Cells of each row; escaped here.
        numbers: Positions of the columns that are aligned to the right.
    """
    rows, right = list(rows), set(numbers)
    shown = [column for column in range(len(header)) if any(str(row[column]) for row in rows)]

    def line(cells: Sequence[Any], tag: str) -> str:
        return "".join(
            f'<{tag} class="number">{escaped(cells[column])}</{tag}>'
            if column in right
            else f"<{tag}>{escaped(cells[column])}</{tag}>"
            for column in shown
        )

    head = f"<thead><tr>{line(header, 'th')}</tr></thead>" if any(header) else ""
    body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    return f'<div class="scroll"><table>{head}<tbody>{body}</tbody></table></div>'


def format_interval(scores: Mapping[str, Any]) -> str:
    """Return the 95 % interval of an accuracy, or an empty text where the scores have none."""
    return wording.interval(scores["accuracy_ci95"]) if "accuracy_ci95" in scores else ""


def format_seconds(seconds: float) -> str:
    """Write a duration with the units a reader wants.

    Example:
        >>> format_seconds(3725)
        '1 h 2 min'
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def escaped(value: object) -> str:
    """Return a value as text whose characters HTML does not read as markup."""
    return escape(str(value))
