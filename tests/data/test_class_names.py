"""What a class may be called."""

import pytest

from kerastune_recipes.data import class_names


@pytest.mark.parametrize(
    "name", ["ants", " ants ", "Ärger", "نمل", "می‌خواهم", "🐜", "[b]ants[/b]", "<ants>", "a" * 1000]
)
def test_any_visible_text_is_a_name(name):
    assert class_names.problems([name, "bees"]) == []


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        ([1, "bees"], "class names that are not text: 1; write them as texts."),
        (["", "bees", " "], 'class names that are blank: "", " "; name the class.'),
        (
            ["ants\x1b[2J", "bees\n", "was\u202eps", "a\u2028", "b\x85", "c\x0b"],
            'class names with control characters or line breaks: "ants\x1b[2J", "bees\n", "was\u202eps", '
            '"a\u2028", "b\x85", "c\x0b"; rename the class.',
        ),
        (["ants", "b\udcff"], 'class names that are not UTF-8: "b\udcff"; rename the class.'),
        (["a" * 1001, "bees"], f'class names of more than 1,000 characters: "{"a" * 57}..."; rename the class.'),
        (["a", "b", "a"], 'class names that occur more than once: "a"; give each class its own.'),
    ],
    ids=["not text", "blank", "control characters", "not UTF-8", "long", "twice"],
)
def test_other_names_are_refused(names, problem):
    assert class_names.problems(names) == [problem]


def test_every_kind_of_mistake_is_named_at_once():
    assert len(class_names.problems([None, "", "a\n", "a\n"])) == 4


@pytest.mark.parametrize(
    ("names", "ordered"),
    [
        (("10", "9", "1"), ("1", "9", "10")),
        (("-1", "0", "-10"), ("-10", "-1", "0")),
        (("1.5", "0.5", "10"), ("0.5", "1.5", "10")),
        (("1.0", "1", "01"), ("01", "1", "1.0")),
        (("10", "9", "ants"), ("10", "9", "ants")),
        (("class10", "class9"), ("class10", "class9")),
        (("9" * 19, "8"), ("8", "9" * 19)),
        (("1e3", "2"), ("1e3", "2")),
        ((), ()),
    ],
)
def test_numbers_are_ordered_by_value_and_names_as_text(names, ordered):
    assert class_names.in_order(names) == ordered
    assert class_names.in_order(reversed(names)) == ordered


def test_accents_are_part_of_their_letter():
    assert class_names.normal("Mo\u0308we") == "M\u00f6we" == class_names.normal("M\u00f6we")


@pytest.mark.parametrize(
    ("names", "difference"),
    [
        (["Cat", "dog", "cat"], 'capitals: "Cat" and "cat"'),
        (["a ", "a"], 'blanks: "a " and "a"'),
        (["hot  dog", "hot dog"], 'blanks: "hot  dog" and "hot dog"'),
        (["1", "1.0", "10"], 'how a number is written: "1" and "1.0"'),
        (["7", "007", "70"], 'how a number is written: "7" and "007"'),
        (["hot dog", "hot_dog", "hot-dog"], 'separators: "hot dog" and "hot_dog" and "hot-dog"'),
        (["\uff41", "a"], 'forms of the same characters: "\uff41" and "a"'),
    ],
)
def test_names_that_a_reader_takes_for_one_are_named_with_what_differs(names, difference):
    assert class_names.look_alikes(names) == [
        f"classes that differ only in {difference}; if they are one class, give it one name."
    ]


def test_each_pair_of_look_alikes_is_named_once():
    assert class_names.look_alikes(["A", "a", "B", "b", "1", "01"]) == [
        'classes that differ only in how a number is written: "1" and "01"; if they are one class, give it one name.',
        'classes that differ only in capitals: "A" and "a", "B" and "b"; if they are one class, give it one name.',
    ]
    assert class_names.look_alikes(["ants", "bees", "ant", "10", "1", "100", "1.5", "15"]) == []
