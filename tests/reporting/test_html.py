"""The HTML page of a report: what it shows, and that it needs no other file."""

import copy
import re

import numpy as np
import pytest
from html_reader import Reader

from kerastune_recipes.reporting import html

SCORES = {"accuracy": 0.875, "balanced_accuracy": 0.86, "log_loss": 0.41, "ece": 0.032}
EVIL = "<script>alert('bees & co')</script>"
REPORT = {
    "recipe": "small_similar",
    "status": "done",
    "seed": 7,
    "versions": {"python": "3.11.7", "keras": "3.15.1"},
    "data": {"source": "photos", "train": 1298, "validation": 60, "test": 138, "classes": ["ants", EVIL, "wasps"]},
    "backbone": {"name": "MobileNetV2", "weights": "imagenet", "image_size": 160},
    "phases": [
        {
            "name": "feature_extraction",
            "kind": "solve",
            "seconds": 12.34,
            "steps": 0,
            "trainable_parameters": 3843,
            "frozen_parameters": 2257984,
            "validation": {"accuracy": 0.85, "log_loss": 0.5},
            "strength": 0.01,
            "log_loss_by_strength": {"0.01": 0.5},
        },
        {
            "name": "fine_tuning",
            "kind": "fit",
            "seconds": 185.0,
            "steps": 520,
            "trainable_parameters": 2223872,
            "frozen_parameters": 34112,
            "validation": {"accuracy": 0.875, "log_loss": 0.41},
        },
    ],
    "chosen_phase": "fine_tuning",
    "returned_model": "fine_tuning, refitted on all images",
    "figures": {
        "test": {"model": "fine_tuning", "images": "30 test images", "returned": True, "decided": []},
    },
    "validation": SCORES,
    "test": {**SCORES, "accuracy_ci95": [0.8, 0.925]},
    "cost": {"seconds_total": 3725.0, "seconds_one_forward_pass": 10.1, "forward_equivalents": 19.54},
    "history": [
        {"phase": "fine_tuning", "epoch": 1, "step": 40, "loss": 1.0, "accuracy": 0.5, "learning_rate": 1e-3},
    ],
    "plan_text": "phase 1 <solve>\n  then fit",
    "confusion": {"validation": np.eye(3, dtype=int), "test": np.array([[9, 1, 0], [4, 6, 0], [0, 0, 0]])},
}


@pytest.fixture
def report():
    return copy.deepcopy(REPORT)


def read(report):
    return Reader(html.render(report))


def test_the_page_needs_no_other_file(report):
    page = read(report)
    assert "script" not in page.elements
    assert "link" not in page.elements
    assert all(link.startswith(("#", "data:")) for link in page.links)
    assert "@import" not in html.render(report)


def test_all_text_is_escaped(report):
    report |= {"recipe": EVIL, "chosen_phase": EVIL, "returned_model": EVIL, "versions": {EVIL: EVIL}}
    report |= {"status": EVIL, "plan_text": EVIL}
    report["backbone"]["name"] = report["data"]["source"] = report["phases"][0]["name"] = EVIL
    report["history"][0]["phase"] = report["phases"][1]["kind"] = report["phases"][1]["judged_by"] = EVIL
    report |= {"title": EVIL, "seed": EVIL}
    report["backbone"] |= {"weights": EVIL, "image_size": EVIL}
    report["phases"][1][EVIL] = EVIL
    assert "script" not in read(report).elements
    assert read(report).text.count(EVIL) >= 10


def test_a_name_of_a_phase_is_no_markup_in_its_range_test(report):
    report["phases"][1] |= {"name": '"><script>', "loss_by_learning_rate": [[1e-3, 1e-2], [1.0, 0.5]]}
    report["phases"][1]["learning_rate"] = 0.005
    page = read(report)
    assert "script" not in page.elements
    assert 'Range test of "><script>' in page.text
    assert 'id="range-test-2-' in html.render(report)


def test_the_headline_shows_recipe_backbone_accuracy_and_cost(report):
    text = read(report).text
    assert "small_similar on photos 1,298 train, 60 validation, 138 test images of 3 classes; status done" in text
    assert "Backbone MobileNetV2 imagenet, 160 px" in text
    assert "Test accuracy 87.5% 95% interval 80.0% to 92.5%" in text
    assert "Cost 1 h 2 min phases took 19.5 forward passes of 10.1 s" in text


def test_notes_are_shown_where_there_are_any(report):
    assert "Notes" not in read(report).text
    report["notes"] = ["Resumed under other conditions: <b>keras</b> was 3.15.0."]
    assert "Notes Resumed under other conditions: <b>keras</b> was 3.15.0." in read(report).text


def test_without_test_images_the_page_warns_that_the_accuracy_chose_the_phase(report):
    report |= {"test": None, "confusion": {"validation": np.eye(3, dtype=int), "test": None}}
    text = read(report).text
    assert "Validation accuracy 87.5% no test images: measured on the images that chose the phase" in text
    assert "Test accuracy" not in text
    assert "Classes, lowest recall first (validation)" in text


def test_phases_are_listed_with_their_choices(report):
    text = read(report).text
    assert "feature_extraction solve 12.3 s 0 3,843 2,257,984 85.0% 0.500 strength 0.01" in text
    assert "fine_tuning (kept) fit 3 min 5 s 520 2,223,872 34,112 87.5% 0.410" in text
    assert "log loss by strength" not in text


def test_classes_are_sorted_by_recall_with_the_class_they_were_mistaken_for(report):
    text = read(report).text
    assert f"{EVIL} 10 60.0% ants (4) ants 10 90.0% {EVIL} (1) wasps 0 no images" in text


def test_curves_are_left_out_without_fit_phases(report):
    assert "Curves" in read(report).text
    report["history"] = []
    assert "Curves" not in read(report).text
    assert read(report).elements.count("svg") == 2


def test_plan_and_versions_are_shown_and_a_title_can_be_given(report):
    assert "phase 1 <solve>\n  then fit" in "".join(read(report).pieces)
    assert "keras 3.15.1" in read(report).text
    assert "<title>Ants &amp; bees</title>" in html.render(report | {"title": "Ants & bees"})


def test_identifiers_on_the_page_are_unique(report):
    identifiers = re.findall(r'\bid="([^"]+)"', html.render(report))
    assert len(identifiers) == len(set(identifiers))
