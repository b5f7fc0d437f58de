import contextlib
import math
import os

import pytest
from hypothesis import given, settings, strategies

from kerastune_recipes import yaml_files
from kerastune_recipes.errors import RecipeError


def test_exponents_are_numbers():
    assert yaml_files.parse("[1e-3, 1E5, 1.5e+2, -2e1]", "x") == [0.001, 100000.0, 150.0, -20.0]


def test_words_stay_words():
    assert yaml_files.parse("[e1, 1e, one, =]", "x") == ["e1", "1e", "one", "="]


def test_numbers_are_read_as_written():
    numbers = [1000, -31, 3, 500.0, math.inf, -math.inf]
    assert yaml_files.parse("[1_000, -0x1F, 0b11, .5e3, .inf, -.inf]", "x") == numbers
    assert yaml_files.parse("[2026-01-01, 2026-99-99, 1:30, 0224]", "x") == ["2026-01-01", "2026-99-99", "1:30", "0224"]


def test_keys_are_texts_as_they_are_written():
    text = "{1: a, no: b, 2026-01-01: c, 010: d, ~: e, 1e3: f, [true][0]: g}".replace("[true][0]", "true")
    assert list(yaml_files.parse(text, "x")) == ["1", "no", "2026-01-01", "010", "~", "1e3", "true"]


def test_duplicate_keys_are_refused():
    with pytest.raises(
        RecipeError, match='r.yaml, line 2: this is not valid YAML: the key "a" appears twice; keep one'
    ):
        yaml_files.parse("a: 1\na: 2\n", "r.yaml")
    with pytest.raises(RecipeError, match='the key "1" appears twice'):
        yaml_files.parse("{1: a, '1': b}", "r.yaml")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\nb: ]\n", "r.yaml, line 2: this is not valid YAML: expected the node content, but found ']'."),
        (
            "a:\n\tb: 1",
            "line 2: this is not valid YAML: found character '\\t' that cannot start any token; indent with",
        ),
        ("[a]: 1\n", "line 1: this is not valid YAML: a key must be a word; put {} or [] in quotes."),
        ("a: *b\n", "line 1: this is not valid YAML: found undefined alias 'b'."),
        ("a: 1\n---\nb: 2\n", "r.yaml, line 2: a second document begins here; keep one, without --- between."),
        ("a: 1\n<<: {b: 2}\n", "r.yaml, line 2: merge keys (<<) are not used here; write the keys out."),
        ("!!python/name:os.system", "the tag !!python/name:os.system is not used here; write the plain value."),
        ("!!python/name:os.system a: 1", "the tag !!python/name:os.system is not used here; write the plain value."),
        ("a: !!binary AAAA", "r.yaml, line 1: the tag !!binary is not used here; write the plain value."),
        ("a: !!set {b}", "r.yaml, line 1: the tag !!set is not used here; write the plain value."),
        ("a: !!timestamp 2026-01-01", "r.yaml, line 1: the tag !!timestamp is not used here; write the plain value."),
        ("a: !mine b", "r.yaml, line 1: the tag !mine is not used here; write the plain value."),
        ("a: !!int ten", 'r.yaml, line 1: "ten" is not a whole number.'),
        ("a: !!float ''", 'r.yaml, line 1: "" is not a number.'),
        ("a: !!bool maybe", 'r.yaml, line 1: "maybe" is not true or false.'),
        ("a: 1e400", "r.yaml, line 1: 1e400 is too large for a number."),
        (f"a: 1{'0' * 5000}", "r.yaml, line 1: a number of 5,001 characters is too long; 40 are the most."),
        (f"a: 0x{'f' * 5000}", "r.yaml, line 1: a number of 5,002 characters is too long; 40 are the most."),
        (f"a: 0.{'1' * 5000}", "r.yaml, line 1: a number of 5,002 characters is too long; 40 are the most."),
        ("a: 1\nb: \x1b[2J", "r.yaml, line 2: the character U+001B does not belong in a text; remove it."),
        ("a: \x00", "r.yaml, line 1: the character U+0000 does not belong in a text; remove it."),
        ("# \u202e", "r.yaml, line 1: the character U+202E does not belong in a text; remove it."),
    ],
)
def test_what_is_no_plain_yaml_is_refused_in_a_sentence(text, problem):
    with pytest.raises(RecipeError) as caught:
        yaml_files.parse(text, "r.yaml")
    assert problem in str(caught.value)


def nested(levels):
    return "[" * levels + "]" * levels


