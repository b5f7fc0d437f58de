import pytest

from kerastune_recipes import yaml_files
from kerastune_recipes.errors import RecipeError


def test_exponents_are_numbers():
    assert yaml_files.parse("[1e-3, 1E5, 1.5e+2, -2e1]", "x") == [0.001, 100000.0, 150.0, -20.0]


def test_words_stay_words():
    assert yaml_files.parse("[e1, 1e, one]", "x") == ["e1", "1e", "one"]


def test_duplicate_keys_are_refused():
    with pytest.raises(
        RecipeError, match='r.yaml, line 2: this is not valid YAML: the key "a" appears twice; keep one'
    ):
        yaml_files.parse("a: 1\na: 2\n", "r.yaml")


def test_broken_yaml_names_the_line():
    with pytest.raises(RecipeError, match="r.yaml, line 2: this is not valid YAML"):
        yaml_files.parse("a: 1\nb: ]\n", "r.yaml")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(RecipeError, match="nothing.yaml: there is no such file"):
        yaml_files.read(tmp_path / "nothing.yaml")


def test_a_file_that_is_not_text_is_refused(tmp_path):
    (tmp_path / "image.yaml").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(RecipeError, match="this is not text; a recipe is a YAML file in UTF-8"):
        yaml_files.read(tmp_path / "image.yaml")


def test_written_data_reads_back():
    data = {"rate": 1e-05, "names": ["a", "b"], "phases": [{"name": "x", "fit": {"on": True}}]}
    assert yaml_files.parse(yaml_files.dump(data), "x") == data


def test_short_lists_stay_on_one_line_and_keys_in_order():
    data = {"taps": ["stage1", "stage2"], "phases": [{"name": "a"}]}
    assert yaml_files.dump(data) == "taps: [stage1, stage2]\nphases:\n- name: a\n"


def test_a_folder_is_not_a_recipe_file(tmp_path):
    with pytest.raises(RecipeError, match="this is a folder; name a recipe file"):
        yaml_files.read(tmp_path)


def test_keys_must_be_words():
    with pytest.raises(RecipeError, match=r"r.yaml, line 1: .*a key must be a word; put {} or \[\] in quotes"):
        yaml_files.parse("[a]: 1\n", "r.yaml")
