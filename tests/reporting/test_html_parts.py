"""Pieces of the HTML pages."""

import pytest
from html_reader import Reader

from kerastune_recipes.reporting import html_parts


def test_a_table_leaves_out_columns_that_are_empty_in_every_row():
    table = html_parts.table_html(("class", "note", "images"), [("ants", "", 3), ("bees", "", 4)], numbers=(2,))
    page = Reader(table)
    assert page.text == "class images ants 3 bees 4"
    assert table.count('class="number"') == 3


def test_a_table_without_headings_has_no_header_row():
    assert "thead" not in Reader(html_parts.table_html(("", ""), [("python", "3.11")])).elements


def test_text_is_escaped():
    page = html_parts.section_html("a & b", html_parts.table_html(("<b>",), [("<i>",)]), note="c < d")
    assert Reader(page).text == "a & b c < d <b> <i>"


def test_a_page_carries_its_style():
    page = Reader(html_parts.page_html("Title", ["<p>one</p>", "<p>two</p>"]))
    assert page.text == "Title one two"
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
    assert html_parts.format_interval({"accuracy": 0.9}) == ""
