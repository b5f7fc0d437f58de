"""Figures: what they draw, and that they fit into any page."""

import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

from kerastune_recipes.reporting import plots

HISTORY = [
    {"phase": "warm_up", "loss": 2.0, "accuracy": 0.5, "val_loss": 1.8, "val_accuracy": 0.6, "learning_rate": 1e-3},
    {"phase": "warm_up", "loss": 1.5, "accuracy": 0.6, "val_loss": None, "val_accuracy": None, "learning_rate": 1e-3},
    {"phase": "fine_tuning", "loss": 1.0, "accuracy": 0.8, "val_loss": 0.9, "val_accuracy": 0.9, "learning_rate": 1e-4},
]


def texts(axes):
    return [text.get_text() for text in axes.texts]


def drawn(line):
    return list(line.get_xdata()), list(line.get_ydata())


def test_curves_continue_from_phase_to_phase():
    losses, accuracies, rates = plots.curves(HISTORY).axes
    training, validation = losses.lines
    assert drawn(training) == ([1, 2, 3], [2.0, 1.5, 1.0])
    assert drawn(validation) == ([1, 3], [1.8, 0.9])
    assert drawn(accuracies.lines[1]) == ([1, 3], [0.6, 0.9])
    assert drawn(rates.lines[0]) == ([1, 2, 3], [1e-3, 1e-3, 1e-4])


def test_curves_name_each_phase_and_shade_every_second():
    for axes in plots.curves(HISTORY).axes:
        assert texts(axes) == ["warm_up", "fine_tuning"]
        (band,) = axes.patches
        assert (band.get_x(), band.get_x() + band.get_width()) == (2.5, 3.5)


def test_confusion_is_in_percent_of_each_row_and_an_absent_class_has_an_empty_row():
    axes = plots.confusion(np.array([[3, 1, 0], [0, 2, 0], [0, 0, 0]]), ["a", "b", "c"]).axes[0]
    np.testing.assert_array_equal(axes.images[0].get_array(), [[0.75, 0.25, 0], [0, 1, 0], [0, 0, 0]])
    assert texts(axes) == ["75", "25", "100"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "c"]


@pytest.mark.parametrize(("classes", "numbers", "names"), [(20, 20, 20), (21, 0, 21), (100, 0, 100), (250, 0, 84)])
def test_confusion_leaves_out_numbers_and_names_that_are_too_small_to_read(classes, numbers, names):
    axes = plots.confusion(np.eye(classes, dtype=int), [f"class {number}" for number in range(classes)]).axes[0]
    assert len(axes.texts) == numbers
    assert len(axes.get_xticks()) == names


def test_long_names_are_shortened():
    axes = plots.confusion(np.eye(2, dtype=int), ["a" * 24, "b" * 25]).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a" * 24, "b" * 23 + "…"]


def test_reliability_shows_accuracy_and_images_by_confidence():
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]])
    above, below = plots.reliability(probabilities, np.array([0, 0, 0, 1])).axes
    confidences, accuracies = drawn(above.lines[1])
    assert confidences == pytest.approx([0.6, 0.9])
    assert accuracies == [0.5, 1.0]
    assert [bar.get_height() for bar in below.patches] == [2, 2]
    assert above.get_title() == "Expected calibration error 0.100"


RESULTS = [
    {"recipe": "small_similar", "accuracy": 0.95, "accuracy_ci95": (0.9, 0.98), "seconds": 30.0},
    {"recipe": "large_similar", "accuracy": 0.95, "accuracy_ci95": (0.9, 0.98), "seconds": 150.0},
    {"recipe": "small_similar (random weights)", "accuracy": 0.5, "accuracy_ci95": (0.4, 0.6), "seconds": 30.0},
]


def test_a_comparison_shows_accuracy_against_seconds():
    (axes,) = plots.comparison(RESULTS).axes
    assert [drawn(line) for line in axes.lines] == [([30.0], [0.95]), ([150.0], [0.95]), ([30.0], [0.5])]
    assert axes.get_xscale() == "log"
    assert texts(axes) == ["small_similar", "large_similar", "small_similar (random weights)"]


def test_names_of_equally_good_recipes_do_not_overlap():
    (axes,) = plots.comparison(RESULTS).axes
    first, second, third = (text.xyann[1] for text in axes.texts)
    bottom, top = axes.get_ylim()
    assert third == 0.5
    assert second - first == pytest.approx((top - bottom) / 14)
    assert second <= top


def test_svg_has_the_text_colour_of_the_page_and_takes_any_class_name():
    svg = plots.to_svg(plots.confusion(np.eye(2, dtype=int), ["<script>&", "$x_{"]), "one")
    labels = [element.text for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    assert {"<script>&", "$x_{"} <= set(labels)
    assert "<script" not in svg
    assert "currentColor" in svg
    assert plots.INK not in svg


@pytest.mark.parametrize("name", ['id="a', "url(#a)", "#010101", "<!-- x"])
def test_only_the_tags_of_an_svg_are_adapted_to_the_page(name):
    svg = plots.to_svg(plots.confusion(np.eye(2, dtype=int), [name, "bees"]), "one")
    labels = [element.text for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    assert labels.count(name) == 2


def test_characters_that_xml_cannot_hold_are_shown():
    svg = plots.to_svg(plots.confusion(np.eye(2, dtype=int), ["ants\x00\x1b\udcff", "bees\u202e"]), "one")
    labels = [element.text for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    assert labels.count(r"ants\x00\x1b\udcff") == labels.count(r"bees\u202e") == 2


def test_svgs_of_different_names_share_no_identifier():
    one, other = (plots.to_svg(plots.curves(HISTORY), name) for name in ("one", "other"))
    identifiers = [
        {element.get("id") for element in ElementTree.fromstring(svg).iter()} - {None} for svg in (one, other)
    ]
    assert identifiers[0]
    assert identifiers[0].isdisjoint(identifiers[1])
    for svg, name in ((one, "one"), (other, "other")):
        assert svg.count("url(#") == svg.count(f"url(#{name}-")


def test_equal_figures_are_equal_files():
    assert plots.to_svg(plots.curves(HISTORY), "a") == plots.to_svg(plots.curves(HISTORY), "a")


def test_pyplot_is_not_imported():
    program = "import sys; import kerastune_recipes.reporting.plots; print('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "False\n"
