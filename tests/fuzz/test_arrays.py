"""Changed arrays give the classes that they have, or plain sentences: a part of what `make fuzz` does; the fuzzer."""

import time
from dataclasses import replace

import numpy as np
import pytest
from fuzz import arrays, runner
from fuzz.arrays import NAMES, OPENED, PIXELS, REFUSED, Case, case, outcome, run
from hypothesis import given, settings
from hypothesis import strategies as st

from kerastune_recipes.errors import DataError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("images")
    arrays.write_images(root)
    return root


# Examples that are the same in every run; `make fuzz` looks for new ones.
@pytest.mark.filterwarnings("ignore")
def test_changed_arrays_give_their_classes_or_plain_sentences(folder):
    @settings(max_examples=250, derandomize=True, database=None, deadline=None)
    @given(number=st.integers(0, 10**9))
    def check(number):
        made = case(0, number, folder)
        found, detail = outcome(made)
        assert found in (OPENED, REFUSED), f"{made.kind} {made.changes}: {detail}"

    check()


# The cases


def truth(**changes) -> Case:
    names = ["ant", "bee"] * 6
    return replace(Case("arrays", PIXELS, names, data=(PIXELS, names)), **changes)


def test_a_case_is_the_same_for_the_same_seed_and_number(folder):
    made = [case(3, number, folder) for number in range(60)]
    assert [one.changes for one in made] == [case(3, number, folder).changes for number in range(60)]
    assert {one.kind for one in made} == set(arrays.KINDS)
    assert {one.must for one in made} == {OPENED, REFUSED, ""}


@pytest.mark.parametrize("names", NAMES)
def test_the_truth_is_opened_before_it_is_changed(names):
    labels = [names[index % len(names)] for index in range(len(PIXELS))]
    assert outcome(truth(names=labels, data=(PIXELS, labels))) == (OPENED, "")


def test_classes_follow_from_the_truth():
    assert truth(names=["10", "9"]).classes == ("9", "10")
    assert truth(names=["10", "b"]).classes == ("10", "b")
    assert truth(names=["3", "0"], numbered=True).classes == ("0", "1", "2", "3")


# The outcomes


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, OPENED),
        ({"must": REFUSED}, "accepted"),
        ({"names": ["bee", "ant"] * 6}, "wrong classes"),
        ({"names": ["ant", "fly"] * 6}, "wrong classes"),
        ({"pixels": 255 - PIXELS}, "wrong pixels"),
        ({"data": (PIXELS / 255, ["ant", "bee"] * 6)}, "refused wrongly"),
        ({"data": (PIXELS / 255, ["ant", "bee"] * 6), "must": REFUSED}, REFUSED),
        ({"kind": "predict", "data": PIXELS}, OPENED),
        ({"kind": "predict", "data": PIXELS[:3]}, "wrong pixels"),
        ({"kind": "predict", "data": PIXELS[::-1]}, "wrong pixels"),
        ({"kind": "predict", "data": None, "must": REFUSED}, REFUSED),
    ],
)
def test_faults_are_told_from_right_outcomes(changes, found):
    assert outcome(truth(**changes))[0] == found


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (DataError("arrays: this is wrong."), "refused wrongly"),
        (DataError("no end"), "no sentence"),
        (KeyError("label"), "traceback"),
        (RecursionError("too deep"), "traceback"),
    ],
)
def test_errors_are_told_apart(monkeypatch, error, found):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(arrays, "open_dataset", fail)
    assert outcome(truth())[0] == found


def test_a_hang_is_ended(monkeypatch):
    monkeypatch.setattr(arrays, "MOST_SECONDS", 0.1)
    monkeypatch.setattr(arrays, "open_dataset", lambda *_, **__: time.sleep(5))
    assert outcome(truth())[0] == "hang"


def test_the_outcomes_are_counted(monkeypatch):
    monkeypatch.setattr(arrays, "case", lambda *_: truth(names=["bee", "ant"] * 6, changes=["swapped"]))
    counts, faults, _ = run(seed=0, numbers=range(3))
    assert counts == {("arrays", "wrong classes"): 3}
    assert faults[0] == "number 0, arrays: wrong classes: image 0 is ant, expected bee (swapped)"
    shown = runner.table(counts, arrays.KINDS, arrays.OUTCOMES)
    assert shown.splitlines()[-1].split() == ["all", "0", "0", "0", "0", "3", "0", "0", "0", "0"]


def test_pixels_may_differ_by_their_rounding():
    assert outcome(truth(pixels=np.clip(PIXELS.astype(int) + 1, 0, 255)))[0] == OPENED
