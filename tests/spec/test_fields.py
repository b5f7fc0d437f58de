"""The kinds of values in recipes and plans, and their bounds."""

import pytest

from kerastune_recipes.errors import RecipeError
from kerastune_recipes.records import Record
from kerastune_recipes.spec import fields


class Everything(Record):
    """One field of each kind."""

    positive: fields.Positive = 1.0
    duration: fields.PhaseDuration = "1 epoch"
    image_size: fields.ImageSize = 224
    folds: fields.FoldCount = 5
    count: fields.Count = 1
    name: fields.Name = "stage1"
    file: fields.FilePath = "weights.h5"
    sentence: fields.Sentence = "For few images."
    phase: fields.PhaseName = "fine_tuning"
    class_names: fields.ClassNames = ("ants", "bees")
    taps: fields.Taps = ("stage1",)
    rules: fields.Rules = (("head", 1.0),)
    arguments: fields.LayerArguments = {}  # noqa: RUF012 - a pydantic default, copied for each record


def read(**values) -> Everything:
    return Everything.from_data(values, "r.yaml")


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("positive", float("inf"), "expected a finite number; received Infinity."),
        ("positive", float("nan"), "expected a finite number; received NaN."),
        ("positive", 10**400, "expected a finite number; received 1000000000"),
        ("duration", "0 epochs", 'the duration of a phase must be above zero; received "0 epochs".'),
        ("duration", f"{'9' * 400} epochs", 'a duration is at most 100,000 epochs; received "999'),
        ("image_size", 10**9, "expected less than or equal to 4096; received 1000000000."),
        ("folds", 10**9, "expected less than or equal to 100; received 1000000000."),
        ("count", 2**63, "expected less than or equal to 1000000000; received 9223372036854775808."),
        ("count", 10**400, "expected less than or equal to 1000000000; received 1000000000"),
        ("count", 0, "expected greater than or equal to 1; received 0."),
        ("name", "", 'expected a text; received "".'),
        ("name", "a" * 201, 'expected a text of at most 200 characters; received "aaa'),
        ("name", "stage\x1b[2J", "the character U+001B has no place in a name; remove it."),
        ("file", "weights\x00.h5", "the character U+0000 has no place in a name; remove it."),
        ("file", "a" * 4097, 'expected a text of at most 4096 characters; received "aaa'),
        ("sentence", "a" * 2001, 'expected a text of at most 2000 characters; received "aaa'),
        ("phase", "", 'a phase is named by 1 to 64 letters, digits, "_", "-" and "."; received "".'),
        ("phase", "a b", 'a phase is named by 1 to 64 letters, digits, "_", "-" and "."; received "a b".'),
        ("phase", '"><script>', 'letters, digits, "_", "-" and "."; received ""><script>".'),
        ("phase", "tuning\n", 'letters, digits, "_", "-" and "."; received "tuning\n".'),
        ("phase", "tüning", 'letters, digits, "_", "-" and "."; received "tüning".'),
        ("phase", "a" * 65, 'letters, digits, "_", "-" and "."; received "aaa'),
        ("class_names", ["ants"], 'expected a list of at least 2; received ["ants"].'),
        ("class_names", ["ants", "bees\n"], "class names with control characters or line breaks:"),
        ("class_names", ["ants", "ants"], 'class names that occur more than once: "ants"; give each class its own.'),
        ("taps", [], 'name at least one stage or layer, or write "all", "early" or "last".'),
        ("taps", ["stage1", "stage1"], "stage1 is listed twice; list each once."),
        ("taps", ["a", 1], "expected a valid string; received 1."),
        ("rules", [["head", 1.0]] * 1001, "expected a list of at most 1000; received [["),
        ("rules", [["head", 1e-400]], "expected greater than 0"),
        ("arguments", {"factor": float("inf")}, "factor: numbers are from -4096 to 4096; received inf."),
        ("arguments", {"factor": [0.1, float("nan")]}, "factor: numbers are from -4096 to 4096; received nan."),
        ("arguments", {"height": 10**9}, "height: numbers are from -4096 to 4096; received 1000000000."),
        ("arguments", {"pair": {"a": [[10**9]]}}, "pair: numbers are from -4096 to 4096; received 1000000000."),
        ("arguments", {"seed": 2**40}, "seed: numbers are from -4294967296 to 4294967296; received 1099511627776."),
    ],
)
def test_values_out_of_bounds_are_refused_in_a_sentence(key, value, problem):
    with pytest.raises(RecipeError) as caught:
        read(**{key: value})
    (sentence,) = caught.value.problems
    assert sentence.startswith(f"r.yaml: {key}")
    assert problem in sentence
    assert len(sentence) < 300


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("phase", "last_2-stages.b"),
        ("phase", "a" * 64),
        ("count", 10**9),
        ("name", "backbone/conv5_*"),
        ("file", "Gewichte für alle/ants bees.h5"),
        ("class_names", [" ants ", "نمل", "می‌خواهم"]),
        ("sentence", "For few images,\nor many."),
        ("arguments", {"seed": 2**32, "fill_value": 255.0, "mode": "horizontal", "factor": [-0.1, 0.1], "on": True}),
    ],
)
def test_values_within_bounds_are_kept(key, value):
    assert read(**{key: value}).to_data()[key] == value


def test_repeated_names_each_once():
    assert fields.repeated(["b", "a", "b", "b", "a", "c"]) == ["a", "b"]
