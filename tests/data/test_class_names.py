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
            ["ants\x1b[2J", "bees\n", "was\u202eps", "\udcff", "a\u2028", "b\x85", "c\x0b"],
            'class names with control characters or line breaks: "ants\x1b[2J", "bees\n", "was\u202eps", "\udcff", '
            '"a\u2028", "b\x85", "c\x0b"; rename the class.',
        ),
        (["a" * 1001, "bees"], f'class names of more than 1,000 characters: "{"a" * 57}..."; rename the class.'),
        (["a", "b", "a"], 'class names that occur more than once: "a"; give each class its own.'),
    ],
    ids=["not text", "blank", "control characters", "long", "twice"],
)
def test_other_names_are_refused(names, problem):
    assert class_names.problems(names) == [problem]


def test_every_kind_of_mistake_is_named_at_once():
    assert len(class_names.problems([None, "", "a\n", "a\n"])) == 4
