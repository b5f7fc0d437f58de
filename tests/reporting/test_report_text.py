"""A report in words."""

import copy

import pytest

from kerastune_recipes.reporting.report_text import describe

SCORES = {"accuracy": 0.9, "log_loss": 0.31}
RECORD = {
    "recipe": "small_similar",
    "data": {"source": "photos", "train": 80, "validation": 20, "test": 0, "classes": ["ants", "bees"]},
    "backbone": {"name": "DemoNet"},
    "phases": [
        {
            "name": "head",
            "kind": "solve",
            "seconds": 1.23,
            "validation": SCORES,
            "head": "logistic_regression",
            "class_balance": "none",
            "strength": 0.1,
            "judged_by": "5-fold cross-validation of 80 images",
            "features_computed": 100,
        },
        {"name": "fine_tuning", "kind": "fit", "seconds": 4.0, "validation": SCORES},
    ],
    "chosen_phase": "fine_tuning",
    "refitted": False,
    "returned_model": "fine_tuning, trained on 80 images",
    "validation": SCORES,
    "figures": {
        "validation": {
            "model": "fine_tuning, trained on 80 images",
            "images": "20 images given for validation",
            "returned": False,
            "decided": ["the phase"],
        }
    },
    "test": None,
    "cost": {"seconds_total": 6.04, "forward_equivalents": 35.31},
}


@pytest.fixture
def record():
    return copy.deepcopy(RECORD)


def test_a_report_has_a_line_for_each_phase(record):
    assert describe(record).splitlines() == [
        "small_similar on photos: DemoNet, 2 classes, 80 training images",
        "  head: accuracy 90.0%, log loss 0.310 on validation, 1.2 s; logistic regression, L2 strength 0.1 by 5-fold "
        "cross-validation of 80 images; 100 features computed",
        "  fine_tuning: accuracy 90.0%, log loss 0.310 on validation, 4.0 s",
        "  kept: fine_tuning, trained on 80 images",
        "  validation: accuracy 90.0%, log loss 0.310: fine_tuning, trained on 80 images (not the returned model), on "
        "20 images given for validation; they also chose the phase (each image is judged by the choice of the others)",
        "  cost: 6.0 s in total; the phases took as long as 35.3 forward passes",
    ]


def test_notes_come_last(record):
    record["notes"] = ["Resumed under other conditions."]
    assert describe(record).splitlines()[-1] == "  note: Resumed under other conditions."


def test_no_name_can_break_a_line_or_steer_the_terminal(record):
    record["data"]["source"] = "photos\n  kept: nothing\x1b[2J"
    first, *others = describe(record).splitlines()
    assert first.startswith(r"small_similar on photos\n  kept: nothing\x1b[2J: DemoNet")
    assert len(others) == 5


def test_test_images_refits_and_folds_are_named(record):
    record |= {"test": {**SCORES, "accuracy_ci95": [0.8, 0.95]}, "returned_model": "all of it"}
    record["data"]["folds"] = 4
    text = describe(record)
    assert "log loss 0.310 on 4-fold cross-validation, 4.0 s" in text
    assert "  kept: all of it\n" in text
    assert "test: accuracy 90.0%, log loss 0.310 (95% interval of the accuracy: 80.0% to 95.0%)" in text


def test_the_groups_of_an_interval_are_counted(record):
    record["test"] = {**SCORES, "accuracy_ci95": [0.8, 0.95], "groups": 12}
    assert "(95% interval of the accuracy: 80.0% to 95.0% (12 groups))" in describe(record)


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"diverged": "The loss became NaN."}, "; discarded: The loss became NaN."),
        ({"interpolation": 0.0}, "; discarded: no clear gain on held-out images"),
        ({"interpolation": 0.5}, "; weights 50% of the way from those before the phase"),
        ({"interpolation": 1.0, "head_solved_again": True}, "; head solved again on the trained features"),
        (
            {"interpolation": 0.5, "head_solved_again": True},
            "; weights 50% of the way from those before the phase; head solved again on the trained features",
        ),
        ({"learning_rate": 0.02}, "; peak learning rate 0.02 by a range test"),
        ({"class_balance": "weights", "imbalance": 3.0}, "; classes unbalanced, 3 to 1: weighted"),
    ],
)
def test_the_choices_of_a_fit_phase(record, choices, words):
    record["phases"][1] |= choices
    assert describe(record).splitlines()[2].endswith(f"4.0 s{words}")


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"tap": "stage3"}, "logistic regression on stage3, L2 strength"),
        ({"class_balance": "weights"}, "logistic regression, all classes weighted equally, L2 strength"),
        ({"pretrained_classes": {"bees": ["bee (309)"]}}, "logistic regression (bees from bee (309)), L2 strength"),
        ({"head": "lda"}, "linear discriminant analysis, shrinkage 0.1 by"),
        ({"features_computed": 0}, "; all features from the cache"),
    ],
)
def test_the_choices_of_a_solved_head(record, choices, words):
    record["phases"][0] |= choices
    assert words in describe(record).splitlines()[1]
