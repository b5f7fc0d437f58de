"""The letters that DemoNet is pretrained on, without digits."""

import unicodedata

import numpy as np
import pytest
from matplotlib.ft2font import FT2Font

from kerastune_recipes.demo import glyphs


@pytest.fixture(scope="module")
def alphabet():
    return glyphs.alphabet()


def test_there_are_hundreds_of_letters_of_many_scripts(alphabet):
    scripts = {unicodedata.name(letter).split()[0] for letter in alphabet}
    assert len(alphabet) > 500
    assert {"LATIN", "GREEK", "CYRILLIC", "GEORGIAN", "ARABIC", "HEBREW"} <= scripts


def test_no_digit_is_among_the_letters(alphabet):
    assert not [c for c in alphabet if unicodedata.numeric(c, None) is not None or unicodedata.category(c)[0] == "N"]


def test_no_letter_shares_its_drawing_with_a_number():
    for font in glyphs.fonts():
        charmap = FT2Font(str(font)).get_charmap()
        numbers = {glyph for code, glyph in charmap.items() if glyphs.is_number(chr(code))}
        assert not [letter for letter in glyphs.letters(font) if charmap[ord(letter)] in numbers], font.name


@pytest.mark.parametrize(
    "character",
    [
        "7",
        "\N{ARABIC-INDIC DIGIT SEVEN}",
        "\N{SUPERSCRIPT TWO}",
        "\N{SUBSCRIPT FIVE}",
        "\N{CIRCLED DIGIT THREE}",
        "\N{MATHEMATICAL DOUBLE-STRUCK DIGIT ZERO}",
        "\N{ROMAN NUMERAL SEVEN}",
        "\N{VULGAR FRACTION ONE HALF}",
        "\N{LATIN LETTER TWO WITH STROKE}",
        "\N{LATIN CAPITAL LETTER TONE TWO}",
    ],
)
def test_numbers_in_any_style_are_recognised(character):
    assert glyphs.is_number(character)


@pytest.mark.parametrize("character", ["A", "o", "Ж", "ש", "λ"])
def test_letters_are_not_numbers(character):
    assert not glyphs.is_number(character)


def test_letters_of_the_same_shape_count_once(alphabet):
    assert "A" in alphabet
    assert "\N{GREEK CAPITAL LETTER ALPHA}" not in alphabet


def test_a_letter_is_drawn_in_every_font_that_has_it_with_ink_in_the_middle():
    images, labels = glyphs.drawings(["b"])
    assert images.shape == (len(glyphs.fonts()) - 2, 64, 64)  # DejaVu's two display fonts hold no letters
    assert not labels.any()
    assert (images.min(), images.max()) == (0, 1)
    assert not images[:, :9].any()
    assert images.any(axis=(1, 2)).all()
    assert np.abs(np.argwhere(images[0]).mean(axis=0) - 32).max() < 6
