from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pytest
from pydantic import Field, field_validator

from kerastune_recipes.errors import RecipeError
from kerastune_recipes.records import Record, digest


class Crop(Record):
    preprocessing: Literal["none", "pretrained_classifier"] = "none"
    size: Annotated[int, Field(ge=8)] | Literal["auto"] = "auto"


class Step(Record):
    name: str
    crop: Crop | Literal["off"] = "off"

    @field_validator("name")
    @classmethod
    def _short(cls, name: str) -> str:
        if len(name) > 8:
            raise ValueError("a name has at most 8 letters")
        return name


class Pipeline(Record):
    steps: Annotated[tuple[Step, ...], Field(min_length=1)]
    note: str | None = None


def problems(data) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        Pipeline.from_data(data, "p.yaml")
    return list(caught.value.problems)


def test_a_record_reads_back_what_it_writes():
    data = {"steps": [{"name": "a", "crop": {"preprocessing": "none", "size": 9}}, {"name": "b", "crop": "off"}]}
    record = Pipeline.from_data(data, "p.yaml")
    assert record.steps[0].crop == Crop(size=9)
    assert record.to_data() == data
    assert Pipeline.from_data(record.to_data(), "p.yaml") == record


def test_records_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        Crop().size = 9


def test_every_problem_is_reported_with_its_path():
    data = {"steps": [{"name": "first", "crop": {"sise": 9}}, {"crop": "of"}, {"name": "much too long"}], "note": 1}
    assert problems(data) == [
        'p.yaml: steps.first.crop.sise: there is no key "sise" here. Did you mean "size"? Known: preprocessing, size.',
        "p.yaml: steps.1.name: this key is missing.",
        'p.yaml: steps.1.crop: expected a mapping or "off"; received "of". Did you mean "off"?',
        "p.yaml: steps.much too long.name: a name has at most 8 letters.",
        "p.yaml: note: expected a valid string; received 1.",
    ]


def test_values_are_not_converted():
    (problem,) = problems({"steps": [{"name": "a", "crop": {"size": 9.0}}]})
    assert problem == 'p.yaml: steps.a.crop.size: expected a valid integer or "auto"; received 9.0.'


def test_an_empty_list_is_too_short():
    assert problems({"steps": []}) == ["p.yaml: steps: expected a list of at least 1; received []."]


def test_data_that_is_not_a_mapping_is_refused():
    assert problems(["a"]) == ['p.yaml: expected keys and values, received ["a"].']


def test_a_renamed_key_is_refused_with_its_new_name():
    (problem,) = problems({"steps": [{"name": "a", "crop": {"convention": "none"}}]})
    assert problem.endswith('crop.convention: there is no key "convention" here; it is now called "preprocessing".')


def test_a_key_under_its_old_name_is_not_missing_as_well():
    class Backbone(Record):
        preprocessing: str

    with pytest.raises(RecipeError) as caught:
        Backbone.from_data({"convention": "torch"}, "plan.yaml")
    assert caught.value.problems == (
        'plan.yaml: convention: there is no key "convention" here; it is now called "preprocessing".',
    )


def test_an_old_key_where_its_new_name_is_unknown_is_like_any_other():
    (problem,) = problems({"steps": [{"name": "a"}], "convention": "none"})
    assert problem == 'p.yaml: convention: there is no key "convention" here. Known: steps, note.'


def test_a_renamed_value_is_refused_with_its_new_name():
    (problem,) = problems({"steps": [{"name": "a", "crop": {"preprocessing": "source_classifier"}}]})
    assert problem == 'p.yaml: steps.a.crop.preprocessing: "source_classifier" is now called "pretrained_classifier".'


def test_empty_data_is_refused():
    assert problems(None) == ["p.yaml: expected keys and values, and there is nothing."]


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({1, 2}, "a value is of type set"),
        (b"a", "a value is of type bytes"),
        ({(1, 2): 3}, "keys must be str, int, float, bool or None, not tuple"),
        ("\udcff", "a text cannot be written as UTF-8"),
        ([10**5000], "Exceeds the limit (4300 digits)"),
    ],
)
def test_values_that_no_file_holds_are_refused(value, problem):
    (sentence,) = problems({"steps": [{"name": "a"}], "note": value})
    assert sentence.startswith(f"p.yaml: {problem}")
    assert sentence.endswith("give texts, numbers, true, false, lists, and mappings with texts as keys.")


def nested(levels):
    data = []
    for _ in range(levels):
        data = [data]
    return data


@pytest.mark.parametrize("levels", [250, 5000])
def test_values_that_are_too_deep_are_refused(levels):
    (sentence,) = problems({"steps": nested(levels)})
    assert sentence.startswith("p.yaml: values are too deep, one in another; ")


def test_a_list_in_itself_is_refused():
    loop = []
    loop.append(loop)
    assert problems({"steps": loop})[0].startswith("p.yaml: Circular reference detected; give texts")


def test_paths_and_numbers_of_numpy_are_plain_values():
    data = {"steps": [{"name": Path("a"), "crop": {"size": np.int64(9)}}]}
    assert Pipeline.from_data(data, "p.yaml").to_data() == {
        "steps": [{"name": "a", "crop": {"preprocessing": "none", "size": 9}}]
    }


def test_numbers_that_are_no_keys_are_unknown_keys():
    assert problems({"steps": [{"name": "a"}], 1: 2}) == ['p.yaml: 1: there is no key "1" here. Known: steps, note.']


def test_of_very_many_problems_the_first_are_named():
    sentences = problems({"steps": [{"name": 1}] * 20_000})
    assert len(sentences) == 101
    assert sentences[0] == "p.yaml: steps.0.name: expected a valid string; received 1."
    assert sentences[100] == "p.yaml: there are 19,900 more problems."


def test_what_was_received_is_shortened():
    (key,) = problems({"steps": [{"name": "a"}], "x" * 500: 1})
    assert key == f'p.yaml: {"x" * 57}...: there is no key "{"x" * 57}..." here. Known: steps, note.'
    (value,) = problems({"steps": "x" * 500})
    assert value == f'p.yaml: steps: expected a list; received "{"x" * 56}....'


def test_equal_records_have_equal_digests():
    assert digest(Crop(size=9)) == digest(Crop(size=9)) != digest(Crop(size=10))
