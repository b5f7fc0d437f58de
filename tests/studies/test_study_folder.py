"""The folder of several runs."""

import pytest

from kerastune_recipes.errors import OutputError
from kerastune_recipes.studies import study_folder


def test_the_same_request_is_resumed(tmp_path):
    request = {"recipes": {"one": "digest"}, "images": "digest"}
    for _ in range(2):
        study_folder.check_same(tmp_path / "out", "comparison", request)
        study_folder.write_request(tmp_path / "out", request)
    with pytest.raises(OutputError, match="out: the comparison in this folder was made with other images; give the"):
        study_folder.check_same(tmp_path / "out", "comparison", {**request, "images": "other"})


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(OutputError, match="this folder exists, is not empty and holds no search; name another"):
        study_folder.check_same(tmp_path, "search", {})
    with pytest.raises(OutputError, match=r"notes\.txt: this is a file; name a folder"):
        study_folder.check_same(tmp_path / "notes.txt", "search", {})
    with pytest.raises(OutputError, match="the folder cannot be written"):
        study_folder.write_request(tmp_path / "notes.txt" / "out", {})
