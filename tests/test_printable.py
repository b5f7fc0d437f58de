"""Text from outside, made safe to show."""

import pytest

from kerastune_recipes import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("photos/ants 1.jpg", "photos/ants 1.jpg"),
        ("Ärger 蚂蚁 نمل می‌خواهم 🐜", "Ärger 蚂蚁 نمل می‌خواهم 🐜"),
        ("ants\x1b[2J", r"ants\x1b[2J"),
        ("ants\r\nbees\tx", r"ants\r\nbees\tx"),
        ("nul\x00, del\x7f, c1\x9b", r"nul\x00, del\x7f, c1\x9b"),
        ("next\x85line\u2028and\u2029paragraph", r"next\x85line\u2028and\u2029paragraph"),
        ("photo\u202egpj.exe", r"photo\u202egpj.exe"),
        ("isolated\u2066", r"isolated\u2066"),
        ("undecodable\udcff", r"undecodable\udcff"),
    ],
)
def test_characters_that_steer_a_terminal_are_escaped(text, shown):
    assert printable.one_line(text) == shown
    assert printable.one_line(shown) == shown
    assert printable.unsafe([text]) == ([] if text == shown else [text])


def test_a_text_that_is_no_utf8_can_be_written():
    assert printable.encodable("M\udcf6we\n\ud800") == "M\\udcf6we\n\\ud800"
    assert printable.encodable("Möwe 🐜") == "Möwe 🐜"


def test_line_feeds_stay_where_the_lines_are_ours():
    assert printable.lines("2 problems:\n- one\x1b\r\n- two") == "2 problems:\n- one\\x1b\\r\n- two"


@pytest.mark.parametrize(("text", "shown"), [("", ""), ("12345678", "12345678"), ("123456789", "12345...")])
def test_long_texts_are_shortened(text, shown):
    assert printable.shortened(text, most=8) == shown
