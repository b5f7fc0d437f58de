"""The files that paths of a table name are found, also where they are written for another system."""

import unicodedata

import pytest

from kerastune_recipes.data.sources.table_paths import locate, same_files


@pytest.fixture
def files(tmp_path):
    """Return a function that makes files."""

    def make(*paths):
        for path in paths:
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).touch()
        return tmp_path

    return make


def test_paths_are_found_as_written(files):
    root = files("a/1.png", "a/1.png.png", "b\\2.png")
    found = locate(["a/1.png", "b\\2.png", str(root / "a/1.png")], root, search=False)
    assert list(found.files.values()) == [root / "a/1.png", root / "b\\2.png", root / "a/1.png"]
    assert (found.problems, found.notes) == ((), ())


def test_back_slashes_separate_folders(files):
    root = files("a/1.png")
    found = locate(["a\\1.png"], root, search=False)
    assert found.files == {"a\\1.png": root / "a/1.png"}
    assert found.notes == ("back slashes in paths are read as /, as in a\\1.png.",)


@pytest.mark.parametrize(("stored", "written"), [("NFC", "NFD"), ("NFD", "NFC"), ("NFD", "NFD")])
def test_accents_may_be_stored_otherwise(files, stored, written):
    on_disk, in_table = (unicodedata.normalize(form, "M\u00f6we/1.png") for form in (stored, written))
    root = files(on_disk)
    assert locate([in_table], root, search=False).files == {in_table: root / on_disk}


def test_an_extension_is_added_where_only_one_image_has_the_name(files):
    root = files("a/1.JPG", "a/1.txt", "a/2.png", "a/2.jpg", "a/b.c.png")
    found = locate(["a/1", "a/2", "a/b.c"], root, search=False)
    assert found.files == {"a/1": root / "a/1.JPG", "a/b.c": root / "a/b.c.png"}
    assert found.problems == ("paths that several files may have: a/2 (2.jpg, 2.png); write the extension.",)
    assert found.notes == ("paths without an extension are those of the only image of that name, as 1.JPG for a/1.",)


def test_files_are_looked_for_in_one_folder_that_has_all(files):
    root = files("train/a.png", "train/b.png", "test/a.png", ".hidden/a.png")
    found = locate(["a", "b"], root, search=True)
    assert found.files == {"a": root / "train/a.png", "b": root / "train/b.png"}
    assert found.notes[0] == f"relative paths start at {root}/train, where all of them have a file."
    assert locate(["a", "b"], root, search=False).files == {}
    assert locate(["a"], root, search=True).problems == (
        f"paths without a file: a; relative paths start at {root}; all are in {root}/test, {root}/train: write one of "
        "these folders into the paths.",
    )
    assert locate(["a", "c"], root, search=True).problems == (
        f"paths without a file: a, c; relative paths start at {root}.",
    )


def test_files_are_not_looked_for_where_some_are_found(files):
    root = files("a.png", "train/a.png", "train/b.png")
    assert locate(["a.png", "b.png"], root, search=True).files == {"a.png": root / "a.png"}


@pytest.mark.parametrize("path", ["a\0b", "x" * 5000, "..", ".", "/", "C:\\data\\1.png", "\udcff.png", "~/1.png"])
def test_paths_that_no_file_can_have_are_missing(files, path):
    root = files("a/1.png")
    found = locate([path], root, search=True)
    assert found.files == {}
    assert found.problems[0].startswith(f"paths without a file: {path}; relative paths start at ")


def test_paths_of_one_file_are_named(files):
    root = files("a/1.png", "a/2.png")
    paths = ["a/1.png", "./a/1.png", "a//1.png", "a/2.png"]
    assert same_files(locate(paths, root, search=False).files) == [
        "paths of the same file: a/1.png = ./a/1.png = a//1.png; keep one row for each."
    ]
