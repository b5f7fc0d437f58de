"""The files of a cache among whatever else is in its folders."""

import os
import re

import pytest

from kerastune_recipes.features import own_files

OURS = re.compile(r"[0-9]+\.rows")


@pytest.fixture
def folder(tmp_path):
    """A folder with two files of ours, and what only looks so."""
    inside = tmp_path / "folder"
    (inside / "3.rows").mkdir(parents=True)
    for name in ("2.rows", "1.rows", "1.rows.bak", "one.rows"):
        (inside / name).write_text(name)
    (tmp_path / "outside.txt").write_text("precious")
    (inside / "4.rows").symlink_to(tmp_path / "outside.txt")
    (inside / "5.rows").symlink_to(tmp_path, target_is_directory=True)
    os.mkfifo(inside / "6.rows")
    (tmp_path / "link").symlink_to(inside, target_is_directory=True)
    return inside


def test_ours_have_a_name_of_ours_and_are_no_links(folder):
    assert own_files.files(folder, OURS) == [folder / "1.rows", folder / "2.rows"]
    assert own_files.folders(folder, OURS) == [folder / "3.rows"]


@pytest.mark.parametrize("other", ["nowhere", "link", "outside.txt"])
def test_what_is_no_folder_has_nothing_of_ours(folder, other):
    other = folder.with_name(other)
    assert own_files.files(other, OURS) == own_files.folders(other, OURS) == own_files.states([other], OURS) == []
    own_files.remove_all(other, OURS)
    assert len(own_files.files(folder, OURS)) == 2
    assert folder.with_name("outside.txt").read_text() == "precious"


def test_only_ours_are_removed(folder):
    kept = {path.name for path in folder.iterdir()} - {"1.rows", "2.rows"}
    own_files.remove_all(folder, OURS)
    assert {path.name for path in folder.iterdir()} == kept
    empty = folder / "empty"
    own_files.make_folder(empty)
    own_files.make_folder(empty)
    own_files.remove_all(empty, OURS)
    assert not empty.exists()


def test_sizes(folder):
    assert [(file.name, state.st_size) for file, state in own_files.states([folder, folder / "3.rows"], OURS)] == [
        ("1.rows", 6),
        ("2.rows", 6),
    ]


def test_what_cannot_be_removed_is_still_there(folder):
    assert own_files.try_to_remove(folder / "1.rows")
    assert own_files.try_to_remove(folder / "1.rows")
    assert not own_files.try_to_remove(folder / "3.rows")


def test_a_file_is_read_up_to_a_length(folder):
    assert own_files.read(folder / "1.rows", 10) == b"1.rows"
    assert own_files.read(folder / "1.rows", 2) == b"1.r"


@pytest.mark.parametrize("name", ["3.rows", "4.rows", "5.rows", "6.rows", "../link/1.rows"])
def test_what_is_no_plain_file_is_not_opened(folder, name):
    with pytest.raises(OSError, match="is not a plain file"):
        own_files.read(folder / name, 10)


def test_a_link_in_the_place_of_a_folder_is_refused(folder):
    with pytest.raises(NotADirectoryError, match="link is a link"):
        own_files.make_folder(folder.with_name("link"))
