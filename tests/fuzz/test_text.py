"""Changed texts give a valid object or plain sentences: a part of what `make fuzz` does; tests of the fuzzer."""

import time

import pytest
from fuzz import runner, text
from fuzz.text import Case, case, outcome, run, timed
from hypothesis import given, settings
from hypothesis import strategies as st

from kerastune_recipes import yaml_files
from kerastune_recipes.errors import RecipeError

RECIPES, PLANS = text.recipes(), text.plans()


# Examples that are the same in every run; `make fuzz` looks for new ones.
@settings(max_examples=200, derandomize=True, database=None, deadline=None)
@given(number=st.integers(0, 10**9))
def test_changed_texts_give_a_valid_object_or_plain_sentences(number):
    found, detail, _ = timed(case(0, number, RECIPES, PLANS))
    assert found in (text.VALID, text.REFUSED), detail


@settings(max_examples=100, derandomize=True, database=None, deadline=None)
@given(name=st.sampled_from(sorted(RECIPES)), key=st.text(max_size=30), value=st.text(max_size=30))
def test_any_override_gives_a_valid_object_or_plain_sentences(name, key, value):
    found, detail, _ = timed(Case("override", f"{name} {key}", value))
    assert found in (text.VALID, text.REFUSED), detail


@settings(max_examples=200, derandomize=True, database=None, deadline=None)
@given(content=st.text(max_size=40))
def test_any_labels_are_read_exactly_or_refused(content):
    found, detail, _ = timed(Case("labels", "", content))
    assert found in (text.VALID, text.REFUSED), detail


# The texts


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_the_recipes_are_valid_before_they_are_changed(name):
    assert outcome(Case("recipe", "", RECIPES[name])) == (text.VALID, "")


@pytest.mark.parametrize("name", sorted(PLANS))
def test_the_plans_are_valid_before_they_are_changed(name):
    assert outcome(Case("plan", "", PLANS[name])) == (text.VALID, "")


def test_a_case_is_the_same_for_the_same_seed_and_number():
    made = [case(3, number, RECIPES, PLANS) for number in range(100)]
    assert made == [case(3, number, RECIPES, PLANS) for number in range(100)]
    assert {one.kind for one in made} == set(text.KINDS)
    assert len({one.text for one in made}) > 90


# The outcomes


def fails_with(monkeypatch, error):
    def read(made):
        raise error

    monkeypatch.setitem(text.READERS, "recipe", read)
    return timed(Case("recipe", "", ""))[:2]


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (RecipeError("mine.yaml: this is wrong."), (text.REFUSED, "")),
        (RecipeError("mine.yaml: this is wrong.", "mine.yaml: that, too."), (text.REFUSED, "")),
        (RecipeError(), ("no sentence", "0 problems on 1 lines")),
        (RecipeError("mine.yaml: no end"), ("no sentence", "mine.yaml: no end")),
        (RecipeError("a" * 4000 + "."), ("no sentence", "a" * 4000 + ".")),
        (KeyError("views"), ("traceback", "KeyError: 'views'")),
        (RecursionError("too deep"), ("traceback", "RecursionError: too deep")),
        (AssertionError("a: 1"), ("not read back", "a: 1")),
    ],
    ids=["sentence", "sentences", "nothing", "no end", "long", "traceback", "recursion", "not read back"],
)
def test_faults_are_told_from_refusals(monkeypatch, error, found):
    assert fails_with(monkeypatch, error) == found


@pytest.mark.parametrize("limit", ["MOST_SECONDS", "LONGEST_WAIT"])
def test_a_hang_is_ended(monkeypatch, limit):
    monkeypatch.setattr(text, limit, 0.1)

    def endless(made):
        while True:
            time.sleep(0.2 * (limit == "LONGEST_WAIT"))

    monkeypatch.setitem(text.READERS, "recipe", endless)
    assert timed(Case("recipe", "", ""))[0] == "hang"


def test_the_outcomes_are_counted(monkeypatch):
    monkeypatch.setattr(yaml_files, "parse", lambda content, where: {"a": 1 / 0})
    monkeypatch.setattr(text, "recipes", lambda: RECIPES)
    monkeypatch.setattr(text, "plans", lambda: PLANS)
    monkeypatch.setattr(text, "case", lambda *_: Case("recipe", "", "a"))
    counts, faults, _ = run(seed=0, count=3)
    assert counts == {("recipe", "traceback"): 3}
    assert faults[0] == "number 0, recipe: traceback: ZeroDivisionError: division by zero"
    shown = runner.table(counts, text.KINDS, text.OUTCOMES)
    assert shown.splitlines()[-1].split() == ["all", "0", "0", "3", "0", "0", "0"]
