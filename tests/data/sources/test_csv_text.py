"""A CSV file becomes a table of texts, or a sentence says why not."""

import os

import pytest

from kerastune_recipes.data.sources.csv_text import load


@pytest.fixture
def table(tmp_path):
    """Return a function that writes a file and reads it: names of columns and rows, or the problem."""

    def read(content):
        file = tmp_path / "a.csv"
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        frame, problems = load(file)
        if frame is None:
            (problem,) = problems
            return problem.removeprefix(f"{file}: ")
        assert problems == []
        return [list(frame.columns), *frame.to_numpy().tolist()]

    return read


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators_are_told_by_the_names_of_the_columns(table, separator):
    lines = [["path", "label"], ["a;b,c|d", "01"]]
    text = "\n".join(separator.join(f'"{cell}"' for cell in line) for line in lines)
    assert table(text) == lines


def test_the_separator_that_finds_path_and_label_is_meant(table):
    assert table("path;label, in German\na.png;x,y\n") == [["path", "label, in German"], ["a.png", "x,y"]]
    assert table("file name;class\n1.png;x\n") == [["file name", "class"], ["1.png", "x"]]
    assert table("path\n1.png\n") == [["path"], ["1.png"]]
    assert table("a;b,c\n1;2,3\n") == [["a;b", "c"], ["1;2", "3"]]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_encodings_with_a_mark_are_read(table, encoding):
    assert table("path,label\n1.png,Möwe\n".encode(encoding)) == [["path", "label"], ["1.png", "Möwe"]]


def test_cells_stay_text(table):
    assert table("path,label\n1.png, 01\n2.png,NA\n3.png,\n") == [
        ["path", "label"],
        ["1.png", "01"],
        ["2.png", "NA"],
        ["3.png", ""],
    ]


def test_blank_lines_and_columns_are_left_out(table):
    assert table("\n , \npath,label,\n\n1.png,x,\n,,\n") == [["path", "label"], ["1.png", "x"]]
    assert table(",path,label\n0,1.png,x\n1,2.png,y\n") == [["path", "label"], ["1.png", "x"], ["2.png", "y"]]
    assert table(",path\nnote,1.png\n") == [["", "path"], ["note", "1.png"]]


def test_short_rows_are_filled_and_long_ones_refused(table):
    assert table("path,label\n1.png\n") == [["path", "label"], ["1.png", ""]]
    assert table("path,label\n1.png,x,,\n") == [["path", "label"], ["1.png", "x"]]
    assert table("path,label\n1.png,x\n2.png,a,b\n") == (
        "there are 2 columns, but line 3 has 3; put cells that hold the separator in quotes."
    )


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "it is empty; write a line path,label, and a line for each image."),
        (b" \n\n", "it is empty; write a line path,label, and a line for each image."),
        (b'path,label\n"1.png,x\n', "unexpected end of data."),
        (b"path,label\n" + b"x" * 200_000 + b",y\n", "field larger than field limit (131072)."),
        ("path,label\n".encode("utf-16-le"), "it holds NUL characters, as UTF-16 without a byte order mark; save it"),
        (b"\xff\xfea", "it begins as UTF-16 and is damaged; save it as UTF-8."),
    ],
)
def test_what_is_no_table_is_refused(table, content, problem):
    assert table(content).startswith(f"this file cannot be read as a table: {problem}")


def test_what_is_not_utf8_is_shown(table):
    assert table("path,label\n1.png,Möwe\n".encode("cp1252")) == (
        'line 2 is not UTF-8, as Windows-1252 it is "1.png,Möwe"; save the file as UTF-8 (in Excel: CSV UTF-8).'
    )


def test_only_files_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    for path in (tmp_path, tmp_path / "pipe.csv"):
        assert load(path)[1] == [f"{path}: this is a folder, a pipe or a device; give the path of a file."]
    assert load(tmp_path / "gone.csv")[1] == [f"{tmp_path}/gone.csv: there is no such file. Check the path."]
