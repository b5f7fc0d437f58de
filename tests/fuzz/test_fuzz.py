"""Damaged images give an array or one sentence: a part of what `make fuzz` does for an hour; tests of the fuzzer."""

import random
import sys

import numpy as np
import pytest
from fuzz import images
from fuzz.images import case, outcome, outcome_of_file, run, table
from fuzz.mutations import MUTATIONS, mutate
from fuzz.pictures import pictures
from fuzz.structure import boundaries, with_checksums
from hypothesis import given, settings
from hypothesis import strategies as st

from kerastune_recipes.data.image_formats import FORMATS
from kerastune_recipes.errors import DataError

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # of odd metadata

VALID = list(pictures())
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is measured in /proc")
# Examples that are the same in every run; `make fuzz` looks for new ones.
ALIKE = settings(derandomize=True, database=None, deadline=None)


@linux
def test_damaged_images_give_an_array_or_one_sentence():
    results = list(run(seed=0, first=0, end=3000))
    assert len(results) == 3000
    assert {result.form for result in results} == {form.name for form in FORMATS}
    assert [result for result in results if result.outcome in images.FAULTS] == []


@ALIKE
@given(
    picture=st.sampled_from(VALID),
    keep=st.floats(0, 1),
    edits=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=9)), max_size=4),
)
def test_any_bytes_anywhere_in_a_file_give_an_array_or_one_sentence(picture, keep, edits):
    data = picture.data[: int(keep * len(picture.data))]
    for place, written in edits:
        start = int(place * len(data))
        data = data[:start] + written + data[start + len(written) :]
    assert outcome_of_file(data, f"image{picture.suffix}")[0] in (images.ARRAY, images.ERROR)


@ALIKE
@given(head=st.sampled_from([picture.data[:12] for picture in VALID]), rest=st.binary(max_size=200))
def test_any_bytes_behind_a_signature_give_an_array_or_one_sentence(head, rest):
    assert outcome_of_file(head + rest, "image.tga")[0] in (images.ARRAY, images.ERROR)


# The files


@pytest.mark.parametrize("picture", VALID, ids=lambda picture: picture.variant)
def test_the_files_are_valid(picture):
    expected = images.ERROR if picture.variant.startswith("TIFF F") else images.ARRAY
    assert outcome_of_file(picture.data, f"image{picture.suffix}") == (expected, "")


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_mutation_gives_the_same_for_the_same_seed(mutation):
    for number, picture in enumerate(VALID):
        first, second = (mutation(picture.data, VALID[0].data, random.Random(number)) for _ in range(2))
        assert first == second


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_mutation_takes_any_file(mutation):
    for number in range(50):
        mutation(b"\x89", b"P", random.Random(number))


def test_cases_are_repeatable_and_differ():
    assert case(1, 5, VALID) == case(1, 5, VALID)
    assert len({case(seed, number, VALID).data for seed in range(2) for number in range(50)}) > 90


def test_mutations_know_the_chunks_of_every_format_that_has_some():
    with_chunks = {picture.form for picture in VALID if boundaries(picture.data)}
    assert with_chunks == {"AVIF", "GIF", "JPEG", "PNG", "TIFF", "WEBP"}
    png = next(picture.data for picture in VALID if picture.form == "PNG")
    names = [png[start + 4 : start + 8] for start in boundaries(png)]
    assert (names[0], names[-1]) == (b"IHDR", b"IEND")


def test_checksums_are_made_right():
    png = next(picture.data for picture in VALID if picture.form == "PNG")
    assert with_checksums(png) == png
    damaged = png[:20] + b"\x00\x00\x00\x09" + png[24:]  # fewer rows
    assert outcome_of_file(damaged, "image.png")[0] == images.ERROR
    assert outcome_of_file(with_checksums(damaged), "image.png")[0] == images.ARRAY


def test_nothing_comes_of_nothing():
    assert mutate(b"", VALID[0].data, random.Random(0)) == b""


# Outcomes


def raising(error):
    def read():
        raise error

    return read


def test_outcomes_are_told_apart():
    assert outcome(lambda: np.zeros((2, 3, 3), np.uint8)) == (images.ARRAY, "")
    assert outcome(lambda: (2, 3)) == (images.ARRAY, "")
    assert outcome(raising(DataError("image.jpg: it is torn."))) == (images.ERROR, "")
    assert outcome(raising(DataError("image.jpg: it is torn"))) == ("no sentence", "image.jpg: it is torn")
    assert outcome(raising(DataError("torn."))) == ("no sentence", "torn.")
    assert outcome(raising(KeyError("mode"))) == ("traceback", "KeyError: 'mode'")
    assert outcome(lambda: np.zeros((2, 3), np.uint8)) == ("not RGB", "uint8 (2, 3)")
    full = DataError("image.jpg: no memory.")
    full.__cause__ = MemoryError()
    assert outcome(raising(full)) == ("over memory", "image.jpg: no memory.")


CHILD = """
import os, sys, time
seed, first, end = map(int, sys.argv[1:])
for number in range(first, end):
    print(number, "PNG", "begins", sep="\\t", flush=True)
    if number == 1:
        os.abort()
    if number == 3:
        time.sleep(600)
    print(number, "PNG", "array", 0.25, 2**21, "", sep="\\t", flush=True)
"""


def test_a_crash_and_a_hang_end_only_the_child(monkeypatch):
    monkeypatch.setattr(images, "MOST_SECONDS", 1)
    results = list(run(0, 0, 5, command=(sys.executable, "-c", CHILD)))
    assert [result.number for result in results] == [0, 1, 2, 3, 4]
    assert [result.outcome for result in results] == ["array", "crash", "array", "hang", "array"]
    assert [line.split() for line in table(results).splitlines()][1:] == [
        ["PNG", "3", "0", "0", "0", "0", "0", "1", "1", "0", "0.25", "2"],
        ["all", "3", "0", "0", "0", "0", "0", "1", "1", "0", "0.25", "2"],
    ]


def test_a_child_that_cannot_start_is_an_error():
    with pytest.raises(RuntimeError, match="The child process ended with status 3"):
        list(run(0, 0, 5, command=(sys.executable, "-c", "raise SystemExit(3)")))
