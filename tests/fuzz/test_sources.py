"""Changed folders and tables give the data sets that they hold or plain sentences: a part of what `make fuzz` does."""

from dataclasses import replace

import numpy as np
import pytest
from fuzz import runner, sources, text
from fuzz.sources import Made, case, outcome, run
from hypothesis import given, settings
from hypothesis import strategies as st

from kerastune_recipes.data.sources.open import open_dataset


# Examples that are the same in every run; `make fuzz` looks for new ones.
@settings(max_examples=120, derandomize=True, database=None, deadline=None)
@given(number=st.integers(0, 10**9))
def test_changed_sources_give_what_they_hold_or_plain_sentences(tmp_path_factory, number):
    made = case(0, number, tmp_path_factory.mktemp("source") / "data")
    found, detail, _ = text.timed(made, outcome)
    assert found in (sources.OPENED, sources.REFUSED), f"{detail} {made.told}"


# The sources


def test_a_case_is_the_same_for_the_same_seed_and_number(tmp_path):
    made = [[case(3, number, tmp_path / f"{again} {number}") for number in range(60)] for again in range(2)]
    assert [one.told for one in made[0]] == [one.told for one in made[1]]
    assert {one.kind for one in made[0]} == set(sources.KINDS)


@pytest.mark.parametrize("kind", [kind for kind in sources.KINDS if kind != "damaged table"])
def test_sources_of_every_kind_are_opened(tmp_path, kind):
    made = (case(0, number, tmp_path / str(number)) for number in range(300))
    assert sources.OPENED in (outcome(one)[0] for one in made if one.kind == kind)


# The outcomes


@pytest.fixture
def folder(tmp_path):
    """A folder of two classes with three images each."""
    stock = iter(sources.pictures())
    for name in ("ants", "bees"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(3):
            (tmp_path / "data" / name / f"{number}.png").write_bytes(next(stock))
    return tmp_path / "data"


def judged(folder, monkeypatch, change):
    """Return the outcome of a folder whose data set is changed before it is judged."""
    monkeypatch.setattr(sources, "open_dataset", lambda *_, **options: change(open_dataset(folder, **options)))
    return outcome(Made("classes", folder, folder, check=sources.check_folder))


def test_a_right_data_set_is_no_fault(folder, monkeypatch):
    assert judged(folder, monkeypatch, lambda dataset: dataset) == (sources.OPENED, "")


def swapped(dataset):
    return replace(dataset, train=replace(dataset.train, class_names=("bees", "ants")))


def without_an_image(dataset):
    return replace(dataset, train=dataset.train.select(np.arange(3)))


@pytest.mark.parametrize("change", [swapped, without_an_image])
def test_a_wrong_data_set_is_a_fault(folder, monkeypatch, change):
    assert judged(folder, monkeypatch, change)[0] == "not read back"


def test_an_unexpected_error_is_a_fault(folder, monkeypatch):
    def fail(dataset):
        raise KeyError("views")

    assert judged(folder, monkeypatch, fail) == ("traceback", "KeyError: 'views'")


def test_the_rows_of_a_table_are_compared(folder):
    files = [f"{name}/{number}.png" for name in ("ants", "bees") for number in range(3)]
    for file in files:
        (folder / file).rename(folder / file.replace("/", ""))
    (folder / "labels.csv").write_text(
        "path,label\n" + "".join(f"{file.replace('/', '')},{file[:4]}\n" for file in files)
    )
    dataset = open_dataset(folder / "labels.csv")
    rows = [sources.Row(file.replace("/", ""), file[:4], "train") for file in files]
    sources.check_table(rows, dataset)
    for wrong in (rows[1:], [replace(rows[0], label="bees"), *rows[1:]], [*rows[1:], replace(rows[0], split="test")]):
        with pytest.raises((AssertionError, KeyError)):
            sources.check_table(wrong, dataset)


def test_the_outcomes_are_counted(monkeypatch):
    def fail(*_, **options):
        return 1 / 0

    monkeypatch.setattr(sources, "open_dataset", fail)
    counts, faults, _ = run(seed=0, numbers=iter(range(3)))
    assert sum(counts.values()) == 3
    assert "traceback: ZeroDivisionError: division by zero" in faults[0]
    shown = runner.table(counts, sources.KINDS, sources.OUTCOMES)
    assert shown.splitlines()[-1].split() == ["all", "0", "0", "3", "0", "0", "0"]
