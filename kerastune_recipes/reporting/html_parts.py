"""Pieces of the HTML pages: a page that needs no other file, sections, tables, figures; light or dark as its reader."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from matplotlib.figure import Figure

from kerastune_recipes import printable
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


class Html(str):
    """Markup of ours. Any other text is escaped where `element` makes it part of a page."""


_VIEWPORT = Html('<meta name="viewport" content="width=device-width, initial-scale=1">')


def element(tag: str, *content: object, **attributes: object) -> Html:
    """Return an element; the one place where text becomes markup.

    Args:
        tag: Its name.
        content: What it holds: `Html` as it is; anything else as text, escaped, on which no character acts.
        attributes: Its attributes, escaped; `class_` is its class.

    Example:
        >>> element("p", "ants & bees", element("b", "<1>"), class_="soft")
        '<p class="soft">ants &amp; bees<b>&lt;1&gt;</b></p>'
    """
    words = "".join(f' {name.rstrip("_")}="{_escaped(value)}"' for name, value in attributes.items())
    return Html(f"<{tag}{words}>{joined(content)}</{tag}>")


def joined(parts: Iterable[object], between: str = "") -> Html:
    """Return parts of a page one after the other; `Html` as it is, anything else escaped."""
    return Html(between.join(part if isinstance(part, Html) else _escaped(part) for part in parts))


def _escaped(value: object) -> str:
    return escape(printable.lines(str(value)))


def page_html(title: str, body: Iterable[Html]) -> str:
    """Return a whole HTML file.

    Args:
        title: Title and heading of the page; escaped here.
        body: Elements of the page below the heading.
    """
    head = joined([Html('<meta charset="utf-8">'), element("title", title), element("style", Html(_STYLE)), _VIEWPORT])
    content = joined([element("h1", title), *body], between="\n")
    return f'<!DOCTYPE html>\n<html lang="en">\n<head>{head}</head>\n<body>\n{content}\n</body>\n</html>\n'


def section_html(heading: str, content: Html, note: str = "") -> Html:
    """Return a section.

    Args:
        heading: Its heading; escaped here.
        content: Its content.
        note: A sentence between the two; escaped here.
    """
    return element("section", element("h2", heading), note_html(note) if note else "", content)


def note_html(text: str) -> Html:
    """Return a sentence in a soft colour; escaped here."""
    return element("p", text, class_="soft")


def figure_html(figure: Figure, name: str) -> Html:
    """Return a figure as inline SVG.

    Args:
        figure: A figure of `plots`, which escapes the text in it.
        name: A word of ours that no other figure of the page has.
    """
    return element("figure", Html(plots.to_svg(figure, name)), class_="scroll")


def table_html(header: Sequence[str], rows: Iterable[Sequence[Any]], numbers: Iterable[int] = ()) -> Html:
    """Return a table without the columns that are empty in every row.

    Args:
        header: Headings of the columns, escaped here; no heading at all leaves out the header row.
        rows: Cells of each row; escaped here.
        numbers: Positions of the columns that are aligned to the right.
    """
    rows, right = list(rows), set(numbers)
    shown = [column for column in range(len(header)) if any(str(row[column]) for row in rows)]

    def line(cells: Sequence[Any], tag: str) -> Html:
        classes = [{"class_": "number"} if column in right else {} for column in shown]
        return element("tr", *(element(tag, cells[column], **own) for column, own in zip(shown, classes, strict=True)))

    head = element("thead", line(header, "th")) if any(header) else ""
    body = element("tbody", *(line(row, "td") for row in rows))
    return element("div", element("table", head, body), class_="scroll")


def format_interval(scores: Mapping[str, Any]) -> str:
    """Return the 95 % interval of an accuracy, with its groups, or an empty text where the scores have none."""
    return wording.interval(scores["accuracy_ci95"], scores.get("groups")) if "accuracy_ci95" in scores else ""


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
