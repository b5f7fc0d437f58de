"""Pieces of the HTML pages."""

import ast
from pathlib import Path

import pytest
from html_reader import Reader

from kerastune_recipes.reporting import html, html_parts
from kerastune_recipes.studies import page


def test_a_table_leaves_out_columns_that_are_empty_in_every_row():
    table = html_parts.table_html(("class", "note", "images"), [("ants", "", 3), ("bees", "", 4)], numbers=(2,))
    page = Reader(table)
    assert page.text == "class images ants 3 bees 4"
    assert table.count('class="number"') == 3


def test_a_table_without_headings_has_no_header_row():
    assert "thead" not in Reader(html_parts.table_html(("", ""), [("python", "3.11")])).elements


EVIL = "</td></title></style></script><script>alert('1' & \"2\")</script>"


def test_text_is_escaped_wherever_it_becomes_part_of_a_page():
    table = html_parts.table_html((EVIL,), [(EVIL,)])
    page = html_parts.page_html(EVIL, [html_parts.section_html(EVIL, table, note=EVIL), html_parts.note_html(EVIL)])
    assert "script" not in Reader(page).elements
    assert Reader(page).text.count(EVIL) == 7


def test_only_markup_of_ours_is_not_escaped():
    bold = html_parts.element("b", "<1>")
    assert bold == "<b>&lt;1&gt;</b>"
    assert html_parts.element("p", "a & b", bold, 3) == "<p>a &amp; b<b>&lt;1&gt;</b>3</p>"
    assert html_parts.element("p", str(bold)) == "<p>&lt;b&gt;&amp;lt;1&amp;gt;&lt;/b&gt;</p>"
    assert html_parts.joined(["<", bold], between="\n") == "&lt;\n<b>&lt;1&gt;</b>"


def test_attributes_are_escaped():
    assert html_parts.element("p", class_='"><b>', title="'") == ('<p class="&quot;&gt;&lt;b&gt;" title="&#x27;"></p>')


def test_characters_that_reorder_or_break_a_text_are_shown():
    assert html_parts.element("p", "ants\u202e\x00\udcff\nbees") == "<p>ants\\u202e\\x00\\udcff\nbees</p>"


@pytest.mark.parametrize("module", [html, page], ids=lambda module: module.__name__)
def test_pages_hold_no_markup_of_their_own(module):
    texts = [
        node.value
        for node in ast.walk(ast.parse(Path(module.__file__).read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    assert not [text for text in texts if "<" in text or ">" in text]


def test_a_page_carries_its_style():
    one, two = html_parts.element("p", "one"), html_parts.element("p", "two")
    page = Reader(html_parts.page_html("Title", [one, two]))
    assert page.text == "Title Title one two"
    assert page.elements.count("style") == 1
    assert page.links == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (59.9, "59.9 s"), (60, "1 min 0 s"), (185.4, "3 min 5 s"), (3725, "1 h 2 min")],
)
def test_durations(seconds, text):
    assert html_parts.format_seconds(seconds) == text


def test_intervals():
    assert html_parts.format_interval({"accuracy_ci95": [0.8, 0.925]}) == "80.0% to 92.5%"
    assert html_parts.format_interval({"accuracy_ci95": [0.8, 0.925], "groups": 12}) == "80.0% to 92.5% (12 groups)"
    assert html_parts.format_interval({"accuracy": 0.9}) == ""
