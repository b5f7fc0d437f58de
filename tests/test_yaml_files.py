import pytest

from kerastune_recipes import yaml_files
from kerastune_recipes.errors import RecipeError


def test_exponents_are_numbers():
    assert yaml_files.parse("[1e-3, 1E5, 1.5e+2, -2e1]", "x") == [0.001, 100000.0, 150.0, -20.0]


def test_words_stay_words():
    assert yaml_files.parse("[e1, 1e, one]", "x") == ["e1", "1e", "one"]


def test_a_key_may_stand_once():
    with pytest.raises(RecipeError, match='r.yaml, line 2: this is no valid YAML: the key "a" stands twice; keep one'):
        yaml_files.parse("a: 1\na: 2\n", "r.yaml")


def test_broken_yaml_names_the_line():
    with pytest.raises(RecipeError, match="r.yaml, line 2: this is no valid YAML"):
        yaml_files.parse("a: 1\nb: ]\n", "r.yaml")


def test_missing_file(tmp_path):
    with pytest.raises(RecipeError, match="nothing.yaml: there is no such file"):
        yaml_files.read(tmp_path / "nothing.yaml")


def test_not_text(tmp_path):
    (tmp_path / "image.yaml").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(RecipeError, match="this is not text; a recipe is a YAML file in UTF-8"):
        yaml_files.read(tmp_path / "image.yaml")


def test_written_data_reads_back():
    data = {"rate": 1e-05, "names": ["a", "b"], "phases": [{"name": "x", "fit": {"on": True}}]}
    assert yaml_files.parse(yaml_files.dump(data), "x") == data
