"""Folders are listed in order, each real one once, without what file managers leave behind."""

import os

import pytest

from kerastune_recipes.data.sources.listing import Entry, Listing


@pytest.fixture
def tree(tmp_path):
    """Return a function that makes files, and folders where a path ends in a slash."""

    def make(*paths):
        for path in paths:
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            if path.endswith("/"):
                (tmp_path / path).mkdir(parents=True, exist_ok=True)
            else:
                (tmp_path / path).touch()
        return tmp_path

    return make


def below(root) -> list[str]:
    listing = Listing(root)
    return [listing.name(entry.path) for entry in listing.below(root)]


def test_entries_are_in_order_of_names(tree):
    root = tree("b/", "a.png", "c.txt")
    assert Listing(root).entries(root) == [
        Entry(root / "a.png", False),
        Entry(root / "b", True),
        Entry(root / "c.txt", False),
    ]


def test_leftovers_are_left_out_and_named(tree):
    root = tree(
        ".DS_Store", "Thumbs.db", "@eaDir/1.png", "__MACOSX/", "$RECYCLE.BIN/", "a/.ipynb_checkpoints/", "a/1.png"
    )
    listing = Listing(root)
    assert [listing.name(entry.path) for entry in listing.below(root)] == ["a/1.png"]
    assert listing.notes() == [
        "left out as hidden or of a file manager: $RECYCLE.BIN, .DS_Store, @eaDir, Thumbs.db, __MACOSX and 1 more."
    ]
    assert Listing(root / "a").notes() == []


def test_each_real_folder_is_listed_once(tree):
    root = tree("a/1.png", "b/2.png")
    (root / "a" / "circle").symlink_to(root)
    (root / "b" / "again").symlink_to(root / "a")
    (root / "b" / "outside").symlink_to(root / "b")
    listing = Listing(root)
    assert [listing.name(entry.path) for entry in listing.below(root)] == ["a/1.png", "b/2.png"]
    assert listing.notes() == ["left out as links to folders that are read already: a/circle, b/again, b/outside."]
    assert listing.same_as(root / "b" / "again") == root / "a"
    assert listing.same_as(root / "b") is None


def test_a_link_to_itself_is_no_folder(tree):
    root = tree("a.png")
    (root / "loop").symlink_to(root / "loop")
    assert below(root) == ["a.png", "loop"]


def test_folders_may_be_deep(tmp_path):
    folders = [tmp_path]
    for _ in range(1200):
        folders.append(folders[-1] / "d")
        folders[-1].mkdir()
    (folders[-1] / "1.png").touch()
    assert len(below(tmp_path)) == 1
    (folders[-1] / "1.png").unlink()
    for folder in folders[:0:-1]:  # pytest would remove them by recursion
        folder.rmdir()


def test_a_folder_that_cannot_be_listed_is_named(tree, monkeypatch):
    root = tree("a/1.png", "b/2.png")
    scan = os.scandir

    def refuse(path):
        if path == root / "a":
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    listing = Listing(root)
    assert [listing.name(entry.path) for entry in listing.below(root)] == ["b/2.png"]
    assert listing.problems == ["a cannot be listed: Permission denied."]
    assert Listing(root / "a").entries(root / "a") == []


def test_a_name_that_is_no_utf8_is_shown(tmp_path):
    file = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png")
    open(file, "w").close()
    assert below(tmp_path) == ["\\udcff.png"]