def doubled(times):
    """Return anchors of which each holds the one before it twice."""
    return "".join([f"a0: &a0 [{'x, ' * 50}]\n", *(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, times))])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (nested(51), "r.yaml, line 1: there are more than 50 levels, one in another."),
        ("[" * 2**20, "r.yaml, line 1: there are more than 50 levels, one in another."),
        ("? " * 2**19, "r.yaml, line 1: there are more than 50 levels, one in another."),
        (f"a: &a {nested(30)}\nb: {'[' * 30}*a{']' * 30}", "line 2: there are more than 50 levels, one in another."),
        (doubled(12), "r.yaml, line 11: there are more than 100,000 values or 1,048,576 characters, counting what is"),
        (f"a: &a {'x' * 20_000}\nb: [{'*a, ' * 60}]", "r.yaml, line 2: there are more than 100,000 values or 1,048"),
        ("a: &a [1, *a]", "r.yaml, line 1: *a contains itself."),
        ("&a {b: {c: *a}}", "r.yaml, line 1: *a contains itself."),
        (" " * (2**20 + 1), "r.yaml: this text has more than 1,048,576 characters; a recipe has some thousand."),
    ],
)
def test_what_would_take_long_or_much_memory_is_refused_first(text, problem):
    with pytest.raises(RecipeError) as caught:
        yaml_files.parse(text, "r.yaml")
    assert problem in str(caught.value)


def test_aliases_within_bounds_are_read():
    assert yaml_files.parse("a: &a [1, 2]\nb: [*a, *a]", "x") == {"a": [1, 2], "b": [[1, 2], [1, 2]]}
    assert yaml_files.parse(nested(50), "x")


def test_an_empty_text_and_one_of_comments_are_nothing():
    assert yaml_files.parse("", "x") is yaml_files.parse("# nothing\n", "x") is None


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path):
    (tmp_path / "r.yaml").write_bytes(b"\xef\xbb\xbfa: 1\r\n")
    assert yaml_files.read(tmp_path / "r.yaml") == {"a": 1}


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("nothing.yaml", "nothing.yaml: there is no such file. Check the path."),
        ("folder.yaml", "folder.yaml: this is a folder; name a recipe file."),
        ("pipe.yaml", "pipe.yaml: this is a pipe or a device; name a recipe file."),
        ("image.yaml", "image.yaml: this is not text; a recipe is a YAML file in UTF-8."),
        ("wide.yaml", "wide.yaml: this is not text; a recipe is a YAML file in UTF-8."),
        ("long.yaml", "long.yaml: this text has more than 1,048,576 characters; a recipe has some thousand."),
        (f"{'a' * 300}.yaml", "aaa.yaml: this file cannot be read: [Errno 36] File name too long"),
        ("nul\x00.yaml", "nul\\x00.yaml: this file cannot be read: embedded null byte."),
    ],
)
def test_what_is_no_recipe_file_is_refused(tmp_path, name, problem):
    (tmp_path / "folder.yaml").mkdir()
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "image.yaml").write_bytes(b"\xff\xd8\xff\xe0")
    (tmp_path / "wide.yaml").write_bytes("a: 1".encode("utf-16"))
    with open(tmp_path / "long.yaml", "w") as file:
        file.truncate(200 * 2**20)
    with pytest.raises(RecipeError) as caught:
        yaml_files.read(tmp_path / name)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        {"rate": 1e-05, "names": ["a", "b"], "phases": [{"name": "x", "fit": {"on": True}}]},
        {"class_names": ["1e3", "1E-2", ".5e3", "1.", "no", "null", "010", "1:30", "2026-01-01", "<<", "=", "", "~"]},
        {"1": 1, "no": 2, "2026-01-01": 3, "<": 4},
    ],
)
def test_written_data_reads_back(data):
    assert yaml_files.parse(yaml_files.dump(data), "x") == data


def test_short_lists_stay_on_one_line_and_keys_in_order():
    data = {"taps": ["stage1", "stage2"], "phases": [{"name": "a"}]}
    assert yaml_files.dump(data) == "taps: [stage1, stage2]\nphases:\n- name: a\n"


TEXTS = strategies.text(strategies.characters(categories=None), max_size=20)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(
    strategies.recursive(
        strategies.none() | strategies.booleans() | strategies.integers(-(2**63), 2**63) | strategies.floats() | TEXTS,
        lambda inner: strategies.lists(inner, max_size=4) | strategies.dictionaries(TEXTS, inner, max_size=4),
        max_leaves=10,
    )
)
def test_any_written_data_reads_back(data):
    assert repr(yaml_files.parse(yaml_files.dump(data), "x")) == repr(data)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(strategies.text("ab01.:-,?![]{}&*#|>'\"%@` \n\t<=~xe_", max_size=40))
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(RecipeError):
        yaml_files.parse(text, "r.yaml")
